// SPDX-License-Identifier: MIT
// A headless Chromium on a server's sign-in page, until it is sent to the client.
//
// CHROMIUM: the browser's path (default /usr/bin/chromium).
// CHROMIUM_ARGS: JSON array of more flags, such as
//   ["--host-resolver-rules=MAP pds.test:443 127.0.0.1:8443"]

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

/** How the tests start Chromium. */
export const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The screens that pages are looked at on. */
export const SCREENS = {
  phone: { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 },
  desktop: { viewport: { width: 1280, height: 800 } },
}

/** One person's browser: cookies and all, until close(). */
export class Browser {
  static async open({ timeout = 30_000 } = {}) {
    const browser = new Browser()
    browser.profile = mkdtempSync(join(tmpdir(), 'login-'))
    browser.context = await chromium.launchPersistentContext(browser.profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      args: [...FLAGS, ...JSON.parse(process.env.CHROMIUM_ARGS ?? '[]')],
      ignoreHTTPSErrors: true, // a test's own certificate
      locale: 'en-US', // the page's buttons are found by their English names
    })
    browser.page = browser.context.pages()[0] ?? (await browser.context.newPage())
    browser.page.setDefaultTimeout(timeout)
    return browser
  }

  /**
   * Does `open()`, which leads to a page of `origin`, and has `act(page, next)` do what a person does there, until the
   * browser leaves for another origin. `next(...locators)` waits for whichever comes first: the number of a locator, or
   * 'left' when the browser is on its way. Gives the request that left, or null if act gives 'stays'. What goes wrong has
   * the page's text in its message, and a screenshot in login-failed.png.
   */
  async visit(origin, open, act) {
    const { page } = this
    let arrived = false
    // Awaited as a request, because a client may answer it in any way.
    const leaving = page.waitForRequest((request) => {
      if (!request.isNavigationRequest() || request.frame() !== page.mainFrame()) return false
      const isThere = new URL(request.url()).origin === origin
      arrived ||= isThere
      return arrived && !isThere
    })
    leaving.catch(() => {}) // reported below, where it is awaited
    try {
      await open(page)
      const end = await act(page, (...locators) =>
        Promise.race([
          leaving.then(() => 'left'),
          ...locators.map((l, i) => l.first().waitFor().then(() => i)),
        ]),
      )
      return end === 'stays' ? null : await leaving
    } catch (error) {
      const text = await page.locator('body').innerText({ timeout: 2000 }).catch(() => '')
      await page.screenshot({ path: 'login-failed.png' }).catch(() => {})
      error.message += `\nat ${page.url()}\npage text: ${text.slice(0, 800)}`
      throw error
    }
  }

  async close() {
    await this.context.close().catch(() => {})
    rmSync(this.profile, { recursive: true, force: true })
  }
}

/**
 * Opens the page in a browser of its own, see Browser.visit(). Gives {redirect: URL reached, status: HTTP status of the
 * client's own answer there (null: nobody answered)}, or {redirect: null, status: null} if the visit ends on the server's
 * page. `loopbackOnly`: the page's requests to other machines fail.
 */
export async function inChromium(authorizeUrl, act, { timeout = 30_000, loopbackOnly = false } = {}) {
  const browser = await Browser.open({ timeout })
  try {
    if (loopbackOnly) {
      const isOther = (url) => !['127.0.0.1', 'localhost'].includes(url.hostname)
      await browser.context.route(isOther, (route) => route.abort())
    }
    const open = (page) =>
      page.goto(authorizeUrl).catch((error) => {
        // The server may redirect at once (an error, or a known session).
        if (!/ERR_CONNECTION_REFUSED|interrupted/.test(String(error))) throw error
      })
    const request = await browser.visit(new URL(authorizeUrl).origin, open, act)
    if (!request) return { redirect: null, status: null }
    const response = await request.response().catch(() => null)
    return { redirect: request.url(), status: response?.status() ?? null }
  } finally {
    await browser.close()
  }
}
