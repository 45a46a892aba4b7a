// SPDX-License-Identifier: MIT
// The example web backend on two processes over one PostgreSQL database, behind nginx: logins that change from one process
// to the other, and a process and the database that end in the midst of it.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { onServer, Server, until } from './harness.mjs'
import { WebBackend } from './web-backend.mjs'
import { WebFleet } from './web-fleet.mjs'
import { withBrowser } from './web-site.mjs'

describe(onServer('two web backends behind nginx'), () => {
  let server, fleet, first, second
  before(async () => {
    server = await Server.start()
    fleet = await WebFleet.start(server)
    ;[first, second] = fleet.backends
  })
  after(async () => {
    await fleet?.stop()
    await server?.stop()
  })

  const isKnown = async (visitor) => (await visitor.open(fleet.url)).text.includes('id="did"')

  const codesSent = async (mark) =>
    (await server.requests(mark, 'pds')).filter((e) => e.grant_type === 'authorization_code').length

  /** The process that answered each path last, as Chromium sees it. */
  function answersTo(page) {
    const answers = {}
    page.on('response', (response) => {
      const url = new URL(response.url())
      if (url.origin === fleet.url) answers[url.pathname] = fleet.answeredBy(response.headers())
    })
    return answers
  }

  test('a person begins to log in at one process and ends at the other, is known to both, posts, and logs out of both', () =>
    withBrowser(async (browser, page) => {
      const answers = answersTo(page)
      await fleet.logInWith(browser, server.alice, { from: '/compose' })
      assert.equal(page.url(), `${fleet.url}/compose`)
      assert.equal(answers['/login'], 0)
      assert.equal(answers['/oauth/callback'], 1)

      const uri = await fleet.postWith(page, server.alice, 'from one of two')
      assert.ok((await fleet.posts(server.alice)).some((one) => one.uri === uri))
      const atHome = new Set()
      for (let i = 0; i < 8 && atHome.size < 2; ++i) {
        assert.equal(await fleet.whoIs(page), server.alice.did)
        atHome.add(answers['/'])
      }
      assert.equal(atHome.size, 2, 'nginx asked one of them only')

      const sessions = await server.sessionCount(server.alice.did)
      await page.getByRole('button', { name: 'Log out' }).click()
      await page.getByRole('heading', { name: 'Log in' }).waitFor()
      assert.equal(await server.sessionCount(server.alice.did), sessions - 1)
      atHome.clear()
      for (let i = 0; i < 8 && atHome.size < 2; ++i) {
        await page.goto(`${fleet.url}/compose`)
        await page.getByRole('heading', { name: 'Log in' }).waitFor()
        atHome.add(answers['/compose'])
      }
      assert.equal(atHome.size, 2, 'nginx asked one of them only')
    }))

  test('a person logs in while the process that they began at is killed', () =>
    withBrowser(async (browser, page) => {
      const answers = answersTo(page)
      const { alice } = server
      const sign = server.signingIn(alice.handle, alice.password)
      const killAndSign = async (...words) => {
        assert.deepEqual(await first.end('SIGKILL'), { code: null, signal: 'SIGKILL' })
        return sign(...words)
      }
      try {
        await fleet.logInWith(browser, alice, { from: '/compose', sign: killAndSign })
        assert.equal(page.url(), `${fleet.url}/compose`)
        assert.equal(answers['/login'], 0)
        assert.equal(answers['/oauth/callback'], 1)
        await fleet.postWith(page, alice, 'from the one that is left')
        for (let i = 0; i < 4; ++i) assert.equal(await fleet.whoIs(page), alice.did)
        assert.equal(answers['/'], 1)
      } finally {
        await first.restart()
      }
    }))

  test('a login begun at either process ends at the other', async () => {
    for (const [here, there] of [[first, second], [second, first]]) {
      const { visitor, callback } = await here.almostLogIn(server.bob, { returnTo: '/compose' })
      visitor.backend = there
      const answer = await visitor.open(callback)
      assert.equal(answer.status, 303)
      assert.equal(answer.headers.location, '/compose')
      for (const backend of [here, there]) {
        visitor.backend = backend
        assert.match((await visitor.open(fleet.url)).text, new RegExp(server.bob.did))
        assert.equal((await fleet.submit(visitor, '/compose', { text: 'to and fro' })).status, 200)
      }
    }
  })

  test('C5.1: a callback that comes again is refused by both processes, and the session goes on', async () => {
    const { visitor, callback } = await first.logIn(server.alice)
    const mark = await server.mark()
    for (const backend of [second, first]) {
      visitor.backend = backend
      for (const browser of [visitor, backend.visitor()]) {
        const again = await browser.open(callback)
        assert.equal(again.status, 400)
        assert.match(again.text, /not begun here, is finished already/)
      }
    }
    assert.equal(await codesSent(mark), 0)
    assert.equal((await fleet.submit(visitor, '/compose', { text: 'still here' })).status, 200)
  })

  test('C5.1: two callbacks at once, one at each process: one of them is taken', async () => {
    const { visitor, callback } = await first.almostLogIn(server.bob)
    const twin = second.visitor().takeOver(visitor)
    const mark = await server.mark()
    const answers = await Promise.all([visitor.open(callback), twin.open(callback)])
    assert.deepEqual(answers.map((one) => one.status).sort(), [303, 400])
    assert.equal(await codesSent(mark), 1)
  })

  test('C5.1: a login that was begun at one process is refused to any other browser at the other', async () => {
    const attacker = await first.almostLogIn(server.alice)
    const victim = await second.almostLogIn(server.bob)
    const mark = await server.mark()
    const stranger = second.visitor()
    for (const browser of [victim.visitor, stranger]) {
      const answer = await browser.open(attacker.callback)
      assert.equal(answer.status, 400)
      assert.equal(answer.headers['set-cookie'], undefined)
    }
    assert.equal(await isKnown(stranger), false)
    assert.equal(await codesSent(mark), 0)
    assert.equal((await victim.visitor.open(victim.callback)).status, 303)
  })

  test('posts at both processes at once with an expired session: one refresh', async () => {
    await server.tokenLifetime(2000)
    const { visitor } = await fleet.logIn(server.alice)
    await server.tokenLifetime(3_600_000)
    await until(Date.now() + 2000)
    const mark = await server.mark()
    const posts = Array.from({ length: 8 }, (_, i) => fleet.submit(visitor, '/compose', { text: `at once ${i}` }))
    const answers = await Promise.all(posts)
    assert.deepEqual(answers.map((one) => one.status), posts.map(() => 200))
    assert.equal(new Set(answers.map((one) => fleet.answeredBy(one.headers))).size, 2)
    // It may have been asked for a nonce first; that consumes no token.
    const refreshes = (await server.refreshes(mark)).filter((e) => e.error !== 'use_dpop_nonce')
    assert.deepEqual(refreshes.map((e) => e.status), [200], JSON.stringify(refreshes, null, 1))
  })

  test('a logout at one process is seen at the other at once, by all browsers of the account', async () => {
    const { visitor: phone } = await first.logIn(server.bob)
    const { visitor: laptop } = await second.logIn(server.bob)
    assert.equal((await fleet.submit(laptop, '/compose', { text: 'cached here' })).status, 200)
    const sessions = await server.sessionCount(server.bob.did)
    assert.equal((await fleet.submit(phone, '/logout', {})).status, 303)
    assert.equal(await isKnown(laptop), false)
    const posted = await fleet.submit(laptop, '/compose', { text: 'not any more' })
    assert.equal(posted.status, 303) // to the page where one logs in
    assert.equal(await server.sessionCount(server.bob.did), sessions - 1)
  })

  test('a process is killed while visitors post: the one that is left serves them, and nobody is logged out', async () => {
    const { visitor } = await fleet.logIn(server.alice)
    const post = async () => (await fleet.submit(visitor, '/compose', { text: 'on and on' })).status
    try {
      const during = Promise.all(Array.from({ length: 6 }, post))
      await second.end('SIGKILL')
      // One that the process had taken on is not sent again by nginx: it may have been carried out.
      for (const status of await during) assert.ok([200, 502].includes(status), status)
      for (let i = 0; i < 6; ++i) assert.equal(await post(), 200)
    } finally {
      await second.restart()
    }
    const again = second.visitor().takeOver(visitor)
    assert.ok(await isKnown(again))
    assert.equal((await fleet.submit(again, '/compose', { text: 'back' })).status, 200)
  })

  test('the database is restarted while visitors log in and post: all of them succeed', async () => {
    const { visitor } = await fleet.logIn(server.alice)
    const begun = await fleet.almostLogIn(server.bob)
    let isBack = false
    const statuses = []
    const postOn = async () => {
      do statuses.push((await fleet.submit(visitor, '/compose', { text: 'through a restart' })).status)
      while (!isBack)
    }
    const posting = [postOn(), postOn()]
    const ending = begun.visitor.open(begun.callback)
    await fleet.postgres.restart()
    isBack = true
    await Promise.all(posting)
    assert.ok(statuses.every((status) => status === 200), statuses.join())
    assert.equal((await ending).status, 303)
    for (const one of [visitor, begun.visitor]) assert.ok(await isKnown(one))
  })

  test('a machine without the master key is refused, and makes no other one', async () => {
    const another = join(first.data, 'another.key')
    const words = ['--store', fleet.postgres.address, '--master-key-file', another]
    await assert.rejects(WebBackend.start(server, { origin: fleet.url, words }), /another\.key/)
    assert.ok(!existsSync(another))
  })

  test('an address that can not be read is refused without the password in it', () =>
    assert.rejects(
      WebBackend.start(server, { words: ['--store', 'postgresql://web:hunter2@[::1/site'] }),
      (error) => error.message.includes('did not start') && !error.message.includes('hunter2'),
    ))
})
