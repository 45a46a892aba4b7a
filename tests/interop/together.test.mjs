// SPDX-License-Identifier: MIT
// Eight processes at once on one session: exactly one refresh at the server, and all of them succeed.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { kPost, onServer, Place, post, Server, stores, until } from './harness.mjs'

const kProcesses = 8

for (const store of stores) {
  describe(onServer(`${kProcesses} processes at once, sessions kept in ${store}`), () => {
    let server
    before(async () => (server = await Server.start()))
    after(() => server?.stop())

    const allAtOnce = (place, args) => Promise.all(Array.from({ length: kProcesses }, (_, i) => place.run(args(i))))
    const write = (i) => ['record', 'create', kPost, post(`process ${i}`)]

    async function assertOneRefresh(mark) {
      const posts = await server.refreshes(mark)
      // The one exchange may have been asked for a nonce first; that consumes no token and is still the one refresher.
      const counted = posts.filter((e) => e.error !== 'use_dpop_nonce')
      assert.deepEqual(counted.map((e) => e.status), [200], JSON.stringify(posts, null, 1))
      assert.ok(posts.length <= 2)
    }

    async function withLogin(lifetime, body) {
      const place = new Place(server, store)
      try {
        await server.tokenLifetime(lifetime)
        ;(await place.login(server.alice)).expect(0)
        await server.tokenLifetime(3_600_000)
        await body(place)
      } finally {
        await server.noFaults()
        place.remove()
      }
    }

    test('an expired session', () =>
      withLogin(2000, async (place) => {
        await until(Date.now() + 2000)
        const mark = await server.mark()
        const results = await allAtOnce(place, write)
        results.forEach((result) => result.expect(0))
        assert.equal(new Set(results.map((result) => result.json.uri)).size, kProcesses)
        await assertOneRefresh(mark)
      }))

    test('a session whose token the server refuses with 401', () =>
      withLogin(3_600_000, async (place) => {
        const mark = await server.mark()
        await server.refuseIssuedTokens()
        ;(await allAtOnce(place, write)).forEach((result) => result.expect(0))
        await assertOneRefresh(mark)
      }))

    test('a slow token endpoint: the others wait for the one', () =>
      withLogin(2000, async (place) => {
        await until(Date.now() + 2000)
        await server.fault({ path: '/oauth/token', grant_type: 'refresh_token', action: 'delay', ms: 1500, times: 2 })
        const mark = await server.mark()
        ;(await allAtOnce(place, write)).forEach((result) => result.expect(0))
        await assertOneRefresh(mark)
      }))

    test('a revoked session: everybody is told to log in, and the dead token is sent once', () =>
      withLogin(2000, async (place) => {
        await until(Date.now() + 2000)
        await server.revoke(server.alice.did)
        const mark = await server.mark()
        ;(await allAtOnce(place, write)).forEach((result) => result.expect(3))
        assert.equal((await server.refreshes(mark)).filter((e) => e.error === 'invalid_grant').length, 1)
      }))
  })
}
