// SPDX-License-Identifier: MIT
// What visitors do on the example website, over HTTP and in Chromium; whether one process or several answer is all the same.

import { Browser } from './chromium.mjs'
import { kPost } from './harness.mjs'
import { Visitor } from './visitor.mjs'

/** Gives `body` a browser of its own, and its page. */
export async function withBrowser(body) {
  const browser = await Browser.open()
  try {
    await body(browser, browser.page)
  } finally {
    await browser.close()
  }
}

/** `url` is the site's origin, `server` the one that its visitors have their accounts at. */
export class WebSite {
  constructor(server) {
    this.server = server
  }

  /** A new browser. */
  visitor() {
    return new Visitor()
  }

  /** A form, as a browser without scripts sends it. `origin`: null leaves the header out. */
  submit(visitor, path, fields, { origin = this.url } = {}) {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', ...(origin && { origin }) }
    return visitor.request(this.url + path, { method: 'POST', headers, body: new URLSearchParams(fields).toString() })
  }

  /**
   * Over HTTP, up to and without the callback: {visitor, begun: the answer, callback: its URL, cookies}. `visitor` has the
   * cookies of the browser that began.
   */
  async almostLogIn({ handle, password }, { visitor = this.visitor(), returnTo = '/', ...options } = {}) {
    const begun = await this.submit(visitor, '/login', { who: handle, return_to: returnTo })
    if (begun.status !== 303) throw new Error(`login: ${begun.status} ${begun.text}`)
    const { redirect } = await this.server.signIn(begun.headers.location, handle, password, {
      arriveThere: false,
      ...options,
    })
    return { visitor, begun, callback: redirect, cookies: begun.headers['set-cookie'] }
  }

  /** Over HTTP, to the end. */
  async logIn(account, options) {
    const { visitor, callback } = await this.almostLogIn(account, options)
    const answer = await visitor.open(callback)
    if (answer.status !== 303) throw new Error(`callback: ${answer.status} ${answer.text}`)
    return { visitor, callback, answer }
  }

  /** The account's posts at its PDS, newest first. */
  async posts({ did }) {
    const query = new URLSearchParams({ repo: did, collection: kPost, limit: 100 })
    const answer = await fetch(`${this.server.pds}/xrpc/com.atproto.repo.listRecords?${query}`)
    return (await answer.json()).records
  }

  /** In Chromium, from the page that was asked for to the one that it ends on. `sign`: what is done at the server's page. */
  async logInWith(browser, account, { from = '/', deny, sign = this.#signing(account, { deny }) } = {}) {
    const open = async (page) => {
      await page.goto(this.url + from)
      await page.getByLabel('Handle, DID or server').fill(account.handle)
      await page.getByRole('button', { name: 'Log in' }).click()
    }
    await browser.visit(new URL(this.server.issuer).origin, open, sign)
    await browser.page.getByRole('heading').waitFor()
    await browser.page.waitForLoadState()
  }

  #signing({ handle, password }, options) {
    return this.server.signingIn(handle, password, options)
  }

  /** In Chromium, on the page to write posts: writes one, and gives its URI. */
  async postWith(page, { handle }, text) {
    await page.getByLabel(`As ${handle}`).fill(text)
    await page.getByRole('button', { name: 'Post' }).click()
    return page.locator('#uri').innerText()
  }

  /** In Chromium: the DID that the site knows this browser as. */
  async whoIs(page) {
    await page.goto(this.url)
    return page.locator('#did').innerText()
  }
}
