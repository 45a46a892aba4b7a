// SPDX-License-Identifier: MIT
// The device grant at an OpenID provider that is not ours. It says no interval, so polls are five seconds apart.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Client } from './client.mjs'
import { loginHttp, loginInChromium } from './login.mjs'
import { kPaths, OidcServer } from './server.mjs'

describe('device [oidc-provider]', { concurrency: true }, () => {
  let server
  before(async () => (server = await OidcServer.start()))
  after(() => server?.stop())

  const withClient = (name, body) =>
    test(name, async () => {
      const client = await Client.start(server)
      try {
        await body(client)
      } finally {
        client.stop()
      }
    })
  const deviceAs = (login, options) => (url) => loginHttp(url, login, options)

  withClient('allowed in Chromium', async (client) => {
    const { ok, error } = await client.do('device', { drive: (url) => loginInChromium(url, 'carol') })
    assert.ok(ok, JSON.stringify(error))
    assert.equal(ok.subject, `${server.issuer}|carol`)
    assert.ok((await client.do('refresh')).ok)
  })

  withClient('denied', async (client) => {
    const { error } = await client.do('device', { drive: deviceAs('dave', { deny: true }) })
    assert.deepEqual([error.code, error.detail], ['access_denied', 'device.access_denied'])
  })

  withClient('of somebody who hesitates: pending until then, never asked too early', async (client) => {
    const started = Date.now()
    const drive = async (url) => {
      while (!server.requests(0, kPaths.token).some((e) => e.error === 'authorization_pending')) {
        await new Promise((go) => setTimeout(go, 100))
      }
      return loginHttp(url, 'erin')
    }
    const { ok, error } = await client.do('device', { drive })
    assert.ok(ok, JSON.stringify(error))
    assert.ok(Date.now() - started >= 10_000, 'two polls, five seconds before each')
    assert.ok(!server.requests(0, kPaths.token).some((e) => e.error === 'slow_down'))
  })
})
