// SPDX-License-Identifier: MIT
// A place for one user's data, and the tool in it.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toolPath } from './tool-path.mjs'

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
  async login(account = this.server.alice, { start = account.handle, drive = this.server.signIn, ...options } = {}) {
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
