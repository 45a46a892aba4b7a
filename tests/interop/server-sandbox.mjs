// SPDX-License-Identifier: MIT
// latchkey's own sandbox, with its control port (docs/sandbox.md). See server.mjs for what each call is.

import { loginHttp } from './sandbox-login-http.mjs'
import { loginInChromium, signingIn } from './sandbox-login-chromium.mjs'
import { ServerProcess, startProgram } from './server.mjs'
import { toolPath } from './tool-path.mjs'

const kinds = { drop_answer: 'drop_after', close_after_read: 'drop_before', delay: 'delay', answer: 'status' }

export class Server extends ServerProcess {
  signIn = loginHttp
  signInWithChromium = loginInChromium
  signingIn = signingIn

  static async start() {
    // It ends with whoever started it, however that ended.
    const words = ['setpriv', '--pdeathsig', 'TERM', toolPath, 'sandbox', '--control']
    const { child, info } = await startProgram(words, process.env)
    return new Server(child, { ...info, name: 'sandbox' })
  }

  async #call(method, path, body) {
    const headers = { authorization: `Bearer ${this.control.token}` }
    const answer = await fetch(this.control.url + path, { method, headers, body: body && JSON.stringify(body) })
    const json = await answer.json()
    if (!answer.ok) throw new Error(`${method} ${path}: ${json.message}`)
    return json
  }

  async mark() {
    const { requests } = await this.#call('GET', '/log')
    return requests.at(-1)?.n ?? 0
  }

  async requests(mark = 0, server) {
    const { requests } = await this.#call('GET', `/log?since=${mark}`)
    const all = requests.map((e) => (e.server === 'authorization' ? { ...e, server: 'pds' } : e))
    return all.filter((e) => !server || e.server === server)
  }

  fault({ action, ms, status, headers, body, ...which }) {
    const retryAfter = headers?.['retry-after']
    return this.#call('POST', '/faults', {
      kind: kinds[action],
      ...which,
      ...(ms && { delay_ms: ms }),
      ...(status && { status }),
      ...(body && { text: body }),
      ...(retryAfter && { retry_after_s: Number(retryAfter) }),
    })
  }
  noFaults() {
    return this.#call('DELETE', '/faults')
  }
  capture() {
    return this.#call('POST', '/capture')
  }
  async captured() {
    return (await this.#call('GET', '/capture')).secrets
  }
  refuseIssuedTokens() {
    return this.#call('POST', '/refuse-issued')
  }
  tokenLifetime(ms) {
    return this.#call('POST', '/settings', { access_token_lifetime_s: ms / 1000 })
  }
  nonceRotation(ms) {
    return this.#call('POST', '/settings', { nonce_rotation_s: ms / 1000 })
  }
  async sessionCount(did) {
    return (await this.#call('GET', `/sessions?account=${did}`)).count
  }
  revoke(did) {
    return this.#call('POST', '/revoke', { account: did })
  }
  publish(document) {
    return this.#call('POST', '/clients', { metadata: document })
  }
  async replays() {
    return (await this.#call('GET', '/counts')).replays
  }
}
