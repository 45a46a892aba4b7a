// SPDX-License-Identifier: MIT
// A server that the scenarios run against: a PDS with its authorization server and a PLC directory, in a process of its
// own. What is common to server-reference.mjs and server-sandbox.mjs; each of them adds
//
//   mark()                       a moment in the log of requests, for requests()
//   requests(mark, server)       what arrived since: [{server: 'pds' or 'plc', method, path, status, error, grant_type,
//                                redirect_uri, proof: {jti, nonce: bool, ath: bool}}]. 'pds' is the authorization server too.
//   fault({method, path, grant_type, times (1), action, ...})    what happens to the next matching requests:
//                                'drop_answer'       handled, then the connection is closed instead of an answer
//                                'close_after_read'  the connection is closed, nothing is handled
//                                'delay'             answered after `ms`
//                                'answer'            not handled: `status`, `headers` and `body` are the answer
//   noFaults()                   forget them
//   capture(), captured()        remember the secrets that pass from now on; [secret]
//   refuseIssuedTokens()         access tokens issued so far are answered with 401; refresh tokens are still good
//   tokenLifetime(ms)            of access tokens issued from now on; whole seconds
//   nonceRotation(ms)            whole seconds
//   sessionCount(did)            the account's sessions
//   revoke(did)                  end them
//   publish(document)            a client's metadata document is at its client_id from now on
//   replays()                    how many spent refresh tokens came again; undefined if the server does not count them
//   signIn(url, handle, password, {deny, arriveThere})     at its page, over HTTP: {redirect, status}
//   signInWithChromium(url, handle, password, {deny})      the same in a browser
//   signingIn(handle, password, {deny})                    what it does there, for Browser.visit() in chromium.mjs
//
// and {name, pds, issuer, plc, alice, bob}; an account is {handle, did, password}.

import { spawn } from 'node:child_process'

/** Starts a program and reads the line of JSON that says that it is ready: {child, info}. */
export async function startProgram(words, env) {
  const child = spawn(words[0], words.slice(1), { env, stdio: ['pipe', 'pipe', 'pipe'] })
  const spawned = new Promise((resolve, reject) => child.on('spawn', resolve).on('error', reject))
  let text = ''
  let errors = ''
  child.stderr.on('data', (part) => (errors += part))
  await spawned
  for await (const part of child.stdout) {
    text += part
    if (text.includes('\n')) break
  }
  if (!text.includes('\n')) throw new Error(`${words[0]} did not start: ${errors.slice(-2000)}`)
  child.stdout.resume()
  process.on('exit', () => child.kill())
  return { child, info: JSON.parse(text) }
}

export class ServerProcess {
  #child

  constructor(child, info) {
    this.#child = child
    Object.assign(this, info)
    ;[this.alice, this.bob] = info.accounts
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.on('exit', resolve))
    this.#child.kill()
    await ended
  }

  /** The refresh requests since the mark. */
  async refreshes(mark) {
    const seen = await this.requests(mark, 'pds')
    return seen.filter((e) => e.path === '/oauth/token' && e.grant_type === 'refresh_token')
  }
}
