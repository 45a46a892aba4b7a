// SPDX-License-Identifier: MIT
// The smallest OAuth client that a server accepts, with node:crypto alone. It keeps the harness honest (harness.test.mjs):
// what it shows needs no latchkey. Not a model for anybody: it checks nothing.

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'

const base64url = (data) => Buffer.from(data).toString('base64url')
const digest = (text) => createHash('sha256').update(text).digest('base64url')

export class ReferenceClient {
  /** `server`: {pds, issuer}. */
  constructor(server, { redirectUri = 'http://127.0.0.1:9/callback', scope = 'atproto transition:generic' } = {}) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
    Object.assign(this, { pds: server.pds, issuer: server.issuer, redirectUri, scope, privateKey, jwk: { kty, crv, x, y } })
    const query = new URLSearchParams({ redirect_uri: redirectUri, scope })
    this.clientId = `http://localhost?${query}`
    this.verifier = base64url(randomBytes(32))
    this.state = base64url(randomBytes(16))
    this.nonces = new Map() // by origin
  }

  proof(method, url, token) {
    const nonce = this.nonces.get(new URL(url).origin)
    const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: this.jwk }
    const claims = {
      jti: base64url(randomBytes(16)),
      htm: method,
      htu: url,
      iat: Math.floor(Date.now() / 1000),
      ...(nonce && { nonce }),
      ...(token && { ath: digest(token) }),
    }
    const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`
    const key = { key: this.privateKey, dsaEncoding: 'ieee-p1363' }
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
  }

  /** One request with a proof; once more when the server asks for its nonce. */
  async send(method, url, { token, form, json } = {}) {
    for (const attempt of [1, 2]) {
      const answer = await fetch(url, {
        method,
        headers: {
          dpop: this.proof(method, url, token),
          ...(token && { authorization: `DPoP ${token}` }),
          ...(json && { 'content-type': 'application/json' }),
        },
        body: form ? new URLSearchParams(form) : json && JSON.stringify(json),
      })
      const nonce = answer.headers.get('dpop-nonce')
      if (nonce) this.nonces.set(new URL(url).origin, nonce)
      const body = await answer.json()
      if (attempt === 2 || body.error !== 'use_dpop_nonce') return { status: answer.status, body }
    }
  }

  async authorizeUrl() {
    const { body } = await this.send('POST', `${this.issuer}/oauth/par`, {
      form: {
        response_type: 'code',
        client_id: this.clientId,
        redirect_uri: this.redirectUri,
        scope: this.scope,
        state: this.state,
        code_challenge: digest(this.verifier),
        code_challenge_method: 'S256',
        login_hint: 'alice.test',
      },
    })
    if (!body.request_uri) throw new Error(`par: ${JSON.stringify(body)}`)
    const query = new URLSearchParams({ client_id: this.clientId, request_uri: body.request_uri })
    return `${this.issuer}/oauth/authorize?${query}`
  }

  async exchange(redirect) {
    const code = new URL(redirect).searchParams.get('code')
    return this.#tokens({
      grant_type: 'authorization_code',
      code,
      redirect_uri: this.redirectUri,
      code_verifier: this.verifier,
    })
  }

  refresh() {
    return this.#tokens({ grant_type: 'refresh_token', refresh_token: this.refreshToken })
  }

  async #tokens(form) {
    const answer = await this.send('POST', `${this.issuer}/oauth/token`, { form: { client_id: this.clientId, ...form } })
    if (answer.status === 200) {
      this.accessToken = answer.body.access_token
      this.refreshToken = answer.body.refresh_token
      this.did = answer.body.sub
    }
    return answer
  }

  createRecord(text) {
    const record = { $type: 'app.bsky.feed.post', text, createdAt: new Date().toISOString() }
    return this.send('POST', `${this.pds}/xrpc/com.atproto.repo.createRecord`, {
      token: this.accessToken,
      json: { repo: this.did, collection: 'app.bsky.feed.post', record },
    })
  }
}
