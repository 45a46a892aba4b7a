// SPDX-License-Identifier: MIT
// Signs in and consents on oidc-provider's development pages. `start` is an authorization request, or the page that a
// device shows (verification_uri_complete); of that, the visit ends at the server and {redirect: null}.

import { inChromium } from '../chromium.mjs'
import { Visitor } from '../visitor.mjs'

const kMaxPages = 20
const kForm = { 'content-type': 'application/x-www-form-urlencoded' }
const kStays = { redirect: null, status: null }

/** What a form of the page would send, by name, with what a person adds to it. */
function filledIn(html, login) {
  const fields = new URLSearchParams()
  for (const [tag] of html.matchAll(/<input [^>]*>/g)) {
    const name = / name="([^"]*)"/.exec(tag)?.[1]
    if (name) fields.set(name, / value="([^"]*)"/.exec(tag)?.[1] ?? '')
  }
  if (fields.has('login')) {
    fields.set('login', login)
    fields.set('password', 'any')
  }
  return fields
}

const unescaped = (text) => text.replaceAll('&amp;', '&')

/** Over HTTP: {redirect, status}, as Visitor.arrive() says. */
export async function loginHttp(start, login, { deny = false, arriveThere = true } = {}) {
  const { origin } = new URL(start)
  const visitor = new Visitor()
  let url = start
  let form
  for (let step = 0; step < kMaxPages; step++) {
    const answer = form
      ? await visitor.request(url, { method: 'POST', headers: kForm, body: form.toString() })
      : await visitor.request(url)
    form = undefined
    if (answer.headers.location) {
      url = new URL(answer.headers.location, url).href
      if (new URL(url).origin !== origin) return visitor.arrive(url, arriveThere)
      continue
    }
    const action = /<form[^>]* action="([^"]+)"/.exec(answer.text)?.[1]
    if (!action) {
      if (answer.status >= 400) throw new Error(`${answer.status} at ${url}: ${answer.text.slice(-500)}`)
      return kStays
    }
    const fields = filledIn(answer.text, login)
    const abort = / href="([^"]+\/abort)"/.exec(answer.text)?.[1]
    if (deny && fields.get('prompt') === 'consent' && abort) {
      url = new URL(unescaped(abort), url).href
      continue
    }
    url = new URL(unescaped(action), url).href
    if (deny && /<button [^>]*name="abort"/.test(answer.text)) {
      fields.set('abort', 'yes')
      await visitor.request(url, { method: 'POST', headers: kForm, body: fields.toString() })
      return kStays
    }
    form = fields
  }
  throw new Error(`no end at ${url}`)
}

/** In a headless Chromium. The pages ask for a web font, which is not to be had. */
export function loginInChromium(start, login, { deny = false } = {}) {
  const act = async (page, next) => {
    const loginField = page.locator('input[name="login"]')
    const button = page.locator('button[type="submit"]')
    const refuseDevice = page.locator('button[name="abort"]')
    const success = page.getByRole('heading', { name: 'Sign-in Success' })
    for (let step = 0; step < kMaxPages; step++) {
      const shown = await next(success, button)
      if (shown === 'left') return 'left'
      if (shown === 0) return 'stays'
      if (deny && (await refuseDevice.count())) {
        await Promise.all([page.waitForNavigation(), refuseDevice.click()])
        return 'stays'
      }
      if (await loginField.count()) {
        await loginField.fill(login)
        await page.locator('input[name="password"]').fill('any')
      } else if (deny) {
        await page.getByText('Cancel').click()
        continue
      }
      // The next page has such a button, too.
      await Promise.all([page.waitForNavigation().catch(() => {}), button.first().click()])
    }
    throw new Error('no end of pages')
  }
  return inChromium(start, act, { loopbackOnly: true })
}
