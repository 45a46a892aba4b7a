// SPDX-License-Identifier: MIT
// nginx on loopback, in a folder of its own, before two processes of a website. As root it runs as nobody.

import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const program = process.env.NGINX ?? '/usr/sbin/nginx'
const kDeadlineMs = 10_000

/**
 * A port that is free: nginx can't be asked which one it took, and the website must know it before. Below those that the
 * system gives to others.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const probe = createServer()
    const isFree = await new Promise((resolve) => {
      probe.on('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

// Round robin, a connection for each request; the logins of all browsers begin at the first process and end at the second,
// as long as both are there. X-Answered-By: the address of whoever answered, after those that did not.
const configuration = (port, [first, second]) => `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream both { server ${first} fail_timeout=1s; server ${second} fail_timeout=1s; }
  upstream first { server ${first} fail_timeout=1s; server ${second} backup; }
  upstream second { server ${second} fail_timeout=1s; server ${first} backup; }
  proxy_set_header Host $http_host;
  add_header X-Answered-By $upstream_addr always;
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://both; }
    location = /login { proxy_pass http://first; }
    location = /oauth/callback { proxy_pass http://second; }
  }
}
`

function isListening(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

export class Nginx {
  #child
  #ended
  #errors = ''

  /** `upstreams`: host:port of the two. */
  static async start(port, upstreams) {
    const nginx = new Nginx()
    nginx.folder = mkdtempSync(join(tmpdir(), 'latchkey-nginx-'))
    writeFileSync(join(nginx.folder, 'nginx.conf'), configuration(port, upstreams))
    const isRoot = process.getuid() === 0
    if (isRoot) execFileSync('chown', ['-R', 'nobody:nogroup', nginx.folder])
    const as = isRoot ? ['--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups'] : []
    const words = [...as, '--pdeathsig', 'TERM', program, '-p', nginx.folder, '-e', 'stderr', '-c', 'nginx.conf']
    nginx.#child = spawn('setpriv', words, { stdio: ['ignore', 'ignore', 'pipe'] })
    nginx.#child.stderr.on('data', (part) => (nginx.#errors += part))
    nginx.#ended = new Promise((resolve) => nginx.#child.on('close', resolve).on('error', resolve))
    try {
      await nginx.#untilListening(port)
    } catch (error) {
      await nginx.stop()
      throw error
    }
    return nginx
  }

  async #untilListening(port) {
    const deadline = Date.now() + kDeadlineMs
    let hasEnded = false
    this.#ended.then(() => (hasEnded = true))
    while (!(await isListening(port))) {
      if (hasEnded || Date.now() > deadline) throw new Error(`nginx did not start: ${this.#errors}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async stop() {
    this.#child.kill()
    await this.#ended
    rmSync(this.folder, { recursive: true, force: true })
  }
}
