// SPDX-License-Identifier: MIT
// Signs in and consents on the reference PDS's page with a headless Chromium.

import { inChromium } from './chromium.mjs'

/** What a person does there, for Browser.visit(). */
export function signingIn(handle, password, { deny = false } = {}) {
  return async (page, next) => {
    // With a login_hint the page opens on the sign-in form; without one, on a
    // welcome page. An account that was signed in before goes to consent.
    const welcome = page.getByRole('button', { name: 'Sign in', exact: true })
    const passwordField = page.locator('input[name="password"]')
    const authorize = page.getByRole('button', { name: 'Authorize', exact: true })
    const refuse = page.getByRole('button', { name: 'Deny access', exact: true })

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
  }
}

export const loginInChromium = (authorizeUrl, handle, password, options) =>
  inChromium(authorizeUrl, signingIn(handle, password, options))
