// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { onServer, Place, Server } from './harness.mjs'

describe(onServer('login'), () => {
  let server
  before(async () => (server = await Server.start()))
  after(() => server?.stop())

  /** A test with a machine of its own. */
  const onMachine = (name, body) =>
    test(name, async () => {
      const place = new Place(server)
      try {
        await body(place)
      } finally {
        await server.noFaults()
        place.remove()
      }
    })

  async function assertNothingSaved(place) {
    const { json } = (await place.run(['sessions'])).expect(0)
    assert.deepEqual(json, [])
    ;(await place.run(['whoami'])).expect(3)
  }

  /** The loopback address that the tool told the server in its last PAR. */
  async function redirectUri(mark) {
    return (await server.requests(mark, 'pds')).find((e) => e.path === '/oauth/par' && e.status === 201).redirect_uri
  }

  onMachine('by handle', async (place) => {
    const result = (await place.login(server.alice)).expect(0)
    assert.equal(result.visit.status, 200)
    const who = (await place.run(['whoami'])).expect(0).json
    assert.equal(who.subject, server.alice.did)
    assert.equal(who.handle, server.alice.handle)
    assert.equal(who.state, 'active')
    assert.ok(Date.parse(who.expires_at) > Date.now())
  })

  onMachine('by DID', async (place) => {
    ;(await place.login(server.bob, { start: server.bob.did })).expect(0)
    assert.equal((await place.run(['whoami'])).expect(0).json.subject, server.bob.did)
  })

  onMachine('by server URL: the account is the one that signs in', async (place) => {
    ;(await place.login(server.bob, { start: server.pds })).expect(0)
    assert.equal((await place.run(['whoami'])).expect(0).json.subject, server.bob.did)
  })

  onMachine('through the real page in Chromium, which shows the result', async (place) => {
    const result = (await place.login(server.alice, { drive: server.signInWithChromium })).expect(0)
    assert.equal(result.visit.status, 200)
    assert.equal((await place.run(['whoami'])).expect(0).json.subject, server.alice.did)
  })

  onMachine('a second account: each is chosen by --account, and none is guessed', async (place) => {
    ;(await place.login(server.alice)).expect(0)
    ;(await place.login(server.bob)).expect(0)
    const rows = (await place.run(['sessions'])).expect(0).json
    assert.deepEqual(rows.map((row) => row.subject).sort(), [server.alice.did, server.bob.did].sort())
    assert.ok(rows.every((row) => row.state === 'active'))
    const unsaid = (await place.run(['whoami'])).expect(2)
    assert.match(unsaid.stderr, new RegExp(server.alice.did))
    assert.match(unsaid.stderr, new RegExp(server.bob.did))
    for (const name of [server.bob.did, server.bob.handle]) {
      assert.equal((await place.run(['--account', name, 'whoami'])).expect(0).json.subject, server.bob.did)
    }
  })

  onMachine('C5.7, C5.11: signing in as somebody else than was named is refused, and what was issued revoked', async (place) => {
    const sessions = await server.sessionCount(server.bob.did)
    const mark = await server.mark()
    const running = place.start(['login', server.alice.handle, '--no-browser'])
    const [, result] = await Promise.all([
      server.signIn(await running.authorizeUrl, server.bob.handle, server.bob.password),
      running.done,
    ])
    result.expect(1)
    await assertNothingSaved(place)
    const seen = await server.requests(mark, 'pds')
    assert.equal(seen.filter((e) => e.grant_type === 'authorization_code' && e.status === 200).length, 1)
    assert.equal(seen.filter((e) => e.path === '/oauth/revoke' && e.status === 200).length, 1)
    assert.equal(await server.sessionCount(server.bob.did), sessions)
  })

  onMachine('denial by the user: says so and saves nothing', async (place) => {
    const drive = (url, handle, password) => server.signIn(url, handle, password, { deny: true })
    const result = (await place.login(server.alice, { drive })).expect(1)
    assert.match(result.stderr, /den(y|ied)/i)
    await assertNothingSaved(place)
  })

  onMachine('callbacks of strangers do not end the wait', async (place) => {
    const mark = await server.mark()
    const running = place.start(['login', server.alice.handle, '--no-browser'])
    const url = await running.authorizeUrl
    const redirect = await redirectUri(mark)
    for (const query of ['', '?code=stolen', '?state=wrong&code=stolen&iss=' + encodeURIComponent(server.issuer),
                         '?state=wrong&error=access_denied']) {
      assert.ok((await fetch(redirect + query)).status >= 400, query)
    }
    assert.equal((await fetch(new URL('/elsewhere', redirect))).status, 404)
    const [visit, result] = await Promise.all([
      server.signIn(url, server.alice.handle, server.alice.password),
      running.done,
    ])
    result.expect(0)
    assert.equal(visit.status, 200)
    const tokens = (await server.requests(mark, 'pds')).filter((e) => e.grant_type === 'authorization_code')
    assert.equal(tokens.filter((e) => e.status === 200).length, 1)
  })

  onMachine('--paste takes the redirected address from the terminal', async (place) => {
    const running = place.start(['login', server.alice.handle, '--no-browser', '--paste'], { input: null })
    const url = await running.authorizeUrl
    // A machine without a browser: nobody answers at the redirect address, its user copies it over.
    const { redirect } = await server.signIn(url, server.alice.handle, server.alice.password, { arriveThere: false })
    running.child.stdin.end(`${redirect}\n`)
    ;(await running.done).expect(0)
    assert.equal((await place.run(['whoami'])).expect(0).json.subject, server.alice.did)
  })

  onMachine('an unknown handle: exit 1, nothing saved, no authorize URL', async (place) => {
    const running = place.start(['login', 'nobody.test', '--no-browser'])
    ;(await running.done).expect(1)
    await assert.rejects(running.authorizeUrl)
    await assertNothingSaved(place)
  })

  onMachine('no handle, DID or URL at all is a usage error', async (place) => {
    ;(await place.run(['login', 'not a handle'])).expect(2)
    ;(await place.run(['login'])).expect(2)
  })

  onMachine('a token answer that breaks off: nothing is saved, and the next login succeeds', async (place) => {
    await server.fault({ path: '/oauth/token', grant_type: 'authorization_code', action: 'drop_answer', times: 9 })
    const mark = await server.mark()
    const result = (await place.login(server.alice)).expect(1)
    assert.ok(result.visit.status !== null, 'the browser was told')
    const posts = (await server.requests(mark, 'pds')).filter((e) => e.grant_type === 'authorization_code')
    assert.equal(posts.filter((e) => e.error !== 'use_dpop_nonce').length, 1, 'a code is never sent twice')
    await server.noFaults()
    await assertNothingSaved(place)
    ;(await place.login(server.alice)).expect(0)
  })

  onMachine('every request that needs a proof carries a new one', async (place) => {
    const mark = await server.mark()
    ;(await place.login(server.alice)).expect(0)
    ;(await place.run(['refresh'])).expect(0)
    const proofs = (await server.requests(mark, 'pds')).flatMap((e) => e.proof ?? [])
    assert.ok(proofs.length >= 3)
    assert.equal(new Set(proofs.map((p) => p.jti)).size, proofs.length)
  })
})
