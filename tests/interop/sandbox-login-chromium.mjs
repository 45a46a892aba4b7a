// SPDX-License-Identifier: MIT
// Signs in on the sandbox's page with a headless Chromium.

import { inChromium } from './chromium.mjs'

/** What a person does there, for Browser.visit(). */
export function signingIn(handle, password, { deny = false } = {}) {
  return async (page, next) => {
    const passwordField = page.getByLabel('Password')
    if ((await next(passwordField)) === 'left') return
    await page.getByLabel('Handle or DID').fill(handle)
    await passwordField.fill(password)
    await page.getByRole('button', { name: deny ? 'Deny' : 'Allow', exact: true }).click()
  }
}

export const loginInChromium = (authorizeUrl, handle, password, options) =>
  inChromium(authorizeUrl, signingIn(handle, password, options))
