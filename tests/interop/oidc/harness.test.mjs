// SPDX-License-Identifier: MIT
// The harness itself, without latchkey: that the provider logs in, rotates, and that its proxy forges what it says.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { loginHttp, loginInChromium } from './login.mjs'
import { PlainClient } from './plain-client.mjs'
import { kAlgorithms, kPaths, newKey, OidcServer, signWith } from './server.mjs'

describe('harness [oidc-provider]', () => {
  let server
  before(async () => (server = await OidcServer.start()))
  after(() => server?.stop())

  async function loggedIn({ clientId = server.clients.native, drive = loginHttp } = {}) {
    const client = new PlainClient(server, clientId)
    const { redirect } = await drive(client.authorizeUrl(), 'alice', { arriveThere: false })
    assert.equal(new URL(redirect).searchParams.get('iss'), server.issuer)
    const answer = await client.exchange(redirect)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return client
  }
  const published = () => createRemoteJWKSet(new URL(server.issuer + kPaths.jwks))

  test('a login over HTTP ends in tokens of who signed in', async () => {
    assert.equal((await loggedIn()).subject, 'alice')
  })

  test('a login through Chromium ends in tokens', async () => {
    assert.equal((await loggedIn({ drive: loginInChromium })).subject, 'alice')
  })

  for (const drive of [loginHttp, loginInChromium]) {
    test(`a denial comes back as access_denied (${drive.name})`, async () => {
      const client = new PlainClient(server, server.clients.native)
      const { redirect } = await drive(client.authorizeUrl(), 'alice', { deny: true, arriveThere: false })
      assert.equal(new URL(redirect).searchParams.get('error'), 'access_denied')
    })

    test(`a device is allowed or denied (${drive.name})`, async () => {
      for (const deny of [false, true]) {
        const client = new PlainClient(server, server.clients.native)
        const { body } = await client.post(kPaths.device, { scope: 'openid' })
        assert.deepEqual(await drive(body.verification_uri_complete, 'alice', { deny }), { redirect: null, status: null })
        const grant_type = 'urn:ietf:params:oauth:grant-type:device_code'
        const answer = await client.post(kPaths.token, { grant_type, device_code: body.device_code })
        assert.deepEqual([answer.status, answer.body.error], deny ? [400, 'access_denied'] : [200, undefined])
      }
    })
  }

  for (const alg of kAlgorithms) {
    test(`id tokens of ${alg} are signed with a published key`, async () => {
      const { idToken } = await loggedIn({ clientId: server.clients[alg] })
      assert.equal(decodeProtectedHeader(idToken).alg, alg)
      await jwtVerify(idToken, published(), { issuer: server.issuer, audience: server.clients[alg] })
    })
  }

  test('a spent refresh token is refused, and its whole family with it', async () => {
    const client = await loggedIn()
    const spent = client.refreshToken
    assert.equal((await client.refresh()).status, 200)
    assert.equal((await client.refresh(spent)).body.error, 'invalid_grant')
    assert.equal((await client.refresh()).body.error, 'invalid_grant')
  })

  test('introspection tells a live token from a revoked one', async () => {
    const client = await loggedIn()
    assert.equal(await server.isActive(client.accessToken), true)
    await client.post(kPaths.revocation, { token: client.accessToken })
    assert.equal(await server.isActive(client.accessToken), false)
  })

  test('a restart keeps sessions; new keys take the place of the old ones', async () => {
    const client = await loggedIn()
    const old = client.idToken
    await server.rotateKeys()
    await client.refresh()
    await jwtVerify(client.idToken, published())
    await assert.rejects(jwtVerify(old, published()), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  })

  test('required PAR refuses a plain request, and is over after a restart', async () => {
    const error = async () => {
      const answer = await fetch(new PlainClient(server, server.clients.native).authorizeUrl(), { redirect: 'manual' })
      return new URL(answer.headers.get('location'), server.issuer).searchParams.get('error')
    }
    server.restart({ par: 'required' })
    assert.equal(await error(), 'invalid_request')
    server.restart({ par: 'off' })
    assert.equal(await error(), null)
  })

  test('forged claims are signed by the server, or by whom the test says', async () => {
    const aud = 'somebody-else'
    server.forgeIdTokens((claims) => ({ ...claims, aud }))
    assert.equal((await jwtVerify((await loggedIn()).idToken, published())).payload.aud, aud)
    const foreign = await newKey('ES256', server.keyFor('ES256').kid)
    server.forgeIdTokens((claims) => claims, (claims) => signWith(foreign, claims))
    await assert.rejects(jwtVerify((await loggedIn()).idToken, published()), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
    server.honest()
    assert.equal(decodeJwt((await loggedIn()).idToken).aud, server.clients.native)
  })

  test('requests are counted by path, and secrets remembered', async () => {
    const mark = server.mark()
    const client = await loggedIn()
    assert.deepEqual(server.requests(mark, kPaths.token).map((e) => [e.grant_type, e.status]), [['authorization_code', 200]])
    for (const secret of [client.accessToken, client.refreshToken, client.idToken]) {
      assert.ok(server.captured().includes(secret))
    }
  })
})
