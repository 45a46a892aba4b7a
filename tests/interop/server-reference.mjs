// SPDX-License-Identifier: MIT
// The reference PDS (start-pds.mjs), with its controls. See server.mjs for what each call is.

import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loginHttp } from './reference-login-http.mjs'
import { loginInChromium, signingIn } from './reference-login-chromium.mjs'
import { ServerProcess, startProgram } from './server.mjs'

const program = join(dirname(fileURLToPath(import.meta.url)), 'start-pds.mjs')

export class Server extends ServerProcess {
  signIn = loginHttp
  signInWithChromium = loginInChromium
  signingIn = signingIn

  static async start() {
    const env = { ...process.env, PDS_WATCH_STDIN: '1' }
    const { child, info } = await startProgram([process.execPath, program], env)
    return new Server(child, { ...info, name: 'reference PDS', issuer: info.pds })
  }

  async #control(method, path, body) {
    const answer = await fetch(this.control + path, { method, body: body && JSON.stringify(body) })
    const json = await answer.json()
    if (!answer.ok) throw new Error(`${method} ${path}: ${json.error}`)
    return json
  }

  async mark() {
    const seen = { pds: 0, plc: 0 }
    for (const entry of await this.#control('GET', '/log')) seen[entry.server] = Math.max(seen[entry.server], entry.n)
    return seen
  }

  /** The reference server's own requests to its PLC are left out. */
  async requests(mark = {}, server) {
    const all = await this.#control('GET', `/log?since=${encodeURIComponent(JSON.stringify(mark))}`)
    const ownOfPds = (e) => e.server === 'plc' && /^(node|axios)/.test(e.agent ?? '')
    return all.filter((e) => (!server || e.server === server) && !ownOfPds(e))
  }

  fault(fault) {
    return this.#control('POST', '/faults', fault)
  }
  noFaults() {
    return this.#control('DELETE', '/faults')
  }
  capture() {
    return this.#control('POST', '/capture')
  }
  captured() {
    return this.#control('GET', '/capture')
  }
  refuseIssuedTokens() {
    return this.#control('POST', '/refuse-issued')
  }
  tokenLifetime(ms) {
    return this.#control('POST', '/settings', { token_ttl_ms: ms })
  }
  nonceRotation(ms) {
    return this.#control('POST', '/settings', { nonce_rotation_ms: ms })
  }
  async sessionCount(did) {
    return (await this.#control('GET', `/sessions?did=${encodeURIComponent(did)}`)).count
  }
  revoke(did) {
    return this.#control('POST', '/revoke', { did })
  }
  publish(document) {
    return this.#control('POST', '/documents', { [document.client_id]: document })
  }
  replays() {
    return undefined
  }
}
