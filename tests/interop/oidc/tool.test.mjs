// SPDX-License-Identifier: MIT
// The tool as a person uses it with a provider that is not ours: profiles, and nothing in the clear.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Place } from '../place.mjs'
import { loginHttp, loginInChromium } from './login.mjs'
import { kPaths, OidcServer } from './server.mjs'

class ProfilePlace extends Place {
  get globalOptions() {
    return ['--data-dir', this.data, '--store', this.storeUrl, '--allow-http-for-loopback']
  }

  /** Logs in to the profile "work"; `more`: words of the command line, `drive(url)`: the person. */
  async logIn({ client = 'native', more = [], drive = (url) => loginHttp(url, 'alice') } = {}) {
    const { issuer, clients } = this.server
    const words = ['login', '--profile', 'work', '--issuer', issuer, '--client-id', clients[client]]
    const running = this.start([...words, '--scope', 'openid', '--no-browser', ...more])
    const visit = drive(await running.authorizeUrl)
    return Object.assign(await running.done, { visit: await visit })
  }

  /** All bytes that are on its disk. */
  get contents() {
    const files = readdirSync(this.root, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
    return files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1')).join('\n')
  }
}

describe('tool [oidc-provider]', () => {
  let server
  before(async () => (server = await OidcServer.start()))
  after(() => server?.stop())

  const onMachine = (name, body, settings = {}) =>
    test(name, async () => {
      server.restart({ par: 'off', dpop: 'off', ...settings })
      const place = new ProfilePlace(server)
      try {
        await body(place, server.mark())
      } finally {
        server.honest()
        place.remove()
      }
    })

  async function assertNothingSaved(place) {
    assert.deepEqual((await place.run(['sessions'])).expect(0).json, [])
  }

  onMachine('a profile: login in Chromium, refresh, logout', async (place) => {
    const result = (await place.logIn({ drive: (url) => loginInChromium(url, 'alice') })).expect(0)
    assert.equal(result.visit.status, 200)
    assert.equal(result.json.subject, 'work')
    ;(await place.run(['refresh'])).expect(0)
    const { stdout } = (await place.run(['token', '--reveal'], { json: false })).expect(0)
    assert.equal(await server.isActive(stdout.trim()), true)
    ;(await place.run(['logout'])).expect(0)
    assert.equal(await server.isActive(stdout.trim()), false)
    await assertNothingSaved(place)
  })

  onMachine('required PAR and DPoP nonces, and the next run needs no second request', async (place) => {
    ;(await place.logIn()).expect(0)
    const mark = server.mark()
    ;(await place.run(['refresh'])).expect(0)
    assert.deepEqual(server.requests(mark, kPaths.token).map((e) => [e.status, e.proof?.nonce]), [[200, true]])
  }, { par: 'required', dpop: 'nonce' })

  onMachine('a secret from a file is used, and nothing secret is on the disk but that file', async (place) => {
    const file = join(place.home, 'secret')
    writeFileSync(file, `${server.secret}\n`, { mode: 0o600 })
    const known = server.captured()
    const result = (await place.logIn({ client: 'basic', more: ['--client-secret-file', file] })).expect(0)
    ;(await place.run(['refresh'])).expect(0)
    writeFileSync(file, '')
    const issued = server.captured(known)
    assert.ok(issued.length >= 6)
    const disk = place.contents
    for (const secret of [...issued, server.secret]) {
      assert.ok(!disk.includes(secret))
      assert.ok(!result.toString().includes(secret))
    }
  })

  onMachine('a device code: shown, allowed, kept', async (place) => {
    const { issuer, clients } = server
    const words = ['login', '--device', '--profile', 'work', '--issuer', issuer, '--client-id', clients.native]
    const running = place.start([...words, '--scope', 'openid'])
    const shown = await new Promise((resolve) => {
      running.child.stderr.on('data', () => {
        const lines = running.stderr.match(/^ {2}\S+$/gm)
        if (lines?.length >= 2) resolve(lines.map((line) => line.trim()))
      })
    })
    await loginHttp(`${shown[0]}?user_code=${shown[1]}`, 'alice')
    ;(await running.done).expect(0)
    ;(await place.run(['refresh'])).expect(0)
  })

  onMachine('a denial: said, exit 1, nothing saved', async (place) => {
    const result = await place.logIn({ drive: (url) => loginHttp(url, 'alice', { deny: true }) })
    assert.match(result.expect(1).stderr, /den(y|ied)/i)
    await assertNothingSaved(place)
  })

  onMachine('an id token of another client: refused, nothing saved, and what was issued is revoked', async (place, mark) => {
    server.forgeIdTokens((claims) => ({ ...claims, aud: 'somebody-else' }))
    const result = (await place.logIn()).expect(1)
    assert.match(result.stderr, /id_token\.audience/)
    assert.deepEqual(server.requests(mark, kPaths.revocation).map((e) => e.status), [200])
    await assertNothingSaved(place)
  })

  onMachine('a spent refresh token that comes again: the profile asks for a login', async (place) => {
    const known = server.captured()
    ;(await place.logIn()).expect(0)
    const spent = server.captured(known)
    ;(await place.run(['refresh'])).expect(0)
    for (const refresh_token of spent) {
      const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: server.clients.native, refresh_token })
      await fetch(server.issuer + kPaths.token, { method: 'POST', body })
    }
    ;(await place.run(['refresh'])).expect(3)
    ;(await place.logIn()).expect(0)
  })
})
