// SPDX-License-Identifier: MIT
// An HTTP proxy on loopback that stands before a test server: it counts what a client sends, and breaks it on demand.
//
// It owns the server's public port; the server itself listens on an inner one. For each request it keeps one entry
// (and appends it as a JSON line to `logFile`), before the client gets the answer:
//   {n, server, time, method, path, status, request_bytes, answer_bytes, connection, agent,
//    grant_type, redirect_uri        of a form, if there
//    proof: {jti, nonce: bool, ath: bool}   of a DPoP header, if there
//    error, fault}
// Never a query, a body, a token or a nonce. Tests that must know the secrets ask for capture(), kept in memory only.
//
// Faults, each for the next `times` (1) requests that match {method, path, grant_type}:
//   drop_answer       the server handles the request, the client's connection is closed instead of answered
//   close_after_read  the request is read whole and the connection is closed; the server never sees it
//   hold              the request waits for release() before it is forwarded
//   delay             the request is forwarded after `ms`
//   answer            `status`, `headers` and `body` are the answer; the server never sees the request
//
// `rewrite(entry, answer)`, if set, is asked for the answer that the client gets in place of the server's {status,
// headers: pairs in a row, body: Buffer}.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import http from 'node:http'

const ACTIONS = new Set(['drop_answer', 'close_after_read', 'hold', 'delay', 'answer'])
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'upgrade'])
const FORM_SECRETS = ['code', 'code_verifier', 'device_code', 'refresh_token', 'token', 'client_assertion']
const ANSWER_SECRETS = ['access_token', 'device_code', 'refresh_token', 'id_token']

const fingerprint = (text) => createHash('sha256').update(text).digest('base64url')

async function readAll(stream) {
  const parts = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

/** Header pairs without those that concern one connection only. */
function endToEnd(rawHeaders) {
  const kept = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!HOP_BY_HOP.has(rawHeaders[i].toLowerCase())) kept.push(rawHeaders[i], rawHeaders[i + 1])
  }
  return kept
}

function parseForm(headers, body) {
  if (!/^application\/x-www-form-urlencoded/i.test(headers['content-type'] ?? '')) return new Map()
  return new Map(new URLSearchParams(body.toString('utf8')))
}

function parseJson(body) {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

/** What can be told of a DPoP proof without telling the nonce. */
function describeProof(header) {
  if (!header) return undefined
  const claims = parseJson(Buffer.from(header.split('.')[1] ?? '', 'base64url'))
  return { jti: claims?.jti, nonce: claims?.nonce !== undefined, ath: claims?.ath !== undefined }
}

export class CountingProxy {
  #server
  #agent = new http.Agent({ keepAlive: true })
  #connections = new Map()
  #log = []
  #faults = []
  #held = []
  #captured = new Set()
  #issued = new Set() // fingerprints of access tokens
  #refused = new Set()

  /** `target`: the inner port. `name` tells several proxies with one log file apart. `tokenPath`: where tokens come from. */
  constructor({ name, target, logFile, tokenPath = '/oauth/token', rewrite }) {
    Object.assign(this, { name, target, logFile, tokenPath, rewrite, capturing: false })
    this.#server = http.createServer((req, res) => {
      this.#handle(req, res).catch(() => req.socket.destroy())
    })
    this.#server.on('connection', (socket) => this.#connections.set(socket, this.#connections.size + 1))
  }

  async listen(port) {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return this.#server.address().port
  }

  close() {
    this.release()
    this.#server.close()
    this.#server.closeAllConnections()
    this.#agent.destroy()
  }

  log(since = 0) {
    return this.#log.filter((entry) => entry.n > since)
  }

  addFault(fault) {
    if (!ACTIONS.has(fault.action)) throw new Error(`no such fault: ${fault.action}`)
    this.#faults.push({ times: 1, ...fault })
  }

  clearFaults() {
    this.#faults = []
    this.#refused.clear()
    this.release()
  }

  release() {
    for (const go of this.#held.splice(0)) go()
  }

  /** The secrets that passed since capturing was turned on. */
  captured() {
    return [...this.#captured]
  }

  /** From now on every access token that was issued so far is answered as the PDS answers a revoked one. */
  refuseIssuedTokens() {
    for (const token of this.#issued) this.#refused.add(token)
  }

  async #handle(req, res) {
    const body = await readAll(req)
    const form = parseForm(req.headers, body)
    const entry = this.#describe(req, body, form)
    const fault = this.#takeFault(entry)
    if (fault) entry.fault = fault.action
    if (this.capturing) this.#capture(FORM_SECRETS.map((name) => form.get(name)))

    if (fault?.action === 'close_after_read') return this.#drop(entry, req)
    if (fault?.action === 'hold') await new Promise((go) => this.#held.push(go))
    if (fault?.action === 'delay') await new Promise((go) => setTimeout(go, fault.ms))

    let answer = this.#ownAnswer(req, fault) ?? (await this.#forward(req, body))
    if (!fault) answer = (await this.rewrite?.(entry, answer)) ?? answer
    this.#learn(entry, answer)
    entry.status = answer.status
    entry.answer_bytes = answer.body.length
    if (fault?.action === 'drop_answer') return this.#drop(entry, req)
    this.#write(entry)
    res.writeHead(answer.status, [...answer.headers, 'content-length', String(answer.body.length)])
    res.end(answer.body)
  }

  #describe(req, body, form) {
    const entry = {
      server: this.name,
      time: new Date().toISOString(),
      method: req.method,
      path: req.url.split('?')[0],
      status: null,
      request_bytes: body.length,
      answer_bytes: 0,
      connection: this.#connections.get(req.socket),
      agent: req.headers['user-agent'],
    }
    for (const name of ['grant_type', 'redirect_uri']) if (form.has(name)) entry[name] = form.get(name)
    const proof = describeProof(req.headers.dpop)
    if (proof) entry.proof = proof
    return entry
  }

  #takeFault({ method, path, grant_type }) {
    const fault = this.#faults.find(
      (f) =>
        f.times > 0 &&
        (f.method ?? method) === method &&
        (f.path ?? path) === path &&
        (f.grant_type ?? grant_type) === grant_type,
    )
    if (fault) fault.times -= 1
    return fault
  }

  #ownAnswer(req, fault) {
    if (fault?.action === 'answer') {
      const headers = Object.entries({ 'content-type': 'application/json', ...fault.headers }).flat()
      return { status: fault.status, headers, body: Buffer.from(fault.body ?? '') }
    }
    const token = /^DPoP (.+)$/.exec(req.headers.authorization ?? '')?.[1]
    if (!token || !this.#refused.has(fingerprint(token))) return undefined
    return {
      status: 401,
      headers: ['content-type', 'application/json', 'www-authenticate', 'DPoP error="invalid_token"'],
      body: Buffer.from('{"error":"invalid_token","message":"refused by the test"}'),
    }
  }

  async #forward(req, body) {
    const headers = [...endToEnd(req.rawHeaders), 'content-length', String(body.length)]
    const out = http.request({
      host: '127.0.0.1',
      port: this.target,
      method: req.method,
      path: req.url,
      headers,
      setHost: false,
      agent: this.#agent,
    })
    out.end(body)
    const [answer] = await once(out, 'response')
    return { status: answer.statusCode, headers: endToEnd(answer.rawHeaders), body: await readAll(answer) }
  }

  #learn(entry, answer) {
    if (entry.path !== this.tokenPath && answer.status < 400) return
    const json = parseJson(answer.body)
    if (answer.status >= 400 && typeof json?.error === 'string') entry.error = json.error
    if (entry.path !== this.tokenPath) return
    if (json?.access_token) this.#issued.add(fingerprint(json.access_token))
    if (this.capturing) this.#capture(ANSWER_SECRETS.map((name) => json?.[name]))
  }

  #capture(values) {
    for (const value of values) if (value) this.#captured.add(value)
  }

  #drop(entry, req) {
    this.#write(entry)
    req.socket.destroy()
  }

  #write(entry) {
    entry.n = this.#log.length + 1
    this.#log.push(entry)
    if (this.logFile) appendFileSync(this.logFile, JSON.stringify(entry) + '\n', { mode: 0o600 })
  }
}
