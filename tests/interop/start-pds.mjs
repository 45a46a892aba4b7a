#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Starts, on loopback only: a PLC directory (in memory), a Bluesky PDS with its OAuth authorization server, two accounts
// (alice.test and bob.test), and a counting proxy before each server. Prints ONE line of JSON on stdout when everything
// answers and stays up until SIGTERM, SIGINT, or the end of standard input if PDS_WATCH_STDIN is set.
//
//   {pds, plc, control, accounts: [{handle, did, password}], did, handle, password, log, pid, ready_ms}
//
// The public ports belong to the proxies: the PDS takes its URL, which is its OAuth issuer, for its own.
//
// Environment (all optional):
//   PDS_PORT, PLC_PORT     public ports (default: free ones)
//   PDS_TOKEN_TTL_MS       access token lifetime   (server's default: 3600000)
//   PDS_NONCE_ROTATION_MS  DPoP nonce rotation     (server's default: 60000, min 1000)
//   PDS_REQUEST_LOG        file that gets one JSON line a request, see counting-proxy.mjs (default: none)
//   LOG_ENABLED=1 LOG_DESTINATION=file   the PDS's own log
//
// Control (HTTP on loopback, JSON both ways; harness.mjs wraps it):
//   GET  /log?since=N      what the proxies counted
//   POST /faults           {server: "pds", method, path, grant_type, action, times, ...}     DELETE /faults: none any more
//   POST /release          lets held requests go
//   POST /capture          secrets that pass are remembered from now on                       GET /capture: the list
//   POST /refuse-issued    every access token issued so far is refused from now on
//   POST /settings         {token_ttl_ms, nonce_rotation_ms}
//   GET  /sessions?did=D   how many OAuth sessions the server holds for the account: {count}
//   POST /revoke           {did}: the account ends all its OAuth sessions
//   POST /documents        {"https://...": {...}}: what the PDS finds there from now on, such as a client's metadata

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CountingProxy } from './counting-proxy.mjs'

// A log on stdout would mix with the JSON line. (Must be set before the import of the PDS, hence the dynamic imports.)
if (process.env.LOG_ENABLED) process.env.LOG_DESTINATION ??= '/dev/stderr'

const started = Date.now()
const { PDS } = await import('@atproto/pds')
const plc = createRequire(import.meta.url)('@did-plc/server') // CommonJS
const env = process.env

/** Makes app.listen() take a free loopback port, whatever port it is asked for, and tell which. */
function listenInside(app) {
  return new Promise((resolve) => {
    app.listen = () => {
      const server = http.createServer(app).listen(0, '127.0.0.1')
      server.on('listening', () => resolve(server.address().port))
      return server
    }
  })
}

const proxies = {}
/** The proxy takes its public port first: a server must know its URL before it starts. */
async function openProxy(name, port) {
  const proxy = new CountingProxy({ name, logFile: env.PDS_REQUEST_LOG })
  proxies[name] = proxy
  return proxy.listen(Number(port) || 0)
}

// --- PLC directory: DIDs and their documents, kept in memory -------------------------------------------------------
const plcPort = await openProxy('plc', env.PLC_PORT)
const plcServer = plc.PlcServer.create({ db: plc.Database.mock(), port: plcPort })
const plcInner = listenInside(plcServer.app)
await plcServer.start()
proxies.plc.target = await plcInner
const plcUrl = `http://localhost:${plcPort}`

// --- documents of the outside world, which the PDS asks globalThis.fetch for -----------------------------------------
const documents = new Map()
const realFetch = globalThis.fetch
globalThis.fetch = function (input, init) {
  const found = documents.get(input instanceof Request ? input.url : String(input))
  if (!found) return realFetch.call(this, input, init)
  return Promise.resolve(new Response(JSON.stringify(found), { headers: { 'content-type': 'application/json' } }))
}

// --- PDS -----------------------------------------------------------------------------------------------------------
const dir = mkdtempSync(join(tmpdir(), 'pds-'))
const pdsPort = await openProxy('pds', env.PDS_PORT)
const pds = await PDS.fromEnv({
  // hostname 'localhost' is what makes the public URL, and so the issuer, http://localhost:PORT; any other makes it https.
  hostname: 'localhost',
  port: pdsPort,
  devMode: true, // also turns the SSRF protection of outgoing requests off
  dataDirectory: dir,
  blobstoreDiskLocation: join(dir, 'blobs'),
  didPlcUrl: plcUrl,
  serviceHandleDomains: ['.test'],
  inviteRequired: false,
  jwtSecret: randomBytes(16).toString('hex'),
  adminPassword: randomBytes(16).toString('hex'),
  // Any non-zero 32 bytes below the curve's order; a leading 0x01 keeps it so.
  plcRotationKeyK256PrivateKeyHex: '01' + randomBytes(31).toString('hex'),
})
const pdsInner = listenInside(pds.app)

const provider = pds.ctx.oauthProvider
function applySettings({ token_ttl_ms, nonce_rotation_ms }) {
  if (token_ttl_ms) provider.tokenManager.tokenMaxAge = Number(token_ttl_ms)
  if (nonce_rotation_ms) {
    const { dpopManager } = provider
    const DpopNonce = dpopManager.dpopNonce.constructor
    dpopManager.dpopNonce = new DpopNonce(randomBytes(32), Number(nonce_rotation_ms))
  }
}
applySettings({ token_ttl_ms: env.PDS_TOKEN_TTL_MS, nonce_rotation_ms: env.PDS_NONCE_ROTATION_MS })

await pds.start()
proxies.pds.target = await pdsInner
const pdsUrl = pds.ctx.cfg.service.publicUrl

async function createAccount(name) {
  const handle = `${name}.test`
  const password = `${name}-password`
  const answer = await fetch(`http://127.0.0.1:${proxies.pds.target}/xrpc/com.atproto.server.createAccount`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ handle, password, email: `${name}@example.test` }),
  })
  const account = await answer.json()
  if (!answer.ok) throw new Error(`createAccount ${handle}: ${answer.status} ${JSON.stringify(account)}`)
  return { handle, did: account.did, password }
}
const accounts = [await createAccount('alice'), await createAccount('bob')]

// --- control -------------------------------------------------------------------------------------------------------
const every = Object.values(proxies)
const routes = {
  'GET /log': ({ query }) => {
    const names = query.get('server') ? [proxies[query.get('server')]] : every
    const since = JSON.parse(query.get('since') ?? '{}')
    return names.flatMap((proxy) => proxy.log(since[proxy.name] ?? 0))
  },
  'POST /faults': ({ body: { server = 'pds', ...fault } }) => proxies[server].addFault(fault),
  'DELETE /faults': () => every.forEach((proxy) => proxy.clearFaults()),
  'POST /release': () => every.forEach((proxy) => proxy.release()),
  'POST /capture': () => every.forEach((proxy) => (proxy.capturing = true)),
  'GET /capture': () => every.flatMap((proxy) => proxy.captured()),
  'POST /refuse-issued': () => proxies.pds.refuseIssuedTokens(),
  'POST /settings': ({ body }) => applySettings(body),
  'GET /sessions': async ({ query }) => ({
    count: (await provider.tokenManager.listAccountTokens(query.get('did'))).length,
  }),
  'POST /documents': async ({ body }) => {
    for (const [url, document] of Object.entries(body)) {
      documents.set(url, document)
      await provider.clientManager.metadataGetter.delStored(url) // it would go on for ten minutes with what it knew
    }
  },
  'POST /revoke': async ({ body }) => {
    const tokens = await provider.tokenManager.listAccountTokens(body.did)
    for (const token of tokens) await provider.tokenManager.deleteToken(token.id)
    return { revoked: tokens.length }
  },
}

const control = http.createServer(async (req, res) => {
  const send = (status, json) => res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json))
  try {
    const url = new URL(req.url, 'http://localhost')
    const route = routes[`${req.method} ${url.pathname}`]
    if (!route) return send(404, { error: `no such control: ${req.method} ${url.pathname}` })
    let text = ''
    for await (const part of req) text += part
    send(200, (await route({ query: url.searchParams, body: text ? JSON.parse(text) : {} })) ?? {})
  } catch (error) {
    send(500, { error: String(error.message ?? error) })
  }
})
control.listen(0, '127.0.0.1')
await once(control, 'listening')

// --- the end -------------------------------------------------------------------------------------------------------
let stopping = false
async function stop() {
  if (stopping) return
  stopping = true
  // Keep-alive sockets of a client must not hold the exit back.
  setTimeout(() => process.exit(0), 3000).unref()
  every.forEach((proxy) => proxy.close())
  await pds.destroy().catch(() => {})
  await plcServer.destroy().catch(() => {})
  rmSync(dir, { recursive: true, force: true })
  process.exit(0)
}
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
if (env.PDS_WATCH_STDIN) process.stdin.resume().on('end', stop) // ends with whoever started it, however that ended

console.log(
  JSON.stringify({
    pds: pdsUrl,
    plc: plcUrl,
    control: `http://127.0.0.1:${control.address().port}`,
    accounts,
    ...accounts[0],
    log: env.PDS_REQUEST_LOG,
    pid: process.pid,
    ready_ms: Date.now() - started,
  }),
)
