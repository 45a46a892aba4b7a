// SPDX-License-Identifier: MIT
// The least of an OpenID client, in JavaScript, to test the harness without latchkey: no PAR, no DPoP, nothing checked.

import { createHash, randomBytes } from 'node:crypto'
import { decodeJwt } from 'jose'

const random = () => randomBytes(32).toString('base64url')

export class PlainClient {
  constructor(server, clientId) {
    Object.assign(this, { server, clientId, redirectUri: 'http://127.0.0.1:9/callback', verifier: random() })
  }

  authorizeUrl() {
    return `${this.server.issuer}/auth?${new URLSearchParams({
      response_type: 'code',
      client_id: this.clientId,
      redirect_uri: this.redirectUri,
      scope: 'openid',
      state: 'the-state',
      code_challenge: createHash('sha256').update(this.verifier).digest('base64url'),
      code_challenge_method: 'S256',
    })}`
  }

  async post(path, form) {
    const body = new URLSearchParams({ client_id: this.clientId, ...form })
    const answer = await fetch(this.server.issuer + path, { method: 'POST', body })
    const text = await answer.text()
    return { status: answer.status, body: text ? JSON.parse(text) : {} }
  }

  /** The tokens for the code in `redirect`. */
  async exchange(redirect) {
    const code = new URL(redirect).searchParams.get('code')
    const form = { grant_type: 'authorization_code', code, code_verifier: this.verifier, redirect_uri: this.redirectUri }
    return this.#keep(await this.post('/token', form))
  }

  async refresh(refreshToken = this.refreshToken) {
    return this.#keep(await this.post('/token', { grant_type: 'refresh_token', refresh_token: refreshToken }))
  }

  #keep(answer) {
    if (answer.status !== 200) return answer
    this.accessToken = answer.body.access_token
    this.refreshToken = answer.body.refresh_token ?? this.refreshToken
    this.idToken = answer.body.id_token
    this.subject = decodeJwt(this.idToken).sub
    return answer
  }
}
