#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Browser robot: signs in and consents on the PDS's authorize page with a
// headless Chromium, until the browser is sent to the client's redirect URI.
//
//   node login.mjs AUTHORIZE_URL HANDLE PASSWORD [--deny]
//
// Prints one line of JSON: {"redirect": URL reached, "status": HTTP status of
// the client's own answer there (null: nobody answered), "ms": time taken}.
// Exit status 0 when the redirect was reached, 1 otherwise (then with a
// screenshot in login-failed.png and the page's text on stderr).
//
// CHROMIUM: the browser's path (default /usr/bin/chromium).
// CHROMIUM_ARGS: JSON array of more flags, such as
//   ["--host-resolver-rules=MAP pds.test:443 127.0.0.1:8443"]

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export async function login(authorizeUrl, handle, password, { deny = false, timeout = 30_000 } = {}) {
  const started = Date.now()
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

    // With a login_hint the page opens on the sign-in form; without one, on a
    // welcome page. An account that was signed in before goes to consent.
    const welcome = page.getByRole('button', { name: 'Sign in', exact: true })
    const passwordField = page.locator('input[name="password"]')
    const authorize = page.getByRole('button', { name: 'Authorize', exact: true })
    const refuse = page.getByRole('button', { name: 'Deny access', exact: true })

    const next = (...locators) =>
      Promise.race([
        leaving.then(() => 'left'),
        ...locators.map((l, i) => l.first().waitFor().then(() => i)),
      ])

    const first = await next(passwordField, welcome, authorize)
    // The sign-in form's own button is called "Sign in" too.
    if (first === 1 && (await passwordField.count()) === 0) await welcome.click()
    if (first === 0 || first === 1) {
      await passwordField.waitFor()
      const user = page.locator('input[name="username"]')
      if (await user.isEditable()) await user.fill(handle)
      await passwordField.fill(password)
      await page.locator('form button[type="submit"]').click()
    }
    if (first !== 'left' && (await next(authorize)) !== 'left') {
      await (deny ? refuse : authorize).click()
    }

    const request = await leaving
    const response = await request.response().catch(() => null)
    return { redirect: request.url(), status: response?.status() ?? null, ms: Date.now() - started }
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2).filter((a) => !a.startsWith('--'))
  if (words.length !== 3) {
    console.error('usage: login.mjs AUTHORIZE_URL HANDLE PASSWORD [--deny]')
    process.exit(2)
  }
  try {
    console.log(JSON.stringify(await login(...words, { deny: process.argv.includes('--deny') })))
  } catch (error) {
    console.error(String(error.message ?? error))
    process.exit(1)
  }
}
