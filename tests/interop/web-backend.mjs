// SPDX-License-Identifier: MIT
// The example web backend (examples/web_backend) on data of its own.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Visitor } from './visitor.mjs'

const program =
  process.env.LATCHKEY_WEB_BACKEND ??
  join(dirname(fileURLToPath(import.meta.url)), '../../build/dev/examples/web_backend/web_backend')

/** A browser that knows the site by its https origin: what it asks for there, the proxy asks the program for. */
class ProxiedVisitor extends Visitor {
  #backend

  constructor(backend) {
    super()
    this.#backend = backend
  }

  request(url, { headers, ...options } = {}) {
    const { url: origin, address } = this.#backend
    return super.request(url.replace(origin, address), { ...options, headers: { host: new URL(origin).host, ...headers } })
  }
}

/** `url` is the site's origin, and `address` where the program listens: the same but for a hosted one. */
export class WebBackend {
  #child

  /** `hosting`: {origin, document, keys}, the last two being files; null: development. */
  static async start(server, hosting = null) {
    const backend = new WebBackend()
    backend.server = server
    backend.hosting = hosting
    backend.data = mkdtempSync(join(tmpdir(), 'latchkey-web-'))
    try {
      await backend.#run(0)
    } catch (error) {
      backend.#remove()
      throw error
    }
    return backend
  }

  get #words() {
    if (!this.hosting) return []
    const { origin, document, keys } = this.hosting
    return ['--client-metadata', document, '--client-keys', keys, '--origin', origin]
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
    this.url = this.hosting?.origin ?? this.address
  }

  async #end() {
    const ended = new Promise((resolve) => this.#child.on('exit', resolve))
    this.#child.kill()
    await ended
  }

  /** Another process, on the same data and port. */
  async restart() {
    await this.#end()
    await this.#run(new URL(this.address).port)
  }

  async stop() {
    await this.#end()
    this.#remove()
  }

  #remove() {
    rmSync(this.data, { recursive: true, force: true })
  }

  /** A new browser. */
  visitor() {
    return this.hosting ? new ProxiedVisitor(this) : new Visitor()
  }

  /** A form, as a browser without scripts sends it. `origin`: null leaves the header out. */
  submit(visitor, path, fields, { origin = this.url } = {}) {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', ...(origin && { origin }) }
    return visitor.request(this.url + path, { method: 'POST', headers, body: new URLSearchParams(fields).toString() })
  }

  /**
   * Over HTTP, up to and without the callback: {visitor, callback: its URL}. `visitor` has the cookies of the browser that
   * began.
   */
  async almostLogIn({ handle, password }, { visitor = this.visitor(), returnTo = '/', ...options } = {}) {
    const begun = await this.submit(visitor, '/login', { who: handle, return_to: returnTo })
    if (begun.status !== 303) throw new Error(`login: ${begun.status} ${begun.text}`)
    const { redirect } = await this.server.signIn(begun.headers.location, handle, password, {
      arriveThere: false,
      ...options,
    })
    return { visitor, callback: redirect, cookies: begun.headers['set-cookie'] }
  }

  /** Over HTTP, to the end. */
  async logIn(account, options) {
    const { visitor, callback } = await this.almostLogIn(account, options)
    const answer = await visitor.open(callback)
    if (answer.status !== 303) throw new Error(`callback: ${answer.status} ${answer.text}`)
    return { visitor, callback, answer }
  }
}
