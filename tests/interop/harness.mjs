// SPDX-License-Identifier: MIT
// What the interop tests of ATProto stand on: a server with its controls, a place for one user's data, and the tool.

export { Place } from './place.mjs'

const serverName = process.env.LATCHKEY_SERVER ?? 'sandbox'
/** The server that LATCHKEY_SERVER names, reference or sandbox; see server.mjs. Stop it in an `after` hook. */
export const { Server } = await import(`./server-${serverName}.mjs`)
/** The name of a group of scenarios: they are the same on every server. */
export const onServer = (what) => `${what} [${serverName}]`
export const stores = ['sqlite', 'file']

/** Waits for the clock, not for luck: until `moment` (ms since 1970) has passed. */
export function until(moment) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, moment - Date.now())))
}

/** A record that says `text`. */
export function post(text) {
  return JSON.stringify({ $type: 'app.bsky.feed.post', text, createdAt: new Date().toISOString() })
}

export const kPost = 'app.bsky.feed.post'
