// SPDX-License-Identifier: MIT
// latchkey's library as a client of the provider: the program openid_client, over pipes.

import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { loginHttp } from './login.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const program = process.env.LATCHKEY_OPENID_CLIENT ?? join(here, '../../../build/dev/tests/interop/openid_client')
const kTimeLimitMs = 60_000

/** A person who signs in over HTTP. */
export const asAlice = (url) => loginHttp(url, 'alice')

export class Client {
  #child
  #lines

  /** The program, once it has found the provider. `who`: {clientId, scope, secret, secretIn}. */
  static async start(server, { clientId = server.clients.native, scope = '', secret, secretIn } = {}) {
    const client = new Client()
    client.#child = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'], timeout: kTimeLimitMs })
    client.#lines = createInterface({ input: client.#child.stdout })[Symbol.asyncIterator]()
    const who = { issuer: server.issuer, client_id: clientId, scope, secret, secret_in: secretIn }
    client.started = await client.#ask(who)
    return client
  }

  stop() {
    this.#child.kill()
  }

  /** What became of it: {ok} or {error: {code, detail, message}}. `drive(url)`: the person. Its answer is in `visit`. */
  async do(what, { drive = asAlice } = {}) {
    return this.#ask({ do: what }, drive)
  }

  async #ask(line, drive) {
    this.#child.stdin.write(JSON.stringify(line) + '\n')
    let visit
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`the client ended at ${JSON.stringify(line.do ?? 'its start')}`)
      const answer = JSON.parse(value)
      if (!answer.open) return { ...answer, ...(visit && { visit: await visit }) }
      this.opened = answer.open
      // Beside the program, which waits for the person; a failure is told where the visit is awaited.
      visit = drive(answer.open)
      visit.catch(() => {})
    }
  }
}
