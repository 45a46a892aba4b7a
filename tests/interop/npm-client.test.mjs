// SPDX-License-Identifier: MIT
// A client that is not ours, @atproto/oauth-client-node from npm: what it expects of a server, each server must do.
import assert from 'node:assert/strict'
import { NodeOAuthClient, requestLocalLock } from '@atproto/oauth-client-node'
import { after, before, describe, test } from 'node:test'
import { kPost, onServer, Server } from './harness.mjs'

const kRedirect = 'http://127.0.0.1:9/callback' // nobody listens there: the address is read off the redirect
const kScope = 'atproto transition:generic'
const kSession = '/xrpc/com.atproto.server.getSession'

/** A store of the client's, as a Map. */
class Table {
  rows = new Map()
  get = (key) => this.rows.get(key)
  set = (key, value) => void this.rows.set(key, value)
  del = (key) => void this.rows.delete(key)
}

describe(onServer('the npm client'), () => {
  let server
  before(async () => (server = await Server.start()))
  after(() => server?.stop())

  function newClient(sessionStore = new Table()) {
    const clientId = `http://localhost?${new URLSearchParams({ redirect_uri: kRedirect, scope: kScope })}`
    const client = new NodeOAuthClient({
      clientMetadata: {
        client_id: clientId,
        redirect_uris: [kRedirect],
        scope: kScope,
        response_types: ['code'],
        grant_types: ['authorization_code', 'refresh_token'],
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        dpop_bound_access_tokens: true,
      },
      stateStore: new Table(),
      sessionStore,
      requestLock: requestLocalLock,
      allowHttp: true,
      handleResolver: server.pds,
      plcDirectoryUrl: server.plc,
    })
    return Object.assign(client, { sessions: sessionStore })
  }

  async function callback(client, options) {
    const { handle, password } = server.alice
    const url = await client.authorize(handle)
    const { redirect } = await server.signIn(url.href, handle, password, { arriveThere: false, ...options })
    return client.callback(new URL(redirect).searchParams)
  }

  async function loggedIn() {
    const client = newClient()
    const { session } = await callback(client)
    return { client, session }
  }

  const statusOf = async (session, path = kSession, init = undefined) => (await session.fetchHandler(path, init)).status

  const refreshed = async (mark) => (await server.refreshes(mark)).map((e) => e.status).filter((status) => status === 200)

  test('logs in by handle, and is who it signed in as', async () => {
    const { session } = await loggedIn()
    assert.equal(session.did, server.alice.did)
    const answer = await session.fetchHandler(kSession)
    assert.equal(answer.status, 200)
    assert.equal((await answer.json()).handle, server.alice.handle)
    assert.equal((await session.getTokenInfo(false)).scope, kScope)
  })

  test('is told when the user says no', async () => {
    await assert.rejects(callback(newClient(), { deny: true }), (error) => error.params.get('error') === 'access_denied')
  })

  test('writes a record with a proof', async () => {
    const { session } = await loggedIn()
    const record = { $type: kPost, text: 'from npm', createdAt: new Date().toISOString() }
    const body = JSON.stringify({ repo: session.did, collection: kPost, record })
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
    assert.equal(await statusOf(session, '/xrpc/com.atproto.repo.createRecord', init), 200)
  })

  test('refreshes once when its access token is refused, and goes on', async () => {
    const { session } = await loggedIn()
    const mark = await server.mark()
    await server.refuseIssuedTokens()
    assert.equal(await statusOf(session), 200)
    assert.equal(await statusOf(session), 200)
    assert.deepEqual(await refreshed(mark), [200])
    await server.noFaults()
  })

  test('refreshes by itself when its access token is about to expire', async () => {
    await server.tokenLifetime(5000) // the client wants at least ten seconds more
    const { session } = await loggedIn()
    await server.tokenLifetime(3_600_000)
    const mark = await server.mark()
    assert.equal(await statusOf(session), 200)
    assert.deepEqual(await refreshed(mark), [200])
  })

  test('restores a stored session, and refreshes it again and again', async () => {
    const { client, session } = await loggedIn()
    const mark = await server.mark()
    for (let i = 0; i < 3; i++) {
      assert.equal(await statusOf(await newClient(client.sessions).restore(session.did, true)), 200)
    }
    assert.deepEqual(await refreshed(mark), [200, 200, 200])
  })

  test('ends the session at the server when it signs out: a copy of it is refused afterwards', async () => {
    const { client, session } = await loggedIn()
    const stolen = new Table()
    stolen.set(session.did, client.sessions.get(session.did))
    const thief = await newClient(stolen).restore(session.did, false)
    assert.equal(await statusOf(thief), 200)

    const count = await server.sessionCount(session.did)
    await session.signOut()
    assert.equal(await server.sessionCount(session.did), count - 1)
    assert.equal(client.sessions.get(session.did), undefined)
    await assert.rejects(session.fetchHandler(kSession))
    assert.equal(await statusOf(thief), 401)
  })

  test('in all of this, the server saw no spent refresh token again', async () => {
    if ((await server.replays()) !== undefined) assert.equal(await server.replays(), 0)
  })

  test('which would have been the end of the session', async () => {
    const { client, session } = await loggedIn()
    const old = new Table()
    old.set(session.did, client.sessions.get(session.did))
    await client.restore(session.did, true)
    await assert.rejects(newClient(old).restore(session.did, true))
    assert.equal(await statusOf(session), 401)
    if ((await server.replays()) !== undefined) assert.equal(await server.replays(), 1)
  })
})
