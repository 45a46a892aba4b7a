// SPDX-License-Identifier: MIT
// A server that a visitor names, and that takes its time.

import http from 'node:http'

export class SlowServer {
  #server

  /** `answers`: for each request in turn, how long it waits (ms) and the body then, or null: no answer ever. */
  static async start(answers) {
    const slow = new SlowServer()
    slow.asked = new Promise((resolve) => {
      slow.#server = http.createServer((request, response) => {
        resolve()
        const next = answers.shift() ?? null
        if (next === null) return
        const body = JSON.stringify(next.body(slow.url))
        setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end(body), next.ms)
      })
    })
    await new Promise((resolve) => slow.#server.listen(0, '127.0.0.1', resolve))
    slow.url = `http://127.0.0.1:${slow.#server.address().port}`
    return slow
  }

  stop() {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(resolve))
  }
}
