// SPDX-License-Identifier: MIT
// What a login leaves on disk: nothing secret in clear, and permissions that are right from the moment of creation.
import assert from 'node:assert/strict'
import { lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { kPost, onServer, Place, post, Server, stores } from './harness.mjs'

/** Every file and folder under `folder`, itself included. */
function walk(folder) {
  const below = readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return lstatSync(path).isDirectory() ? walk(path) : [path]
  })
  return [folder, ...below]
}

const isFile = (path) => lstatSync(path).isFile()

/** The secret itself and the parts of it that would be enough: the segments of a JWT, and the bytes behind base64url. */
function tracesOf(secret) {
  const parts = secret.split('.').filter((part) => part.length >= 24)
  return [secret, ...parts].flatMap((text) => [Buffer.from(text), Buffer.from(text, 'base64url')])
}

const kKeyInClear = [/"d"\s*:\s*"/, /BEGIN (EC )?PRIVATE KEY/, /"access_token"\s*:\s*"ey/, /"code_verifier"\s*:\s*"/]

/** Where a secret lies in clear: ["path: what"]. */
function leaks(root, secrets) {
  const found = []
  for (const path of walk(root).filter(isFile)) {
    const bytes = readFileSync(path)
    secrets.forEach((secret, i) => {
      if (tracesOf(secret).some((trace) => bytes.includes(trace))) found.push(`${path}: secret ${i}`)
    })
    for (const pattern of kKeyInClear) if (pattern.test(bytes.toString('latin1'))) found.push(`${path}: ${pattern}`)
  }
  return found
}

/** The modes that differ from 0600 and 0700: ["path: mode"]. */
function wrongModes(root) {
  return walk(root).flatMap((path) => {
    const { mode } = lstatSync(path)
    const wanted = isFile(path) ? 0o600 : 0o700
    return (mode & 0o777) === wanted ? [] : [`${path}: ${(mode & 0o777).toString(8)}`]
  })
}

/**
 * The files and folders under `root` that a trace (strace -f -y) shows created with other rights than 0600 and 0700,
 * or widened later. A name that is created again counts again once it was removed or renamed away.
 */
function wrongCreations(trace, root) {
  const there = new Set()
  const wrong = []
  for (const line of trace.split('\n')) {
    const call = /^(?:\d+ +)?(\w+)\((.*)\) += +(-?\d+)/.exec(line)
    if (!call || Number(call[3]) < 0) continue
    const [, name, words] = call
    const named = words.matchAll(/(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g)
    const paths = [...named].map((m) => resolve(m[1] ?? '/', m[2]))
    const path = paths[0] ?? /\d+<([^>]*)>/.exec(words)?.[1]
    const mode = Number.parseInt(/, (0[0-7]*)$/.exec(words)?.[1] ?? '', 8)
    if (/^(unlink|rmdir|unlinkat)$/.test(name)) there.delete(path)
    if (/^rename/.test(name)) {
      there.delete(paths[0])
      there.add(paths[1])
    }
    if (!path?.startsWith(root)) continue
    const creates = name.startsWith('mkdir') || name === 'creat' || /O_CREAT/.test(words)
    if (creates && !there.has(path)) {
      there.add(path)
      if (mode !== (name.startsWith('mkdir') ? 0o700 : 0o600)) wrong.push(line)
    }
    if (/chmod/.test(name) && mode & 0o077) wrong.push(line)
  }
  return wrong
}

test('the judge of traces sees a file created too wide, a folder, and a chmod', () => {
  const at = 'AT_FDCWD</x>, '
  const judge = (...lines) => wrongCreations(lines.join('\n'), '/x/data').length
  assert.equal(judge(`1 openat(${at}"/x/data/a", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</x/data/a>`), 0)
  assert.equal(judge(`1 openat(${at}"data/a", O_RDWR|O_CREAT|O_EXCL, 0644) = 3</x/data/a>`), 1)
  assert.equal(judge(`1 openat(4</x/data>, "a", O_RDWR|O_CREAT, 0644) = 3</x/data/a>`), 1)
  assert.equal(judge(`1 mkdir("/x/data", 0755) = 0`), 1)
  assert.equal(judge(`1 mkdir("/x/data", 0755) = -1 EEXIST (File exists)`), 0)
  assert.equal(judge(`1 fchmod(3</x/data/a>, 0644) = 0`), 1)
  assert.equal(judge(`1 openat(${at}"/x/other", O_RDWR|O_CREAT, 0644) = 3</x/other>`), 0)
  // SQLite opens with O_CREAT and 0644 what was created with 0600 before: that creates nothing...
  const made = `1 openat(${at}"/x/data/a", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</x/data/a>`
  const opened = `1 openat(${at}"/x/data/a", O_RDWR|O_CREAT, 0644) = 3</x/data/a>`
  assert.equal(judge(made, opened), 0)
  // ...unless it was removed between.
  assert.equal(judge(made, '1 unlink("/x/data/a") = 0', opened), 1)
})

for (const store of stores) {
  describe(onServer(`on disk, sessions kept in ${store}`), () => {
    let server, place, secrets
    before(async () => {
      server = await Server.start()
      await server.capture()
      place = new Place(server, store)
      ;(await place.login(server.alice)).expect(0)
      ;(await place.run(['record', 'create', kPost, post('on disk')])).expect(0)
      ;(await place.run(['refresh'])).expect(0)
      secrets = await server.captured()
    })
    after(async () => {
      place?.remove()
      await server?.stop()
    })

    test('no token, code, verifier or private key lies there in clear', () => {
      assert.ok(secrets.length >= 6, 'two token answers, a code and a verifier were seen')
      assert.deepEqual(leaks(place.root, secrets), [])
    })

    test('the search finds each secret when it is there', () => {
      const planted = join(place.data, 'planted')
      for (const secret of secrets) {
        writeFileSync(planted, `xx${secret}yy`, { mode: 0o600 })
        assert.ok(leaks(place.data, [secret]).length > 0)
      }
      writeFileSync(planted, '{"kty":"EC","d": "abc"}')
      assert.ok(leaks(place.data, []).length > 0)
      rmSync(planted)
    })

    test('files are 0600 and folders 0700', () => {
      assert.deepEqual(wrongModes(place.data), [])
    })

    test('and are so from their creation, whatever the umask', async () => {
      const fresh = new Place(server, store)
      const log = join(fresh.root, 'trace')
      const calls = 'open,openat,creat,mkdir,mkdirat,chmod,fchmod,fchmodat,unlink,unlinkat,rename,renameat,renameat2'
      const wrap = ['sh', '-c', 'umask 000; exec "$@"', 'sh', 'strace', '-f', '-y', '-o', log, '-e', `trace=${calls}`]
      ;(await fresh.login(server.bob, { wrap })).expect(0)
      const trace = readFileSync(log, 'utf8')
      assert.match(trace, /O_CREAT/)
      assert.deepEqual(wrongCreations(trace, fresh.data), [])
      assert.deepEqual(wrongModes(fresh.data), [])
      fresh.remove()
    })

    test('nothing secret is said on stdout or stderr by any of these commands', async () => {
      const talk = []
      for (const args of [['whoami'], ['sessions'], ['doctor'], ['refresh'], ['dpop', 'GET', `${server.pds}/xrpc/x`]]) {
        const result = await place.run(args)
        talk.push(result.stdout, result.stderr)
      }
      for (const secret of await server.captured()) assert.ok(!talk.join('\n').includes(secret))
    })
  })
}
