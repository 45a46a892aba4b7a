// SPDX-License-Identifier: MIT
// Clients with a metadata document of their own: hosted public ones, and confidential ones with keys (private_key_jwt).
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { onServer, Place, Server } from './harness.mjs'

// Never asked for: the server finds the document as it is published below. (The reference server refuses example.com.)
const kClient = 'https://app.latchkey.dev/client-metadata.json'

describe(onServer('clients of their own'), () => {
  let server
  before(async () => (server = await Server.start()))
  after(() => server?.stop())

  /** A test with a machine of its own, whose client is made by `client-metadata new` with these words and published. */
  const withClient = (name, words, body) =>
    test(name, async () => {
      const place = new Place(server)
      try {
        const client = new Client(place, words)
        await client.publish()
        await body(place, client)
      } finally {
        place.remove()
      }
    })

  class Client {
    constructor(place, words) {
      this.place = place
      this.document = join(place.root, 'client.json')
      this.keys = join(place.root, 'keys.json')
      this.words = words(this)
    }

    /** Makes the document, by the words and `more`, and has the server find it. */
    async publish(...more) {
      const made = await this.place.run(['client-metadata', 'new', '--client-id', kClient, ...this.words, ...more])
      const document = made.expect(0).json
      writeFileSync(this.document, JSON.stringify(document))
      await server.publish(document)
      return document
    }

    /** Logs in; the person copies the address that the browser ends at. */
    async login(account, words) {
      const args = ['login', account.handle, '--client-metadata', this.document, ...words, '--no-browser', '--paste']
      const running = this.place.start(args, { input: null })
      const { redirect } = await server.signIn(await running.authorizeUrl, account.handle, account.password, {
        arriveThere: false,
      })
      running.child.stdin.end(`${redirect}\n`)
      return running.done
    }
  }

  const confidential = (client) => ['--redirect-uri', 'https://app.latchkey.dev/callback', '--keys', client.keys]
  const withKeys = (client) => ['--client-keys', client.keys]

  withClient('C8.1, C8.2: a confidential client logs in, refreshes and logs out', confidential, async (place, client) => {
    const { alice } = server
    const before = await server.sessionCount(alice.did)
    ;(await client.login(alice, withKeys(client))).expect(0)
    assert.equal((await place.run(['whoami'])).expect(0).json.subject, alice.did)
    ;(await place.run(['refresh'])).expect(0)
    assert.equal(await server.sessionCount(alice.did), before + 1)
    ;(await place.run(['logout'])).expect(0)
    assert.equal(await server.sessionCount(alice.did), before)
  })

  withClient('C8.3, C8.5: after a rotation old sessions keep their key and new ones have the new', confidential,
    async (place, client) => {
      const { alice, bob } = server
      ;(await client.login(alice, withKeys(client))).expect(0)
      const [old] = JSON.parse(readFileSync(client.keys)).keys
      const rotated = await client.publish('--rotate')
      assert.deepEqual(rotated.jwks.keys.length, 2)
      assert.equal(rotated.jwks.keys[1].kid, old.kid)
      ;(await client.login(bob, withKeys(client))).expect(0)
      ;(await place.run(['--account', alice.did, 'refresh'])).expect(0)
      ;(await place.run(['--account', bob.did, 'refresh'])).expect(0)

      // Without the old key the old session has nobody to speak for it, and waits.
      const both = readFileSync(client.keys)
      writeFileSync(client.keys, JSON.stringify({ keys: JSON.parse(both).keys.slice(0, 1) }))
      const refused = (await place.run(['--account', alice.did, 'refresh'])).expect(1)
      assert.match(refused.stderr + refused.stdout, /client\.key_gone/)
      ;(await place.run(['--account', bob.did, 'refresh'])).expect(0)
      writeFileSync(client.keys, both)
      ;(await place.run(['--account', alice.did, 'refresh'])).expect(0)
      ;(await place.run(['logout', '--all'])).expect(0)
    })

  const native = () => ['--native', '--redirect-uri', 'http://127.0.0.1/callback', '--redirect-uri', 'dev.latchkey.app:/back']

  withClient('C1.9, C1.10: a hosted native client ends at its loopback redirect', native, async (place, client) => {
    const { alice } = server
    const running = place.start(['login', alice.handle, '--client-metadata', client.document, '--no-browser'])
    const [visit, result] = await Promise.all([
      server.signIn(await running.authorizeUrl, alice.handle, alice.password),
      running.done,
    ])
    result.expect(0)
    assert.equal(visit.status, 200)
    ;(await place.run(['refresh'])).expect(0)
    ;(await place.run(['logout'])).expect(0)
  })

  withClient('C1.10: a private-use redirect comes back by the pasted address',
    () => ['--native', '--redirect-uri', 'dev.latchkey.app:/back'],
    async (place, client) => {
      ;(await client.login(server.alice, [])).expect(0)
      ;(await place.run(['logout'])).expect(0)
    })

  withClient('C1.10: without a redirect to this machine the tool says what to do', confidential, async (place, client) => {
    const words = ['--client-metadata', client.document, '--client-keys', client.keys, '--no-browser']
    const refused = (await place.run(['login', server.alice.handle, ...words])).expect(2)
    assert.match(refused.stderr + refused.stdout, /login\.no_loopback_redirect/)
  })
})
