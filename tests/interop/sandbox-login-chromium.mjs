// SPDX-License-Identifier: MIT
// Signs in on the sandbox's page with a headless Chromium.

import { inChromium } from './chromium.mjs'

export function loginInChromium(authorizeUrl, handle, password, { deny = false } = {}) {
  return inChromium(authorizeUrl, async (page, next) => {
    const passwordField = page.getByLabel('Password')
    if ((await next(passwordField)) === 'left') return
    await page.getByLabel('Handle or DID').fill(handle)
    await passwordField.fill(password)
    await page.getByRole('button', { name: deny ? 'Deny' : 'Allow', exact: true }).click()
  })
}
