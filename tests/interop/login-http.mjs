#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Sign-in and consent without a browser: what the authorize page's own script
// asks of the server, in five HTTP requests.
//
//   node login-http.mjs AUTHORIZE_URL HANDLE PASSWORD [--deny]
//
// Same output as login.mjs. It relies on the private endpoints of
// @atproto/oauth-provider 0.22 (/@atproto/oauth-provider/~api/...), which can
// change with any version of it; login.mjs relies on the page's buttons.
// node:http, because fetch() does not let one set the Sec-Fetch-* headers.

import http from 'node:http'
import { fileURLToPath } from 'node:url'

/** One request; nothing followed, nothing remembered. */
function request(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers, agent: false }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (part) => (text += part))
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, text }))
    })
    req.on('error', reject)
    req.end(body)
  })
}

export async function loginHttp(authorizeUrl, handle, password, { deny = false, arriveThere = true } = {}) {
  const started = Date.now()
  const { origin } = new URL(authorizeUrl)
  const jar = new Map()
  const remember = ({ headers }) => {
    for (const line of headers['set-cookie'] ?? []) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      jar.set(name, value)
    }
  }
  const cookie = () => [...jar].map(([k, v]) => `${k}=${v}`).join('; ')
  const navigation = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }

  // 1. The page: sets the cookies dev-id, ses-id and csrf-token.
  const page = await request(authorizeUrl, { headers: { ...navigation, 'sec-fetch-site': 'none' } })
  remember(page)
  if (page.status >= 300 && page.status < 400) return arrive(page.headers.location)
  if (page.status !== 200) throw new Error(`authorize: ${page.status} ${page.text.slice(0, 300)}`)

  async function api(name, input, bearer) {
    const answer = await request(`${origin}/@atproto/oauth-provider/~api/${name}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'sec-fetch-mode': 'same-origin',
        'sec-fetch-site': 'same-origin',
        origin,
        referer: authorizeUrl, // names the request_uri, and is checked
        cookie: cookie(),
        'x-csrf-token': jar.get('csrf-token'), // must equal the cookie
        ...(bearer && { authorization: `Bearer ${bearer}` }),
      },
      body: JSON.stringify(input),
    })
    remember(answer)
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
  const hop = await request(url, {
    headers: { ...navigation, 'sec-fetch-site': 'same-origin', referer: authorizeUrl, cookie: cookie() },
  })
  if (hop.status !== 303) throw new Error(`redirect: ${hop.status} ${hop.text.slice(0, 300)}`)
  return arrive(hop.headers.location)

  // 5. The client's redirect URI.
  async function arrive(redirect) {
    const answer = arriveThere && /^http:/.test(redirect) ? await request(redirect).catch(() => null) : null
    return { redirect, status: answer?.status ?? null, ms: Date.now() - started }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2).filter((a) => !a.startsWith('--'))
  if (words.length !== 3) {
    console.error('usage: login-http.mjs AUTHORIZE_URL HANDLE PASSWORD [--deny]')
    process.exit(2)
  }
  try {
    console.log(JSON.stringify(await loginHttp(...words, { deny: process.argv.includes('--deny') })))
  } catch (error) {
    console.error(String(error.message ?? error))
    process.exit(1)
  }
}
