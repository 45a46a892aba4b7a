// SPDX-License-Identifier: MIT
// Sign-in at the sandbox without a browser: its page is one form.

import { Visitor } from './visitor.mjs'

/** The hidden fields of the form, as a browser would send them back. */
function hiddenFields(html) {
  const unescape = (text) =>
    text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
  const found = html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)
  return Object.fromEntries([...found].map(([, name, value]) => [name, unescape(value)]))
}

export async function loginHttp(authorizeUrl, handle, password, { deny = false, arriveThere = true } = {}) {
  const { origin } = new URL(authorizeUrl)
  const visitor = new Visitor()
  const page = await visitor.open(authorizeUrl)
  if (page.status === 303) return visitor.arrive(page.headers.location, arriveThere)
  if (page.status !== 200) throw new Error(`authorize: ${page.status} ${page.text.slice(0, 300)}`)

  const decision = deny ? { decision: 'deny' } : { decision: 'allow', identifier: handle, password }
  const answer = await visitor.request(`${origin}/oauth/authorize`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
      'sec-fetch-site': 'same-origin',
      origin,
      referer: authorizeUrl,
    },
    body: new URLSearchParams({ ...hiddenFields(page.text), ...decision }).toString(),
  })
  if (answer.status !== 303) throw new Error(`sign-in: ${answer.status} ${answer.text.slice(0, 300)}`)
  return visitor.arrive(answer.headers.location, arriveThere)
}
