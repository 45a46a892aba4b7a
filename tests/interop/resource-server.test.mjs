// SPDX-License-Identifier: MIT
// The example resource server, called by a client that is not ours: proofs by jose, requests by fetch.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'

const build = join(dirname(fileURLToPath(import.meta.url)), '../../build')
const program = process.env.LATCHKEY_RESOURCE_SERVER ?? join(build, 'dev/examples/resource_server')
// It needs no other server: once is enough.
const skip = process.env.LATCHKEY_SERVER === 'reference'

const kToken = 'the-access-token'
const hash = (text) => createHash('sha256').update(text).digest('base64url')

async function newKey() {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  return { privateKey, jwk, jkt: await calculateJwkThumbprint(jwk) }
}

function proof(key, url, claims = {}, header = {}) {
  return new SignJWT({ htm: 'GET', htu: url, jti: randomUUID(), ath: hash(kToken), ...claims })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk, ...header })
    .setIssuedAt()
    .sign(key.privateKey)
}

/** `error`: of the challenge, 'none' if it names none, null without a challenge. */
async function call(url, headers) {
  const answer = await fetch(url, { headers })
  const challenge = answer.headers.get('www-authenticate')
  return { status: answer.status, body: await answer.text(), nonce: answer.headers.get('dpop-nonce'),
           error: challenge && (/error="(\w+)"/.exec(challenge)?.[1] ?? 'none') }
}

describe('a resource server, and a client by jose', { skip }, () => {
  let folder, key, child, origin
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-interop-'))
    key = await newKey()
    const tokens = join(folder, 'tokens')
    writeFileSync(tokens, `${hash(kToken)} ${key.jkt} alice\n`)
    child = spawn(program, ['0', tokens, '300'], { stdio: ['ignore', 'pipe', 'ignore'] })
    origin = await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', resolve)
      child.on('error', reject).on('exit', () => reject(new Error(`${program} ended`)))
    })
  })
  after(() => {
    child?.kill()
    rmSync(folder, { recursive: true, force: true })
  })

  const authorized = async (claims, header, by = key) =>
    ({ authorization: `DPoP ${kToken}`, dpop: await proof(by, `${origin}/things`, claims, header) })
  const nonce = async () => (await call(`${origin}/things`, await authorized())).nonce

  test('asks for a nonce, and lets in who has it', async () => {
    const first = await call(`${origin}/things?of=mine`, await authorized())
    assert.deepEqual([first.status, first.error], [401, 'use_dpop_nonce'])
    const second = await call(`${origin}/things?of=mine`, await authorized({ nonce: first.nonce }))
    assert.deepEqual([second.status, second.body, second.error], [200, 'hello, alice\n', null])
    assert.ok(second.nonce)
  })

  test('refuses proofs that are wrong or were seen', async () => {
    const good = await authorized({ nonce: await nonce() })
    assert.equal((await call(`${origin}/things`, good)).status, 200)
    const refused = [
      good,
      await authorized({ nonce: await nonce(), htm: 'POST' }),
      await authorized({ nonce: await nonce(), htu: `${origin}/other` }),
      await authorized({ nonce: await nonce(), ath: hash('another') }),
      await authorized({ nonce: await nonce() }, { typ: 'JWT' }),
      await authorized({ nonce: await nonce() }, {}, await newKey()),
      { authorization: `DPoP ${kToken}` },
    ]
    for (const headers of refused) {
      const { status, error } = await call(`${origin}/things`, headers)
      assert.deepEqual([status, error], [401, 'invalid_dpop_proof'])
    }
  })

  test('refuses a bound token as Bearer, an unknown one, and none', async () => {
    const { dpop } = await authorized({ nonce: await nonce() })
    for (const [headers, expected] of [
      [{ authorization: `Bearer ${kToken}`, dpop }, 'invalid_token'],
      [{ authorization: 'DPoP unknown', dpop }, 'invalid_token'],
      [{ dpop }, 'none'],
    ]) {
      const { status, error } = await call(`${origin}/things`, headers)
      assert.deepEqual([status, error], [401, expected])
    }
  })
})
