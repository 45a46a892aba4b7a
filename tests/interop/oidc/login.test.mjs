// SPDX-License-Identifier: MIT
// Logins at an OpenID provider that is not ours, by every way in which it can be asked.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Client } from './client.mjs'
import { loginHttp, loginInChromium } from './login.mjs'
import { kAlgorithms, kPaths, OidcServer } from './server.mjs'

describe('login [oidc-provider]', () => {
  let server
  before(async () => (server = await OidcServer.start()))
  after(() => server?.stop())

  /** A test with a client of its own, at a server with these settings. */
  const withClient = (name, body, { settings = {}, who = () => ({}) } = {}) =>
    test(name, async () => {
      server.restart({ par: 'off', dpop: 'off', accessTtl: 300, ...settings })
      const client = await Client.start(server, who())
      try {
        await body(client, server.mark())
      } finally {
        client.stop()
        server.noFaults()
      }
    })

  const parametersOf = (client) => new URL(client.opened).searchParams
  const asked = (mark, path) => server.requests(mark, path).map((e) => e.error ?? e.status)

  function assertLoggedIn({ ok, error, visit }, expected = {}) {
    assert.ok(ok, JSON.stringify(error))
    assert.equal(ok.subject, `${server.issuer}|alice`)
    if (visit) assert.equal(visit.status, 200)
    for (const [name, value] of Object.entries(expected)) assert.equal(ok[name], value, name)
  }

  withClient('through the real page in Chromium, which shows the result', async (client) => {
    assertLoggedIn(await client.do('login', { drive: (url) => loginInChromium(url, 'alice') }))
  })

  withClient('a public client with PKCE, all parameters in the URL', async (client, mark) => {
    assertLoggedIn(await client.do('login'), { token_type: 'Bearer', is_bound: false, scope: 'openid' })
    const sent = parametersOf(client)
    assert.equal(sent.get('code_challenge_method'), 'S256')
    assert.equal(sent.get('code_challenge').length, 43)
    assert.ok(sent.get('nonce').length >= 22 && sent.get('state').length >= 22)
    assert.deepEqual(asked(mark, kPaths.par), [])
    assert.deepEqual(asked(mark, kPaths.token), [200])
  })

  for (const par of ['offered', 'required']) {
    withClient(`PAR that is ${par} is used: the URL has no parameter but two`, async (client, mark) => {
      assertLoggedIn(await client.do('login'))
      assert.deepEqual([...parametersOf(client).keys()].sort(), ['client_id', 'request_uri'])
      assert.deepEqual(asked(mark, kPaths.par), [201])
    }, { settings: { par } })
  }

  withClient('DPoP that is offered is used, and the tokens are bound', async (client, mark) => {
    assertLoggedIn(await client.do('login'), { token_type: 'DPoP', is_bound: true })
    const proofs = server.requests(mark).flatMap((e) => e.proof ?? [])
    assert.ok(proofs.length >= 1)
    assert.equal(new Set(proofs.map((p) => p.jti)).size, proofs.length)
  }, { settings: { dpop: 'offered' } })

  withClient('a nonce that the server wants costs one more request, and is remembered', async (client, mark) => {
    assertLoggedIn(await client.do('login'), { is_bound: true })
    assert.deepEqual(asked(mark, kPaths.par), ['use_dpop_nonce', 201])
    assert.deepEqual(asked(mark, kPaths.token), [200])
    assert.ok((await client.do('refresh')).ok)
    assert.deepEqual(asked(mark, kPaths.token), [200, 200])
  }, { settings: { dpop: 'nonce', par: 'offered' } })

  withClient('a client that must be bound is', async (client) => {
    assertLoggedIn(await client.do('login'), { is_bound: true })
  }, { settings: { dpop: 'offered' }, who: () => ({ clientId: server.clients.bound }) })

  for (const [name, secretIn] of [['basic', 'header'], ['post', 'form']]) {
    const who = () => ({ clientId: server.clients[name], secret: server.secret, secretIn })
    withClient(`client_secret_${name}: the right secret`, async (client) => {
      assertLoggedIn(await client.do('login'))
      assert.ok((await client.do('refresh')).ok)
      assert.deepEqual((await client.do('logout')).ok, { revoked: true })
    }, { who })

    withClient(`client_secret_${name}: a wrong secret`, async (client, mark) => {
      const { error } = await client.do('login')
      assert.equal(error.code, 'invalid_client')
      assert.ok(!error.message.includes('not-the-secret'))
      assert.deepEqual(asked(mark, kPaths.token), ['invalid_client'])
    }, { who: () => ({ ...who(), secret: 'not-the-secret' }) })
  }

  for (const alg of kAlgorithms) {
    withClient(`an id token of ${alg} is checked`, async (client) => {
      assertLoggedIn(await client.do('login'))
    }, { who: () => ({ clientId: server.clients[alg] }) })
  }

  withClient('tokens in the hand, with the claims that were checked', async (client) => {
    const { ok } = await client.do('authorize')
    assert.deepEqual(ok, { sub: 'alice', iss: server.issuer })
  })

  withClient('a denial is access_denied, and the next login succeeds', async (client) => {
    const { error } = await client.do('login', { drive: (url) => loginHttp(url, 'alice', { deny: true }) })
    assert.equal(error.code, 'access_denied')
    assertLoggedIn(await client.do('login'))
  })

  withClient('a callback that names another issuer is refused, and no code is sent', async (client, mark) => {
    const drive = async (url) => {
      const { redirect } = await loginHttp(url, 'alice', { arriveThere: false })
      const other = new URL(redirect)
      other.searchParams.set('iss', 'https://evil.example')
      return { status: (await fetch(other)).status }
    }
    const { error } = await client.do('login', { drive })
    assert.deepEqual([error.code, error.detail], ['callback_invalid', 'callback.iss_mismatch'])
    assert.deepEqual(asked(mark, kPaths.token), [])
  })

  withClient('the keys are fetched once for several logins', async (client, mark) => {
    assertLoggedIn(await client.do('login'))
    assertLoggedIn(await client.do('login'))
    assert.equal(asked(mark, kPaths.jwks).length, 1)
  })
})
