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

export class WebBackend {
  #child

  static async start(server) {
    const backend = new WebBackend()
    backend.server = server
    backend.data = mkdtempSync(join(tmpdir(), 'latchkey-web-'))
    await backend.#run(0)
    return backend
  }

  async #run(port) {
    const { pds, plc } = this.server
    this.#child = spawn('setpriv', ['--pdeathsig', 'TERM', program, this.data, String(port)], {
      env: {
        PATH: process.env.PATH,
        LATCHKEY_PLC_URL: plc,
        LATCHKEY_RESOLVE_HANDLES_AT: pds,
        LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    let errors = ''
    this.#child.stderr.on('data', (part) => (errors += part))
    for await (const part of this.#child.stdout.iterator({ destroyOnReturn: false })) {
      text += part
      if (text.includes('\n')) break
    }
    if (!text.includes('\n')) throw new Error(`the web backend did not start: ${errors}`)
    this.#child.stdout.resume()
    this.url = text.trim()
  }

  async #end() {
    const ended = new Promise((resolve) => this.#child.on('exit', resolve))
    this.#child.kill()
    await ended
  }

  /** Another process, on the same data and port. */
  async restart() {
    await this.#end()
    await this.#run(new URL(this.url).port)
  }

  async stop() {
    await this.#end()
    rmSync(this.data, { recursive: true, force: true })
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
  async almostLogIn({ handle, password }, { visitor = new Visitor(), returnTo = '/', ...options } = {}) {
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
