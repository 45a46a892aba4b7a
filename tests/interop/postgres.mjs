// SPDX-License-Identifier: MIT
// A PostgreSQL server of a test's own (tests/postgres/server.sh).

import { execFile } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const program = join(dirname(fileURLToPath(import.meta.url)), '../postgres/server.sh')
const run = promisify(execFile)

/** `address`: as libpq takes it, of an empty database. */
export class Postgres {
  #folder

  static async start() {
    const postgres = new Postgres()
    postgres.#folder = mkdtempSync(join(tmpdir(), 'latchkey-postgres-'))
    await postgres.#start()
    return postgres
  }

  async #start() {
    const { stdout } = await run(program, ['start', this.#folder])
    this.address = /^address=(.*)$/m.exec(stdout)[1]
  }

  /** Whoever is connected loses the connection; data and address stay. */
  async restart() {
    await run(program, ['stop', this.#folder])
    await this.#start()
  }

  async stop() {
    await run(program, ['remove', this.#folder])
  }
}
