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

/**
 * Opens the page and has `act(page, next)` do what a person does there. `next(...locators)` waits for whichever comes
 * first: the number of a locator, or 'left' when the browser is on its way to the client. Gives {redirect: URL reached,
 * status: HTTP status of the client's own answer there (null: nobody answered)}, or {redirect: null, status: null} if act
 * gives 'stays', because the visit ends on the server's page. What goes wrong has the page's text in its message, and a
 * screenshot in login-failed.png. `loopbackOnly`: the page's requests to other machines fail.
 */
export async function inChromium(authorizeUrl, act, { timeout = 30_000, loopbackOnly = false } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'login-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [...FLAGS, ...JSON.parse(process.env.CHROMIUM_ARGS ?? '[]')],
    ignoreHTTPSErrors: true, // a test's own certificate
    locale: 'en-US', // the page's buttons are found by their English names
  })
  const page = context.pages()[0] ?? (await context.newPage())
  page.setDefaultTimeout(timeout)
  try {
    if (loopbackOnly) {
      const isOther = (url) => !['127.0.0.1', 'localhost'].includes(url.hostname)
      await context.route(isOther, (route) => route.abort())
    }
    // The redirect is the first request that leaves the server's origin. It is
    // awaited as a request, because a client may answer it in any way.
    const origin = new URL(authorizeUrl).origin
    const leaving = page.waitForRequest(
      (request) =>
        request.isNavigationRequest() &&
        request.frame() === page.mainFrame() &&
        new URL(request.url()).origin !== origin,
    )
    leaving.catch(() => {}) // reported below, where it is awaited

    await page.goto(authorizeUrl).catch((error) => {
      // The server may redirect at once (an error, or a known session).
      if (!/ERR_CONNECTION_REFUSED|interrupted/.test(String(error))) throw error
    })
    const end = await act(page, (...locators) =>
      Promise.race([
        leaving.then(() => 'left'),
        ...locators.map((l, i) => l.first().waitFor().then(() => i)),
      ]),
    )
    if (end === 'stays') return { redirect: null, status: null }
    const request = await leaving
    const response = await request.response().catch(() => null)
    return { redirect: request.url(), status: response?.status() ?? null }
  } catch (error) {
    const text = await page.locator('body').innerText({ timeout: 2000 }).catch(() => '')
    await page.screenshot({ path: 'login-failed.png' }).catch(() => {})
    error.message += `\nat ${page.url()}\npage text: ${text.slice(0, 800)}`
    throw error
  } finally {
    await context.close().catch(() => {})
    rmSync(profile, { recursive: true, force: true })
  }
}
