# SPDX-License-Identifier: MIT
# latchkey's own sandbox, for demo.sh: nothing but the tool is needed.
# shellcheck shell=bash disable=SC2034,SC2154

sandbox_pid=

# first NAME JSON: the first text under this name.
first() { [[ $2 =~ \"$1\":\"([^\"]*)\" ]] && printf '%s' "${BASH_REMATCH[1]}"; }

server_start() {
  local fifo=$1/server said
  mkfifo "$fifo"
  "$tool" sandbox --control --auto-approve >"$fifo" 2>"$1/server.log" &
  sandbox_pid=$!
  exec {sandbox_output}<"$fifo"
  IFS= read -r -t 20 said <&"$sandbox_output" || { tail -n 5 "$1/server.log" >&2; return 1; }
  PDS=$(first pds "$said") PLC=$(first plc "$said") HANDLE=$(first handle "$said")
  sandbox_control=$(first url "$said") sandbox_pass="Authorization: Bearer $(first token "$said")"
  SERVER_TEXT='A strict PDS, with its authorization server and a directory of DIDs: "latchkey sandbox", in a process of its own.'
  ask POST "$sandbox_control/capture" "$sandbox_pass" | grep -q '^HTTP/1.1 200'
}

# The sandbox's page says yes by itself here; it is left to follow its redirect to the tool.
server_sign_in() {
  local answer
  answer=$(ask GET "$1") || return 1
  [[ $answer =~ $'\n'Location:\ (http://[^$'\r']+) ]] || { echo 'the page did not redirect'; return 1; }
  ask GET "${BASH_REMATCH[1]}" | grep -q '^HTTP/1.1 200'
}

server_secrets() {
  ask GET "$sandbox_control/capture" "$sandbox_pass" | tail -n 1 | grep -o '"[^"]*"' | tr -d '"' | grep -vx secrets
}

server_stop() {
  [ -n "$sandbox_pid" ] || return 0
  kill "$sandbox_pid" 2>/dev/null || true
  wait "$sandbox_pid" 2>/dev/null || true
}
