// SPDX-License-Identifier: MIT
// What a browser does on a sign-in page, over plain HTTP: it keeps cookies and says where it comes from.
// node:http, because fetch() does not let one set the Sec-Fetch-* headers.

import http from 'node:http'

export class Visitor {
  #cookies = new Map()

  cookie(name) {
    return this.#cookies.get(name)
  }

  /** The cookies of `other` too. */
  takeOver(other) {
    for (const [name, value] of other.#cookies) this.#cookies.set(name, value)
    return this
  }

  /** One request; nothing followed, cookies remembered. */
  request(url, { method = 'GET', headers = {}, body } = {}) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    return new Promise((resolve, reject) => {
      const all = { ...(cookie && { cookie }), ...headers }
      const req = http.request(url, { method, headers: all, agent: false }, (res) => {
        let text = ''
        res.setEncoding('utf8')
        res.on('data', (part) => (text += part))
        res.on('end', () => {
          this.#remember(res.headers['set-cookie'] ?? [])
          resolve({ status: res.statusCode, headers: res.headers, text })
        })
      })
      req.on('error', reject)
      req.end(body)
    })
  }

  /** Opens a page: by typing its address, or `from` another. */
  open(url, { from } = {}) {
    const site = from ? 'same-origin' : 'none'
    const headers = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': site }
    return this.request(url, { headers: { ...headers, ...(from && { referer: from }) } })
  }

  /** Is sent to the client: {redirect, status: the client's own answer, or null when nobody answered}. */
  async arrive(redirect, there = true) {
    const answer = there && /^http:/.test(redirect) ? await this.request(redirect).catch(() => null) : null
    return { redirect, status: answer?.status ?? null }
  }

  #remember(lines) {
    for (const line of lines) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      if (value === '') this.#cookies.delete(name)
      else this.#cookies.set(name, value)
    }
  }
}
