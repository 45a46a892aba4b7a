// SPDX-License-Identifier: MIT
// The example web backend as two processes over one PostgreSQL database, behind nginx.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, Nginx } from './nginx.mjs'
import { Postgres } from './postgres.mjs'
import { WebBackend } from './web-backend.mjs'
import { WebSite } from './web-site.mjs'

/**
 * `url` is nginx, `backends` are the two processes, whose visitors go to them straight. Each has a folder of its own, as on a
 * machine of its own; what they share is the database, and the master key, which somebody has put on both machines.
 */
export class WebFleet extends WebSite {
  #folder
  #nginx

  static async start(server) {
    const fleet = new WebFleet(server)
    try {
      await fleet.#start()
    } catch (error) {
      await fleet.stop()
      throw error
    }
    return fleet
  }

  async #start() {
    this.backends = []
    this.#folder = mkdtempSync(join(tmpdir(), 'latchkey-fleet-'))
    this.postgres = await Postgres.start()
    const port = await freePort()
    this.url = `http://127.0.0.1:${port}`
    const words = ['--store', this.postgres.address, '--master-key-file', join(this.#folder, 'vault.key')]
    const start = async () => this.backends.push(await WebBackend.start(this.server, { origin: this.url, words }))
    // At once, over an empty database: one of them makes the tables, the vault and the key file.
    await Promise.all([start(), start()])
    this.#nginx = await Nginx.start(port, this.backends.map((one) => new URL(one.address).host))
  }

  async stop() {
    await this.#nginx?.stop()
    for (const backend of this.backends) await backend.stop()
    await this.postgres?.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Which of the processes answered, by what nginx says: 0 or 1. `headers`: of the answer. */
  answeredBy(headers) {
    const last = headers['x-answered-by'].split(', ').at(-1)
    return this.backends.findIndex((one) => new URL(one.address).host === last)
  }
}
