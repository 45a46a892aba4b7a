// SPDX-License-Identifier: MIT
// An OpenID provider that is not ours: npm's oidc-provider, on loopback, in this process, behind a counting proxy. Its
// development pages take any login and password; the login becomes the subject.
//
//   const server = await OidcServer.start({ par: 'required', dpop: 'nonce' })
//   server.issuer, server.clients.native ..., server.secret     whom a client talks to, and as whom
//   server.mark(), server.requests(mark)      what arrived since, entries of counting-proxy.mjs; paths are in kPaths
//   server.fault({...}), server.noFaults()    as there, too
//   server.restart(settings)                  the same port, sessions and grants, with other settings
//   server.rotateKeys()                       the same with other signing keys, the old ones forgotten
//   server.forge(path, change)                from now on the JSON answers of a path are what `change` makes of them
//   server.forgeIdTokens(change, sign)        the same for the claims of id tokens; signed by the server unless told
//   server.isActive(token), server.countActive(secrets)       what introspection says
//   server.captured(known)                    secrets that passed, but for those known before
//
// Settings: par 'off', 'offered', 'required'; dpop 'off', 'offered', 'nonce' (wanted in every proof); accessTtl and
// deviceTtl in seconds.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose'
import { CountingProxy } from '../counting-proxy.mjs'

console.info = console.warn = () => {} // its notices are about running it in production
const { Provider } = await import('oidc-provider')
const { createMemoryAdapter } = await import('oidc-provider/lib/adapters/memory_adapter.js')

export const kPaths = {
  configuration: '/.well-known/openid-configuration',
  authorization: '/auth',
  device: '/device/auth',
  jwks: '/jwks',
  par: '/request',
  revocation: '/token/revocation',
  token: '/token',
}
export const kAlgorithms = ['ES256', 'RS256', 'PS256', 'EdDSA']
const kDeviceGrant = 'urn:ietf:params:oauth:grant-type:device_code'
const kSettings = { par: 'off', dpop: 'off', accessTtl: 300, deviceTtl: 120 }

/** A private JWK. */
export async function newKey(alg, kid) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(privateKey)), alg, kid, use: 'sig' }
}

/** A JWT as whoever has the key would make it. */
export async function signWith(key, claims, header = {}) {
  const all = { alg: key.alg, kid: key.kid, ...header }
  return new SignJWT(claims).setProtectedHeader(all).sign(await importJWK(key, key.alg))
}

const newKeys = (generation) => Promise.all(kAlgorithms.map((alg) => newKey(alg, `${alg}-${generation}`)))

function registeredClients(secret) {
  const native = {
    application_type: 'native', // any port of http://127.0.0.1 is accepted
    redirect_uris: ['http://127.0.0.1/callback'],
    grant_types: ['authorization_code', 'refresh_token', kDeviceGrant],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    id_token_signed_response_alg: 'ES256',
  }
  const withSecret = (method) => ({ ...native, client_secret: secret, token_endpoint_auth_method: method })
  return {
    native,
    basic: withSecret('client_secret_basic'),
    post: withSecret('client_secret_post'),
    bound: { ...native, dpop_bound_access_tokens: true },
    ...Object.fromEntries(kAlgorithms.map((alg) => [alg, { ...native, id_token_signed_response_alg: alg }])),
  }
}

export class OidcServer {
  #server
  #proxy
  #settings
  #registered
  #keys
  #generation = 1
  #forgeries = new Map()
  #storage = createMemoryAdapter()

  static async start(settings = {}) {
    const server = new OidcServer()
    await server.#start(settings)
    return server
  }

  async #start(settings) {
    this.#settings = { ...kSettings, ...settings }
    this.secret = randomBytes(24).toString('base64url')
    this.#registered = registeredClients(this.secret)
    this.clients = Object.fromEntries(Object.keys(this.#registered).map((name) => [name, `client-${name}`]))
    this.#keys = await newKeys(this.#generation)

    this.#server = http.createServer().listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const target = this.#server.address().port
    const rewrite = (entry, answer) => this.#rewrite(entry, answer)
    this.#proxy = new CountingProxy({ name: 'oidc', target, tokenPath: kPaths.token, rewrite })
    this.#proxy.capturing = true
    // The issuer names the public port, so that comes before the provider.
    this.issuer = `http://127.0.0.1:${await this.#proxy.listen(0)}`
    this.#serve()
  }

  stop() {
    this.#proxy.close()
    this.#server.close()
    this.#server.closeAllConnections()
  }

  mark() {
    return this.#proxy.log().length
  }
  requests(mark = 0, path) {
    return this.#proxy.log(mark).filter((e) => !path || e.path === path)
  }
  fault(fault) {
    this.#proxy.addFault(fault)
  }
  noFaults() {
    this.#proxy.clearFaults()
  }
  /** Every secret that passed since the start, or since `known` was given. */
  captured(known = []) {
    const before = new Set(known)
    return this.#proxy.captured().filter((secret) => !before.has(secret))
  }

  restart(settings = {}) {
    Object.assign(this.#settings, settings)
    this.#serve()
  }

  async rotateKeys() {
    this.#keys = await newKeys((this.#generation += 1))
    this.#serve()
  }

  forge(path, change) {
    this.#forgeries.set(path, change)
  }
  forgeIdTokens(change, sign = (claims, header) => this.sign(claims, header)) {
    this.forge(kPaths.token, async (answer) => {
      if (!answer.id_token) return answer
      const claims = change(decodeJwt(answer.id_token))
      return { ...answer, id_token: await sign(claims, decodeProtectedHeader(answer.id_token)) }
    })
  }
  honest() {
    this.#forgeries.clear()
  }

  /** A JWT of the server's own. */
  sign(claims, { alg = 'ES256' } = {}) {
    return signWith(this.keyFor(alg), claims)
  }
  keyFor(alg) {
    return this.#keys.find((key) => key.alg === alg)
  }

  /** How many of these secrets are access or refresh tokens that the server would still take. */
  async countActive(secrets) {
    const opaque = secrets.filter((secret) => !secret.includes('.')) // id tokens are no tokens to it
    const states = await Promise.all(opaque.map((secret) => this.isActive(secret)))
    return states.filter(Boolean).length
  }

  async isActive(token) {
    const credentials = Buffer.from(`${this.clients.basic}:${this.secret}`).toString('base64')
    const answer = await fetch(`${this.issuer}/token/introspection`, {
      method: 'POST',
      headers: { authorization: `Basic ${credentials}` },
      body: new URLSearchParams({ token }),
    })
    const json = await answer.json()
    if (!answer.ok) throw new Error(`introspection: ${answer.status} ${JSON.stringify(json)}`)
    return json.active
  }

  /** What provider there was gives way to one with the settings and keys of now, over the same storage. */
  #serve() {
    const provider = new Provider(this.issuer, this.#configuration())
    this.#server.removeAllListeners('request')
    this.#server.on('request', provider.callback())
  }

  #configuration() {
    const { par, dpop, accessTtl, deviceTtl } = this.#settings
    const clients = Object.entries(this.#registered).map(([name, c]) => ({ ...c, client_id: this.clients[name] }))
    return {
      adapter: this.#storage,
      clients: clients.filter((client) => dpop !== 'off' || !client.dpop_bound_access_tokens),
      jwks: { keys: this.#keys },
      cookies: { keys: [this.secret] },
      enabledJWA: { idTokenSigningAlgValues: kAlgorithms },
      scopes: ['openid', 'offline_access', 'profile', 'api'],
      // OpenID asks that offline_access come with prompt=consent; a plain OAuth client does not send that.
      issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
      rotateRefreshToken: true,
      pkce: { required: () => true },
      ttl: { AccessToken: accessTtl, AuthorizationCode: 60, RefreshToken: 86400, DeviceCode: deviceTtl, Interaction: 600,
             Grant: 86400, IdToken: 300, Session: 86400 },
      features: {
        devInteractions: { enabled: true },
        deviceFlow: { enabled: true },
        dPoP: { enabled: dpop !== 'off', nonceSecret: randomBytes(32), requireNonce: () => dpop === 'nonce' },
        introspection: { enabled: true },
        pushedAuthorizationRequests: {
          enabled: par !== 'off',
          requirePushedAuthorizationRequests: par === 'required',
        },
        revocation: { enabled: true },
      },
    }
  }

  async #rewrite(entry, answer) {
    const change = this.#forgeries.get(entry.path)
    if (!change || answer.status !== 200) return answer
    const json = await change(JSON.parse(answer.body.toString('utf8')))
    return { ...answer, body: Buffer.from(JSON.stringify(json)) }
  }
}
