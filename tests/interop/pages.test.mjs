// SPDX-License-Identifier: MIT
// The pages that end a login, in a real browser: on a phone and a desktop, light and dark; and a callback over https.
// The screenshots are kept in build/pages, or in LATCHKEY_SCREENSHOTS.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { FLAGS, SCREENS } from './chromium.mjs'
import { lowContrasts } from './contrast.mjs'

const build = join(dirname(fileURLToPath(import.meta.url)), '../../build')
const program = process.env.LATCHKEY_PAGE_SERVER ?? join(build, 'dev/tests/loopback/page_server')
const screenshots = process.env.LATCHKEY_SCREENSHOTS ?? join(build, 'pages')
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
// These need no server: once is enough.
const skip = process.env.LATCHKEY_SERVER === 'reference'

const titles = {
  success: 'You are logged in',
  'success-plain': 'You are logged in',
  'success-hostile': 'You are logged in',
  failure: 'The login did not work',
  neutral: 'No login is waiting here',
}

/** Begins logins, and shows their pages; see tests/loopback/page_server.cpp. */
class PageServer {
  #child
  #lines
  #ended

  constructor(words = [], env = process.env) {
    this.#child = spawn(program, words, { env, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout })
    this.#ended = new Promise((_, reject) => {
      this.#child.on('error', reject)
      this.#child.on('exit', (code) => reject(new Error(`${program} ended with ${code}`)))
    })
    this.#ended.catch(() => {})
  }

  /** Where the next callback belongs, which gets this page. */
  async expect(name) {
    const line = new Promise((resolve) => this.#lines.once('line', resolve))
    this.#child.stdin.write(`${name}\n`)
    return `${await Promise.race([line, this.#ended])}?code=c&state=${name}`
  }

  stop() {
    this.#child.kill()
  }
}

describe('pages in Chromium', { skip }, () => {
  let server, browser
  before(async () => {
    mkdirSync(screenshots, { recursive: true })
    server = new PageServer()
    browser = await chromium.launch({ executablePath, headless: true, args: FLAGS })
  })
  after(async () => {
    await browser?.close()
    server?.stop()
  })

  /**
   * Opens the page and checks what holds for every page. `act(page)` sees it before it goes; then there is no screenshot.
   */
  async function visit(name, device, colorScheme, act) {
    const context = await browser.newContext({ ...SCREENS[device], colorScheme })
    const page = await context.newPage()
    const requests = []
    const complaints = []
    page.on('request', (request) => requests.push(request.url()))
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => complaints.push(String(error)))
    try {
      const url = await server.expect(name)
      await page.goto(url)
      assert.equal(await page.title(), titles[name])
      assert.equal(await page.locator('h1').innerText(), titles[name])
      assert.equal(await page.locator('html').getAttribute('lang'), 'en')
      assert.equal(await page.getByRole(name === 'failure' ? 'alert' : 'status').count(), 1)
      for (const summary of await page.locator('summary').all()) await summary.click()
      const [wide, room] = await page.evaluate(() => [
        document.documentElement.scrollWidth,
        document.documentElement.clientWidth,
      ])
      assert.ok(wide <= room, `${wide} px of content in ${room} px`)
      assert.deepEqual(await page.evaluate(lowContrasts), [])
      const path = join(screenshots, `${name}-${device}-${colorScheme}.png`)
      await (act ? act(page) : page.screenshot({ path, fullPage: true }))
      assert.deepEqual(requests, [url], 'nothing else was asked for')
      assert.deepEqual(complaints, [])
    } finally {
      await context.close()
    }
  }

  for (const device of Object.keys(SCREENS)) {
    for (const colorScheme of ['light', 'dark']) {
      for (const name of Object.keys(titles)) {
        test(`${name}, ${device}, ${colorScheme}`, () => visit(name, device, colorScheme))
      }
    }
  }

  test('the check of contrasts finds one that is too low', () =>
    visit('success', 'phone', 'light', async (page) => {
      await page.addStyleTag({ content: '.soft { color: #999 }' })
      assert.match((await page.evaluate(lowContrasts)).join(), /You can close/)
    }))

  test('the two palettes differ', async () => {
    const grounds = []
    for (const colorScheme of ['light', 'dark']) {
      await visit('success', 'phone', colorScheme, async (page) =>
        grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)),
      )
    }
    assert.notEqual(grounds[0], grounds[1])
  })

  test('who is logged in, what was granted, and the details are there to read', () =>
    visit('success', 'desktop', 'light', async (page) => {
      const text = await page.locator('main').innerText()
      for (const part of ['Ada Lovelace', 'ada.lovelace@example.com', 'Analytical Engine', 'offline_access',
                          '248289761001', 'in 59 minutes', 'checked', 'goes on without a new login']) {
        assert.ok(text.includes(part), `${part} in ${text}`)
      }
    }))

  test('markup in what others wrote is text, and runs nothing', () =>
    visit('success-hostile', 'phone', 'light', async (page) => {
      assert.equal(await page.locator('img, script').count(), 0)
      assert.ok((await page.locator('main').innerText()).includes('<script>alert(1)</script>'))
    }))

  test('the page that a browser shows for a foreign state does not end the wait', async () => {
    const url = await server.expect('success')
    const context = await browser.newContext()
    try {
      const page = await context.newPage()
      assert.equal((await page.goto(url.replace('state=success', 'state=other'))).status(), 400)
      assert.equal(await page.title(), titles.neutral)
      assert.equal((await page.goto(url)).status(), 200)
      assert.equal(await page.title(), titles.success)
    } finally {
      await context.close()
    }
  })
})

describe('callback over https in Chromium', { skip }, () => {
  let home, env, server
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'latchkey-https-'))
    env = { ...process.env, HOME: home, CAROOT: join(home, 'ca') }
    server = new PageServer(['--https', join(home, 'tls')], env)
  })
  after(() => {
    server?.stop()
    if (home) rmSync(home, { recursive: true, force: true })
  })

  /** `act(page)` in a browser of this home, which decides by itself whom it trusts. */
  async function inBrowser(act) {
    const profile = mkdtempSync(join(home, 'profile-'))
    const options = { executablePath, headless: true, args: FLAGS, env, ignoreHTTPSErrors: false }
    const context = await chromium.launchPersistentContext(profile, options)
    try {
      return await act(context.pages()[0] ?? (await context.newPage()))
    } finally {
      await context.close()
    }
  }

  function trustMkcert() {
    const database = join(home, '.pki/nssdb')
    mkdirSync(database, { recursive: true })
    execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password'])
    execFileSync('mkcert', ['-install'], { env: { ...env, TRUST_STORES: 'nss' }, stdio: 'ignore' })
  }

  test('refused without mkcert\'s authority, and shown with it: the wait goes on in between', async () => {
    const url = await server.expect('success')
    assert.match(url, /^https:\/\/127\.0\.0\.1:\d+\/callback/)
    await inBrowser((page) => assert.rejects(page.goto(url), /ERR_CERT_AUTHORITY_INVALID/))
    trustMkcert()
    await inBrowser(async (page) => {
      const answer = await page.goto(url)
      assert.equal(answer.status(), 200)
      assert.match((await answer.securityDetails()).protocol, /^TLS 1\.[23]$/)
      assert.equal(await page.locator('h1').innerText(), titles.success)
    })
  })
})
