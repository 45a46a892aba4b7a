#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Sign-in and consent at the reference PDS without a browser: what its page's own script asks of it, in five requests.
//
//   node reference-login-http.mjs AUTHORIZE_URL HANDLE PASSWORD [--deny]
//
// Prints one line of JSON: {"redirect": URL reached, "status": HTTP status of the client's own answer there (null: nobody
// answered)}. Exit status 0 when the redirect was reached, 1 otherwise.
//
// It relies on the private endpoints of @atproto/oauth-provider 0.22 (/@atproto/oauth-provider/~api/...), which can change
// with any version of it; reference-login-chromium.mjs relies on the page's buttons.

import { fileURLToPath } from 'node:url'
import { Visitor } from './visitor.mjs'

export async function loginHttp(authorizeUrl, handle, password, { deny = false, arriveThere = true } = {}) {
  const { origin } = new URL(authorizeUrl)
  const visitor = new Visitor()

  // 1. The page: sets the cookies dev-id, ses-id and csrf-token.
  const page = await visitor.open(authorizeUrl)
  if (page.status >= 300 && page.status < 400) return visitor.arrive(page.headers.location, arriveThere)
  if (page.status !== 200) throw new Error(`authorize: ${page.status} ${page.text.slice(0, 300)}`)

  async function api(name, input, bearer) {
    const answer = await visitor.request(`${origin}/@atproto/oauth-provider/~api/${name}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'sec-fetch-mode': 'same-origin',
        'sec-fetch-site': 'same-origin',
        origin,
        referer: authorizeUrl, // names the request_uri, and is checked
        'x-csrf-token': visitor.cookie('csrf-token'), // must equal the cookie
        ...(bearer && { authorization: `Bearer ${bearer}` }),
      },
      body: JSON.stringify(input),
    })
    if (answer.status !== 200) throw new Error(`${name}: ${answer.status} ${answer.text}`)
    return JSON.parse(answer.text)
  }

  // 2. Sign in; without "remember", a short-lived bearer token stands for it.
  const { account, ephemeralToken } = await api('sign-in', {
    locale: 'en',
    username: handle,
    password,
    remember: false,
  })
  // 3. Consent (no "scope": everything that was asked for), or reject.
  const { url } = deny
    ? await api('reject', {})
    : await api('consent', { did: account.did ?? account.sub }, ephemeralToken)
  // 4. The server's own redirector, which answers 303 to the client.
  const hop = await visitor.open(url, { from: authorizeUrl })
  if (hop.status !== 303) throw new Error(`redirect: ${hop.status} ${hop.text.slice(0, 300)}`)
  // 5. The client's redirect URI.
  return visitor.arrive(hop.headers.location, arriveThere)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2).filter((a) => !a.startsWith('--'))
  if (words.length !== 3) {
    console.error('usage: reference-login-http.mjs AUTHORIZE_URL HANDLE PASSWORD [--deny]')
    process.exit(2)
  }
  try {
    console.log(JSON.stringify(await loginHttp(...words, { deny: process.argv.includes('--deny') })))
  } catch (error) {
    console.error(String(error.message ?? error))
    process.exit(1)
  }
}
