// SPDX-License-Identifier: MIT
// The example web backend (examples/web_backend) on data of its own.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Visitor } from './visitor.mjs'
import { WebSite } from './web-site.mjs'

const program =
  process.env.LATCHKEY_WEB_BACKEND ??
  join(dirname(fileURLToPath(import.meta.url)), '../../build/dev/examples/web_backend/web_backend')

/** A browser that knows the site by its origin: what it asks for there, `backend` is asked for, which may be changed. */
class ProxiedVisitor extends Visitor {
  constructor(backend) {
    super()
    this.backend = backend
  }

  request(url, { headers, ...options } = {}) {
    const { url: origin, address } = this.backend
    return super.request(url.replace(origin, address), { ...options, headers: { host: new URL(origin).host, ...headers } })
  }
}

/** One process. `url` is the site's origin, and `address` where it listens: the same but for one behind a proxy. */
export class WebBackend extends WebSite {
  #child
  #words

  /**
   * `hosting`: {origin, document, keys}, the last two being files; null: development. `origin`: of a site in development that
   * has a proxy before it. `words`: more options of the program's.
   */
  static async start(server, { hosting = null, origin = hosting?.origin, words = [] } = {}) {
    const backend = new WebBackend(server)
    backend.origin = origin
    backend.data = mkdtempSync(join(tmpdir(), 'latchkey-web-'))
    backend.#words = [
      ...(hosting ? ['--client-metadata', hosting.document, '--client-keys', hosting.keys] : []),
      ...(origin ? ['--origin', origin] : []),
      ...words,
    ]
    try {
      await backend.#run(0)
    } catch (error) {
      backend.#remove()
      throw error
    }
    return backend
  }

  async #run(port) {
    const { pds, plc } = this.server
    this.#child = spawn('setpriv', ['--pdeathsig', 'TERM', program, this.data, String(port), ...this.#words], {
      env: {
        PATH: process.env.PATH,
        LATCHKEY_PLC_URL: plc,
        LATCHKEY_RESOLVE_HANDLES_AT: pds,
        LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const closed = new Promise((resolve) => this.#child.on('close', resolve))
    let text = ''
    let errors = ''
    this.#child.stderr.on('data', (part) => (errors += part))
    for await (const part of this.#child.stdout.iterator({ destroyOnReturn: false })) {
      text += part
      if (text.includes('\n')) break
    }
    if (!text.includes('\n')) {
      await closed
      throw new Error(`the web backend did not start: ${errors}`)
    }
    this.#child.stdout.resume()
    this.address = text.trim()
    this.url = this.origin ?? this.address
  }

  /** Gives how it ended: {code, signal}. */
  async end(signal = 'SIGTERM') {
    const { exitCode: code, signalCode } = this.#child
    if (code !== null || signalCode !== null) return { code, signal: signalCode }
    const ended = new Promise((resolve) => this.#child.on('exit', (code, signal) => resolve({ code, signal })))
    this.#child.kill(signal)
    return ended
  }

  /** Another process, on the same data and port. */
  async restart() {
    await this.end()
    await this.#run(new URL(this.address).port)
  }

  async stop() {
    await this.end()
    this.#remove()
  }

  #remove() {
    rmSync(this.data, { recursive: true, force: true })
  }

  visitor() {
    return this.origin ? new ProxiedVisitor(this) : super.visitor()
  }
}
