// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { kPost, onServer, Place, post, Server, stores } from './harness.mjs'

const kCreate = '/xrpc/com.atproto.repo.createRecord'

for (const store of stores) {
  describe(onServer(`records, sessions kept in ${store}`), () => {
    let server, place
    before(async () => {
      server = await Server.start()
      place = new Place(server, store)
      ;(await place.login(server.alice)).expect(0)
    })
    after(async () => {
      place?.remove()
      await server?.stop()
    })

    test('create, get, list, put and delete, each in a process of its own', async () => {
      const created = (await place.run(['record', 'create', kPost, post('first')])).expect(0).json
      assert.match(created.uri, new RegExp(`^at://${server.alice.did}/${kPost}/`))
      assert.ok(created.cid)

      const got = (await place.run(['record', 'get', created.uri])).expect(0).json
      assert.equal((got.value ?? got).text, 'first')

      const listed = (await place.run(['record', 'list', kPost])).expect(0).stdout
      assert.ok(listed.includes(created.uri))

      const put = (await place.run(['record', 'put', kPost, created.uri.split('/').pop(), post('second')])).expect(0).json
      assert.equal(put.uri, created.uri)
      assert.notEqual(put.cid, created.cid)
      const changed = (await place.run(['record', 'get', created.uri])).expect(0).json
      assert.equal((changed.value ?? changed).text, 'second')

      ;(await place.run(['record', 'delete', created.uri])).expect(0)
      ;(await place.run(['record', 'get', created.uri])).expect(1)
    })

    test('the record may come from standard input, and its key from --rkey', async () => {
      const words = ['record', 'create', kPost, '-', '--rkey', '3jzfcijpj2z2a']
      const created = (await place.run(words, { input: post('piped') })).expect(0).json
      assert.ok(created.uri.endsWith('/3jzfcijpj2z2a'))
    })

    test('a second run makes one request, with the nonce that the first one was given', async () => {
      ;(await place.run(['record', 'create', kPost, post('warm')])).expect(0)
      const mark = await server.mark()
      ;(await place.run(['record', 'create', kPost, post('one request')])).expect(0)
      const seen = await server.requests(mark)
      assert.deepEqual(seen.map((e) => `${e.server} ${e.method} ${e.path} ${e.status}`), [`pds POST ${kCreate} 200`])
      assert.ok(seen[0].proof.nonce && seen[0].proof.ath)
    })

    test('nonces that rotate every second cost one more request at most, and no failure', async () => {
      await server.nonceRotation(1000)
      for (let i = 0; i < 4; i++) {
        const mark = await server.mark()
        ;(await place.run(['record', 'create', kPost, post(`nonce ${i}`)])).expect(0)
        const seen = await server.requests(mark)
        assert.ok(seen.length <= 2, JSON.stringify(seen))
        assert.equal(seen.filter((e) => e.status === 200).length, 1)
      }
      await server.nonceRotation(60_000)
    })

    test('a request to any address of the server carries a proof', async () => {
      const url = `${server.pds}/xrpc/com.atproto.server.getSession`
      const answer = (await place.run(['request', 'GET', url])).expect(0)
      assert.ok(answer.stdout.includes(server.alice.did))
    })

    test('a record that is no JSON is a usage error and sends nothing', async () => {
      const mark = await server.mark()
      ;(await place.run(['record', 'create', kPost, '{"text":'])).expect(2)
      assert.deepEqual(await server.requests(mark), [])
    })

    test('a server that limits the rate is not asked again at once', async () => {
      const mark = await server.mark()
      await server.fault({
        path: kCreate, action: 'answer', status: 429, times: 9,
        headers: { 'retry-after': '60' }, body: '{"error":"RateLimitExceeded","message":"slow down"}',
      })
      ;(await place.run(['record', 'create', kPost, post('limited')])).expect(1)
      assert.equal((await server.requests(mark)).length, 1)
      await server.noFaults()
    })

    test('a blob is uploaded from a file, and a record refers to it', async () => {
      const file = join(place.root, 'picture.png')
      writeFileSync(file, Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(300_000, 7)]))
      const blob = (await place.run(['blob', 'upload', file, '--type', 'image/png'])).expect(0).json
      assert.equal(blob.$type, 'blob')
      assert.equal(blob.size, 300_008)
      assert.match(blob.ref.$link, /^bafkrei/)
      const embed = { $type: 'app.bsky.embed.images', images: [{ image: blob, alt: 'a picture' }] }
      const value = JSON.stringify({ ...JSON.parse(post('with a picture')), embed })
      const created = (await place.run(['record', 'create', kPost, value])).expect(0).json
      const got = (await place.run(['record', 'get', created.uri])).expect(0).json
      assert.deepEqual(got.value.embed.images[0].image, blob)
    })

    test('all records are listed, page by page', async () => {
      for (const text of ['first', 'second', 'third']) {
        ;(await place.run(['record', 'create', kPost, post(text)])).expect(0)
      }
      const mark = await server.mark()
      const list = await place.run(['record', 'list', kPost, '--all', '--limit', '2'])
      const listed = list.expect(0).stdout.trim().split('\n')
      assert.ok(listed.length >= 3)
      const pages = (await server.requests(mark)).filter((e) => e.status === 200)
      assert.ok(pages.length >= Math.ceil(listed.length / 2), JSON.stringify(pages))
      assert.equal(new Set(listed.map((line) => JSON.parse(line).uri)).size, listed.length)
    })

    test('writes that happen together are one commit, and the repository is described', async () => {
      const writes = ['one', 'two'].map((text) => ({
        $type: 'com.atproto.repo.applyWrites#create', collection: kPost, value: JSON.parse(post(text)),
      }))
      const body = JSON.stringify({ repo: server.alice.did, writes })
      const done = (await place.run(['procedure', 'com.atproto.repo.applyWrites', body])).expect(0).json
      assert.equal(done.results.length, 2)
      const repo = (await place.run(['query', 'com.atproto.repo.describeRepo', `repo=${server.alice.did}`])).expect(0).json
      assert.equal(repo.did, server.alice.did)
      assert.ok(repo.collections.includes(kPost))
    })

    test('a condition on the last commit that does not hold is a conflict', async () => {
      const old = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
      const result = await place.run(['record', 'put', kPost, '3jzfcijpj2z2b', post('late'), '--swap-commit', old])
      assert.notEqual(result.code, 0)
      assert.match(result.stderr, /InvalidSwap|invalid_swap/)
    })

    test('a call to a service that is no service is refused before it is sent', async () => {
      const mark = await server.mark()
      ;(await place.run(['query', 'app.bsky.feed.getTimeline', '--proxy', 'did:web:api.bsky.app'])).expect(2)
      assert.deepEqual(await server.requests(mark), [])
      const unknown = await place.run(['query', 'app.bsky.feed.getTimeline', '--proxy', 'did:web:nowhere.test#svc'])
      assert.notEqual(unknown.code, 0)
    })

    test('C9.5: what the login was not granted is not sent, and the error says what to ask for', async () => {
      const narrow = new Place(server, store)
      const scope = `atproto repo:${kPost}?action=create`
      const start = narrow.start(['login', server.alice.handle, '--no-browser', '--scope', scope])
      await Promise.all([start.authorizeUrl.then((url) =>
        server.signIn(url, server.alice.handle, server.alice.password)), start.done])
      const created = (await narrow.run(['record', 'create', kPost, post('granted')])).expect(0).json
      const mark = await server.mark()
      const refused = (await narrow.run(['record', 'delete', created.uri])).expect(1)
      assert.match(refused.stderr, /scope\.missing/)
      assert.ok(refused.stderr.includes(`repo:${kPost}?action=delete`))
      assert.deepEqual(await server.requests(mark), [])
      narrow.remove()
    })

    test('without a session the tool asks for a login and sends nothing', async () => {
      const empty = new Place(server, store)
      const mark = await server.mark()
      const result = (await empty.run(['record', 'create', kPost, post('nobody')])).expect(3)
      assert.match(result.stderr, /log ?in/)
      assert.deepEqual(await server.requests(mark), [])
      empty.remove()
    })
  })
}
