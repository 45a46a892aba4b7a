// SPDX-License-Identifier: MIT
// What the interop tests stand on: a reference server with its controls, a place for one user's data, and the tool.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loginHttp } from './login-http.mjs'

const here = dirname(fileURLToPath(import.meta.url))
export const toolPath = process.env.LATCHKEY_TOOL ?? join(here, '../../build/dev/cli/latchkey')
export const stores = ['sqlite', 'file']

/** The server's own answers, in one process of their own. Stop it in an `after` hook. */
export class Server {
  static async start(env = {}) {
    const child = spawn(process.execPath, [join(here, 'start-pds.mjs')], {
      env: { ...process.env, PDS_WATCH_STDIN: '1', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let text = ''
    let errors = ''
    child.stderr.on('data', (part) => (errors += part))
    for await (const part of child.stdout) {
      text += part
      if (text.includes('\n')) break
    }
    if (!text.includes('\n')) throw new Error(`the reference server did not start: ${errors.slice(-2000)}`)
    child.stdout.resume()
    return new Server(child, JSON.parse(text))
  }

  constructor(child, info) {
    this.child = child
    Object.assign(this, info)
    ;[this.alice, this.bob] = info.accounts
  }

  async stop() {
    if (this.child.exitCode !== null) return
    const ended = new Promise((resolve) => this.child.on('exit', resolve))
    this.child.stdin.end()
    await ended
  }

  async #control(method, path, body) {
    const answer = await fetch(this.control + path, { method, body: body && JSON.stringify(body) })
    const json = await answer.json()
    if (!answer.ok) throw new Error(`${method} ${path}: ${json.error}`)
    return json
  }

  /** A moment in the request log, for requests(). */
  async mark() {
    const seen = { pds: 0, plc: 0 }
    for (const entry of await this.#control('GET', '/log')) seen[entry.server] = Math.max(seen[entry.server], entry.n)
    return seen
  }

  /** What the proxies counted since the mark; the reference server's own requests to its PLC are left out. */
  async requests(since = {}, server) {
    const all = await this.#control('GET', `/log?since=${encodeURIComponent(JSON.stringify(since))}`)
    const ownOfPds = (e) => e.server === 'plc' && /^(node|axios)/.test(e.agent ?? '')
    return all.filter((e) => (!server || e.server === server) && !ownOfPds(e))
  }

  /** The refresh requests since the mark. */
  async refreshes(since) {
    const seen = await this.requests(since, 'pds')
    return seen.filter((e) => e.path === '/oauth/token' && e.grant_type === 'refresh_token')
  }

  fault(fault) {
    return this.#control('POST', '/faults', fault)
  }
  noFaults() {
    return this.#control('DELETE', '/faults')
  }
  capture() {
    return this.#control('POST', '/capture')
  }
  captured() {
    return this.#control('GET', '/capture')
  }
  refuseIssuedTokens() {
    return this.#control('POST', '/refuse-issued')
  }
  tokenLifetime(ms) {
    return this.#control('POST', '/settings', { token_ttl_ms: ms })
  }
  nonceRotation(ms) {
    return this.#control('POST', '/settings', { nonce_rotation_ms: ms })
  }
  async sessionCount(did) {
    return (await this.#control('GET', `/sessions?did=${encodeURIComponent(did)}`)).count
  }
  revoke(did) {
    return this.#control('POST', '/revoke', { did })
  }
}

/** One user's machine: a home and a data folder, removed by remove(). */
export class Place {
  constructor(server, store = 'sqlite') {
    this.root = mkdtempSync(join(tmpdir(), 'latchkey-interop-'))
    this.home = join(this.root, 'home')
    this.data = join(this.root, 'data')
    mkdirSync(this.home, { mode: 0o700 })
    this.server = server
    this.store = store
  }

  remove() {
    rmSync(this.root, { recursive: true, force: true })
  }

  get storeUrl() {
    return this.store === 'sqlite' ? `sqlite:${join(this.data, 'sessions.db')}` : `file:${join(this.data, 'sessions')}`
  }

  get globalOptions() {
    const { pds, plc } = this.server
    return ['--data-dir', this.data, '--store', this.storeUrl, '--plc-url', plc, '--resolve-handles-at', pds,
            '--allow-http-for-loopback']
  }

  /** Nothing of the machine's own desktop, configuration or locale. */
  get environment() {
    return { PATH: process.env.PATH, HOME: this.home, TMPDIR: this.root, LANG: 'C.UTF-8' }
  }

  /** Starts the tool, a Running. `wrap`: words before it, such as strace. `input`: text, or null to keep stdin open. */
  start(args, { wrap = [], input, json = true, env = {} } = {}) {
    const words = [...wrap, toolPath, ...this.globalOptions, ...(json ? ['--json'] : []), ...args]
    return new Running(words, { env: { ...this.environment, ...env }, input })
  }

  /** Runs it to its end: {code, stdout, stderr, json}. */
  run(args, options) {
    return this.start(args, options).done
  }

  /** Logs in as `account`, by `start` (default: the handle), over HTTP or by another `drive`. */
  async login(account = this.server.alice, { start = account.handle, drive = loginHttp, ...options } = {}) {
    const running = this.start(['login', start, '--no-browser'], options)
    const url = await running.authorizeUrl
    const [visit, result] = await Promise.all([drive(url, account.handle, account.password), running.done])
    return Object.assign(result, { visit, url })
  }
}

const kTimeLimitMs = 60_000

class Running {
  constructor(words, { env, input }) {
    this.stdout = ''
    this.stderr = ''
    const stdin = input === undefined ? 'ignore' : 'pipe'
    this.child = spawn(words[0], words.slice(1), { env, stdio: [stdin, 'pipe', 'pipe'] })
    if (input != null) this.child.stdin.end(input)
    const limit = setTimeout(() => this.child.kill('SIGKILL'), kTimeLimitMs)
    this.child.stdout.on('data', (part) => (this.stdout += part))

    this.authorizeUrl = new Promise((resolve, reject) => {
      this.child.stderr.on('data', (part) => {
        this.stderr += part
        const line = /^(https?:\/\/\S+)$/m.exec(this.stderr.slice(0, this.stderr.lastIndexOf('\n') + 1))
        if (line) resolve(line[1])
      })
      this.child.on('close', (code) => reject(new Error(`ended (${code}) without an authorize URL: ${this.stderr}`)))
      this.child.on('error', reject)
    })
    this.authorizeUrl.catch(() => {}) // most runs are not logins

    this.done = new Promise((resolve, reject) => {
      this.child.on('error', (error) => {
        clearTimeout(limit)
        reject(error)
      })
      this.child.on('close', (code, signal) => {
        clearTimeout(limit)
        resolve(new Outcome(words, { code: code ?? signal, stdout: this.stdout, stderr: this.stderr }))
      })
    })
  }
}

class Outcome {
  constructor(words, { code, stdout, stderr }) {
    Object.assign(this, { words, code, stdout, stderr })
  }

  /** What --json printed. */
  get json() {
    try {
      return JSON.parse(this.stdout)
    } catch {
      throw new Error(`no JSON on stdout: ${this}`)
    }
  }

  /** Fails, with everything that was said, unless the exit code is `code`. */
  expect(code) {
    if (this.code === code) return this
    throw new Error(`exit code ${this.code} instead of ${code}: ${this}`)
  }

  toString() {
    return `${this.words.join(' ')}\n-- stdout\n${this.stdout}\n-- stderr\n${this.stderr}`
  }
}

/** Waits for the clock, not for luck: until `moment` (ms since 1970) has passed. */
export function until(moment) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, moment - Date.now())))
}

/** A record that says `text`. */
export function post(text) {
  return JSON.stringify({ $type: 'app.bsky.feed.post', text, createdAt: new Date().toISOString() })
}

export const kPost = 'app.bsky.feed.post'
