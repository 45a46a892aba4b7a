// SPDX-License-Identifier: MIT
// The page of a trace in a real browser: on a phone and a desktop, light and dark. The trace is of a login, a write and a
// logout at the sandbox, with faults (tests/data/trace). The screenshots are kept in build/pages, or in LATCHKEY_SCREENSHOTS.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { FLAGS, SCREENS } from './chromium.mjs'
import { lowContrasts } from './contrast.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const tool = process.env.LATCHKEY_TOOL ?? join(root, 'build/dev/cli/latchkey')
const screenshots = process.env.LATCHKEY_SCREENSHOTS ?? join(root, 'build/pages')
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
// This needs no server: once is enough.
const skip = process.env.LATCHKEY_SERVER === 'reference'


describe('the page of a trace in Chromium', { skip }, () => {
  let home, url, browser
  before(async () => {
    mkdirSync(screenshots, { recursive: true })
    home = mkdtempSync(join(tmpdir(), 'latchkey-trace-'))
    const page = join(home, 'page.html')
    execFileSync(tool, ['trace', join(root, 'tests/data/trace/sandbox_v1.jsonl'), '--output', page], { stdio: 'pipe' })
    url = pathToFileURL(page).href
    browser = await chromium.launch({ executablePath, headless: true, args: FLAGS })
  })
  after(async () => {
    await browser?.close()
    if (home) rmSync(home, { recursive: true, force: true })
  })

  /** Opens the page, checks what holds wherever it is looked at, and lets `act(page)` see it. */
  async function visit(device, colorScheme, act) {
    const context = await browser.newContext({ ...SCREENS[device], colorScheme })
    const page = await context.newPage()
    const requests = []
    const complaints = []
    page.on('request', (request) => requests.push(request.url()))
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => complaints.push(String(error)))
    try {
      await page.goto(url)
      await act(page)
      assert.deepEqual(requests, [url], 'nothing else was asked for')
      assert.deepEqual(complaints, [])
    } finally {
      await context.close()
    }
  }

  for (const device of Object.keys(SCREENS)) {
    for (const colorScheme of ['light', 'dark']) {
      test(`readable, ${device}, ${colorScheme}`, () =>
        visit(device, colorScheme, async (page) => {
          assert.equal(await page.title(), 'What latchkey did')
          await page.screenshot({ path: join(screenshots, `trace-${device}-${colorScheme}.png`), fullPage: true })
          for (const summary of await page.locator('summary').all()) await summary.click()
          const [wide, room] = await page.evaluate(() => [
            document.documentElement.scrollWidth,
            document.documentElement.clientWidth,
          ])
          assert.ok(wide <= room, `${wide} px of content in ${room} px: only the diagram scrolls`)
          assert.deepEqual(await page.evaluate(lowContrasts), [])
        }))
    }
  }

  test('every exchange and step of the trace is in a diagram and in its list', () =>
    visit('desktop', 'light', async (page) => {
      const rows = await page.locator('.diagram g').count()
      assert.ok(rows > 20, `${rows} rows`)
      assert.equal(await page.locator('li').count(), rows)
      assert.ok((await page.locator('.diagram').count()) >= 3)
      assert.ok((await page.locator('.ring').count()) >= 1, 'a retry')
      assert.ok((await page.locator('.cross').count()) >= 1, 'a lost answer')
      assert.ok((await page.locator('.mark.bad').count()) >= 1, 'a refusal')
    }))

  test('the diagram can be scrolled with the keyboard', () =>
    visit('phone', 'light', async (page) => {
      const box = page.locator('.scroll').first()
      await box.focus()
      await page.keyboard.press('ArrowRight')
      await page.waitForFunction(() => document.querySelector('.scroll').scrollLeft > 0)
    }))

  test('no script would run, and no style but the page\'s own applies', () =>
    visit('desktop', 'light', async (page) => {
      assert.equal(await page.locator('script, img, link').count(), 0)
      const policy = await page.locator('meta[http-equiv="Content-Security-Policy"]').getAttribute('content')
      assert.match(policy, /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='$/)
    }))
})
