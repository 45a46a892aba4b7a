// SPDX-License-Identifier: MIT
// The example web backend: a person in Chromium, and attackers.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { onServer, Place, Server } from './harness.mjs'
import { SlowServer } from './slow-server.mjs'
import { Visitor } from './visitor.mjs'
import { WebBackend } from './web-backend.mjs'
import { withBrowser } from './web-site.mjs'

// Never asked for: the server finds the document as it is published below.
const kOrigin = 'https://app.latchkey.dev'

describe(onServer('web backend'), () => {
  let server, backend
  before(async () => {
    server = await Server.start()
    backend = await WebBackend.start(server)
  })
  after(async () => {
    await backend?.stop()
    await server?.stop()
  })

  const codesSent = async (mark) =>
    (await server.requests(mark, 'pds')).filter((e) => e.grant_type === 'authorization_code').length

  test('a person logs in, posts, is known after a restart, and logs out', () =>
    withBrowser(async (browser, page) => {
      await backend.logInWith(browser, server.alice, { from: '/compose' })
      assert.equal(page.url(), `${backend.url}/compose`) // where they wanted to go
      const uri = await backend.postWith(page, server.alice, 'from a <b>web</b> backend')
      const record = (await backend.posts(server.alice)).find((one) => one.uri === uri)
      assert.equal(record.value.text, 'from a <b>web</b> backend')

      await backend.restart()
      assert.equal(await backend.whoIs(page), server.alice.did)
      const sessions = await server.sessionCount(server.alice.did)
      await page.getByRole('button', { name: 'Log out' }).click()
      await page.getByRole('heading', { name: 'Log in' }).waitFor()
      assert.equal(await server.sessionCount(server.alice.did), sessions - 1)
      await page.goto(`${backend.url}/compose`)
      await page.getByRole('heading', { name: 'Log in' }).waitFor()
    }))

  test('C5.1: a victim on the callback of an attacker stays who they were, and the code is not used', () =>
    withBrowser(async (browser, page) => {
      await backend.logInWith(browser, server.bob)
      const mark = await server.mark()
      const sessions = await server.sessionCount(server.alice.did)
      const { visitor, callback } = await backend.almostLogIn(server.alice)
      const answer = await page.goto(callback)
      assert.equal(answer.status(), 400)
      assert.match(await page.locator('#problem').innerText(), /another browser/)
      assert.equal(await backend.whoIs(page), server.bob.did)
      // It is spent for the attacker too.
      assert.equal((await visitor.open(callback)).status, 400)
      assert.equal(await codesSent(mark), 0)
      assert.equal(await server.sessionCount(server.alice.did), sessions)
    }))

  test('C5.1: a victim who is just logging in is not taken to the account of an attacker', async () => {
    const victim = await backend.almostLogIn(server.bob)
    const attacker = await backend.almostLogIn(server.alice)
    const mark = await server.mark()
    assert.equal((await victim.visitor.open(attacker.callback)).status, 400)
    assert.equal(await codesSent(mark), 0)
    assert.equal((await victim.visitor.open(victim.callback)).status, 303)
    assert.match((await victim.visitor.open(backend.url)).text, new RegExp(server.bob.did))
  })

  test('C5.1: a browser without any cookie is refused', async () => {
    const { callback } = await backend.almostLogIn(server.alice)
    const stranger = new Visitor()
    const answer = await stranger.open(callback)
    assert.equal(answer.status, 400)
    assert.equal(answer.headers['set-cookie'], undefined)
    assert.doesNotMatch((await stranger.open(backend.url)).text, /did:/)
  })

  test('C5.1: a callback that comes again is refused, and the session goes on', async () => {
    const { visitor, callback } = await backend.logIn(server.alice)
    const mark = await server.mark()
    for (const browser of [visitor, new Visitor()]) {
      const again = await browser.open(callback)
      assert.equal(again.status, 400)
      assert.match(again.text, /not begun here, is finished already/)
    }
    assert.equal(await codesSent(mark), 0)
    const posted = await backend.submit(visitor, '/compose', { text: 'still here' })
    assert.equal(posted.status, 200)
  })

  test('C4.11: a login goes on in a backend that was started after it began', async () => {
    const { visitor, callback, cookies } = await backend.almostLogIn(server.bob, { returnTo: '/compose' })
    for (const part of ['HttpOnly', 'SameSite=Lax', 'Path=/oauth/callback', 'Max-Age=600']) {
      assert.ok(cookies[0].includes(part), cookies[0])
    }
    await backend.restart()
    const answer = await visitor.open(callback)
    assert.equal(answer.status, 303)
    assert.equal(answer.headers.location, '/compose')
    assert.match((await visitor.open(backend.url)).text, new RegExp(server.bob.did))
  })

  test('C5.3: a person who says no is told, and can go back to where they were', () =>
    withBrowser(async (browser, page) => {
      await backend.logInWith(browser, server.alice, { from: '/compose', deny: true })
      assert.match(await page.locator('#problem').innerText(), /said no|denied/i)
      await page.getByRole('link', { name: 'Go on' }).click()
      await page.getByRole('heading', { name: 'Log in' }).waitFor()
      assert.equal(page.url(), `${backend.url}/compose`)
    }))

  test('TS-58: whoever logs in again has one session at the server, not two', async () => {
    await backend.logIn(server.alice)
    const sessions = await server.sessionCount(server.alice.did)
    const { visitor } = await backend.logIn(server.alice)
    assert.equal(await server.sessionCount(server.alice.did), sessions)
    assert.equal((await backend.submit(visitor, '/compose', { text: 'the newer one' })).status, 200)
  })

  test('C5.7: whoever signs in as somebody else than they said is refused, and nothing is left at the server', async () => {
    const sessions = await server.sessionCount(server.bob.did)
    const visitor = new Visitor()
    const begun = await backend.submit(visitor, '/login', { who: server.alice.handle })
    const { handle, password } = server.bob
    const { redirect } = await server.signIn(begun.headers.location, handle, password, { arriveThere: false })
    assert.ok((await visitor.open(redirect)).status >= 400)
    assert.doesNotMatch((await visitor.open(backend.url)).text, /did:/)
    assert.equal(await server.sessionCount(server.bob.did), sessions)
  })

  test('forms of other sites change nothing', async () => {
    const { visitor } = await backend.logIn(server.alice)
    const before = (await backend.posts(server.alice)).length
    for (const origin of [null, 'null', 'https://evil.test', server.pds]) {
      for (const path of ['/compose', '/logout', '/login']) {
        const answer = await backend.submit(visitor, path, { text: 'forged', who: 'bob.test' }, { origin })
        assert.equal(answer.status, 403, `${path} from ${origin}`)
      }
    }
    assert.equal((await backend.posts(server.alice)).length, before)
    assert.match((await visitor.open(backend.url)).text, new RegExp(server.alice.did))
  })

  test('what a visitor types is shown as text, and leads nowhere', async () => {
    const visitor = new Visitor()
    const answer = await backend.submit(visitor, '/login', { who: '<script>alert(1)</script>' })
    assert.equal(answer.status, 400)
    assert.doesNotMatch(answer.text, /<script/)
    for (const returnTo of ['//evil.test', 'https://evil.test/', '/\\evil.test']) {
      const { answer: end } = await backend.logIn(server.alice, { returnTo })
      assert.equal(end.headers.location, '/')
    }
    const elsewhere = await visitor.request(backend.url, { headers: { host: 'evil.test' } })
    assert.equal(elsewhere.status, 421)
  })

  async function withSlowServer(answers, body) {
    const slow = await SlowServer.start(answers)
    try {
      await body(slow)
    } finally {
      await slow.stop()
    }
  }

  test('a visitor who names a server that is slow on purpose is told so, before a proxy gives up', () => {
    // Each of the two answers is within the time that it has; both together are not.
    const resource = (url) => ({ resource: url, authorization_servers: [url] })
    const answers = [{ ms: 8000, body: resource }, { ms: 9000, body: () => ({}) }]
    return withSlowServer(answers, async (slow) => {
      const start = Date.now()
      const answer = await backend.submit(new Visitor(), '/login', { who: slow.url })
      assert.equal(answer.status, 504)
      assert.match(answer.text, /took too long/)
      assert.ok(Date.now() - start < 16_500)
    })
  })

  test('a backend that is told to end answers the requests that are there, and lets nobody in any more', () =>
    withSlowServer([{ ms: 500, body: () => ({}) }], async (slow) => {
      const visitor = new Visitor()
      const answer = backend.submit(visitor, '/login', { who: slow.url })
      // Like those that browsers open in advance: no request comes over it.
      const idle = connect(new URL(backend.address).port, '127.0.0.1')
      await new Promise((resolve) => idle.on('connect', resolve))
      await slow.asked
      const ended = backend.end()
      const { status, text } = await answer
      assert.equal(status, 502)
      assert.match(text, /id="problem"/)
      assert.deepEqual(await ended, { code: 0, signal: null })
      await assert.rejects(visitor.open(backend.url), /ECONNREFUSED/)
      idle.destroy()
      await backend.restart()
    }))

  test('options that do not go together are refused with the usage', async () => {
    const sets = [['--origin'], ['--unknown', 'x'], ['--client-keys', 'x'], ['--client-metadata', 'x', '--client-keys', 'x'],
                  ['--origin', kOrigin], ['--origin', 'http://127.0.0.1', '--origin', 'http://127.0.0.1']]
    for (const words of sets) await assert.rejects(WebBackend.start(server, { words }), /usage: web_backend DIR PORT/)
  })

  /** With document and keys of a confidential client at kOrigin, as the tool makes them. */
  async function withHosting(body) {
    const place = new Place(server)
    try {
      const hosting = { origin: kOrigin, document: join(place.root, 'client.json'), keys: join(place.root, 'keys.json') }
      const urls = ['--client-id', `${kOrigin}/client-metadata.json`, '--redirect-uri', `${kOrigin}/oauth/callback`]
      const more = ['--scope', 'atproto transition:generic', '--keys', hosting.keys]
      const document = (await place.run(['client-metadata', 'new', ...urls, ...more])).expect(0).json
      writeFileSync(hosting.document, JSON.stringify(document))
      await body(hosting, document)
    } finally {
      place.remove()
    }
  }

  async function withHosted(hosting, body) {
    const site = await WebBackend.start(server, { hosting })
    try {
      await body(site)
    } finally {
      await site.stop()
    }
  }

  test('hosted: a visitor logs in to a confidential client, posts, is known after a restart, and logs out', () =>
    withHosting((hosting, document) =>
      withHosted(hosting, async (site) => {
        const served = await site.visitor().open(document.client_id)
        assert.equal(served.status, 200)
        assert.equal(served.headers['content-type'], 'application/json')
        assert.deepEqual(JSON.parse(served.text), document)
        assert.equal(document.token_endpoint_auth_method, 'private_key_jwt')
        assert.ok(document.jwks.keys.every((key) => key.kid && !('d' in key)))
        await server.publish(JSON.parse(served.text))

        const { alice } = server
        const sessions = await server.sessionCount(alice.did)
        const { visitor, callback, cookies } = await site.almostLogIn(alice, { returnTo: '/compose' })
        assert.ok(callback.startsWith(`${kOrigin}/oauth/callback?`))
        const answer = await visitor.open(callback)
        assert.equal(answer.status, 303)
        assert.equal(answer.headers.location, '/compose')
        for (const cookie of [...cookies, ...answer.headers['set-cookie']]) {
          assert.match(cookie, /^__Host-(login|session)=/)
          for (const part of ['; Path=/;', 'HttpOnly', 'SameSite=Lax', 'Secure']) assert.ok(cookie.includes(part), cookie)
        }
        await site.restart()
        assert.match((await visitor.open(`${kOrigin}/`)).text, new RegExp(alice.did))
        assert.equal((await site.submit(visitor, '/compose', { text: 'from a name of its own' })).status, 200)
        assert.equal((await site.submit(visitor, '/logout', {}, { origin: site.address })).status, 403)
        assert.equal((await site.submit(visitor, '/logout', {})).status, 303)
        assert.equal(await server.sessionCount(alice.did), sessions)
      })))

  test('hosted: it answers to its own name alone', () =>
    withHosting((hosting, document) =>
      withHosted(hosting, async (site) => {
        const page = await site.visitor().open(`${kOrigin}/`)
        assert.equal(page.status, 200)
        assert.match(page.text, /<form method="post" action="\/login">/)
        for (const path of ['/', new URL(document.client_id).pathname]) {
          assert.equal((await new Visitor().open(site.address + path)).status, 421)
        }
      })))

  test('hosted: keys at a jwks_uri are served without what is secret, and a document of another site is refused', () =>
    withHosting(async (hosting, { jwks, ...document }) => {
      document.jwks_uri = `${kOrigin}/jwks.json`
      writeFileSync(hosting.document, JSON.stringify(document))
      await withHosted(hosting, async (site) => {
        assert.deepEqual(JSON.parse((await site.visitor().open(document.jwks_uri)).text), jwks)
        assert.ok(readFileSync(hosting.keys, 'utf8').includes('"d"')) // and jwks has none
        assert.ok(!JSON.stringify(jwks).includes('"d"'))
      })
      const elsewhere = { ...hosting, origin: 'https://other.latchkey.dev' }
      await assert.rejects(WebBackend.start(server, { hosting: elsewhere }), /is not at https:\/\/other\.latchkey\.dev/)
    }))
})
