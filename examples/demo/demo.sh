#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shows what latchkey does, against a server on this machine: logs in, writes a record, looks at what lies on disk,
# refreshes, logs out. `./dev demo` does the set-up and the build before. Exit code 0 only if every step did what it says.
#
#   demo.sh [--reference | --server NAME]
#
# --reference is the reference PDS instead of latchkey's sandbox. NAME: examples/demo/server_NAME.sh, which defines
#   server_start FOLDER    starts it; sets PDS, PLC (their URLs), HANDLE, SERVER_TEXT (what it is); fails if it can't
#   server_sign_in URL     stands in for the person at the browser; fails if the login does not come to its end
#   server_secrets         prints each secret that has passed over the network so far, one a line
#   server_stop            ends what server_start started
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
tool=${LATCHKEY_TOOL:-$root/build/dev/cli/latchkey}

usage() { echo "usage: demo.sh [--reference | --server NAME]   (there is: $(cd "$here" && ls server_*.sh | sed 's/^server_//; s/\.sh$//' | xargs))" >&2; exit 2; }
server=sandbox
while [ $# -gt 0 ]; do
  case $1 in
    --reference) server=reference; shift ;;
    --server) [ $# -ge 2 ] || usage; server=$2; shift 2 ;;
    *) usage ;;
  esac
done
[[ $server =~ ^[a-z]+$ ]] && [ -f "$here/server_$server.sh" ] || usage
[ -x "$tool" ] || { echo "demo: the tool is not built; run ./dev demo, which builds it" >&2; exit 1; }

# --- saying and doing ---------------------------------------------------------------------------
step=0
title() { step=$((step + 1)); printf '\n%d. %s\n\n' "$step" "$*"; }
tell() {
  local line
  for line in "$@"; do printf '%s\n' "${line:+   $line}"; done
}
indent() { sed 's/^/     /'; }
fail() { printf '\ndemo: step %d failed: %s\n' "$step" "$*" >&2; exit 1; }
# show WORD...: prints a command line as one would type it.
show() {
  local word line='   $'
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=@-]+$ ]] && line+=" $word" || line+=" '$word'"
  done
  printf '%s\n' "$line"
}
# run WORD...: shows the command, runs it, shows what it says.
run() {
  show "$@"
  "$@" 2>&1 | indent || fail "the command above did not succeed"
}

# ask METHOD URL [HEADER...]: one request over plain http to this machine; prints the answer, head and body.
ask() {
  local method=$1 url=$2 socket
  shift 2
  local place=${url#http://}
  local authority=${place%%/*}
  exec {socket}<>"/dev/tcp/${authority%:*}/${authority##*:}"
  printf '%s\r\n' "$method /${place#*/} HTTP/1.0" "Host: $authority" 'Content-Length: 0' "$@" '' >&"$socket"
  cat <&"$socket"
  exec {socket}>&-
}

# --- the beginning and the end ------------------------------------------------------------------
work=$(mktemp -d "${TMPDIR:-/tmp}/latchkey-demo-XXXXXX")
login_pid= sign_in_pid=
clean_up() {
  local pid
  for pid in $login_pid $sign_in_pid; do kill "$pid" 2>/dev/null || true; done
  server_stop || true
  rm -rf "$work"
}
server_stop() { :; }
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
# shellcheck source=server_sandbox.sh
. "$here/server_$server.sh"

ln -s "$tool" "$work/latchkey"
PATH=$work:$PATH
data=$work/alice
# What the person who runs this has set for their own use is not the demo's.
for name in $(compgen -e | grep '^LATCHKEY_'); do unset "$name"; done

echo 'latchkey demo: everything happens on this machine, in a folder that is removed at the end.'
echo "\"latchkey\" is the tool, ${tool#"$root"/}. Lines that begin with \$ are what you would type."

title 'A server to log in to'
server_start "$work" || fail "the server did not start"
tell "$SERVER_TEXT" "It answers at $PDS and has an account, $HANDLE." ''
tell 'The tool learns about it from four settings. The last three are for development servers only:' ''
set_for_tool() { show export "$1=$2"; export "$1=$2"; }
set_for_tool LATCHKEY_DATA_DIR "$data"
set_for_tool LATCHKEY_PLC_URL "$PLC"
set_for_tool LATCHKEY_RESOLVE_HANDLES_AT "$PDS"
set_for_tool LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK 1

title 'Log in'
tell 'latchkey prints an address. You would sign in there with your browser; here, a script does it for you.' ''
show latchkey login "$HANDLE" --no-browser
mkfifo "$work/login"
latchkey login "$HANDLE" --no-browser >"$work/login" 2>&1 &
login_pid=$!
while IFS= read -r line; do
  printf '     %s\n' "$line"
  if [[ -z $sign_in_pid && $line =~ ^https?:// ]]; then
    server_sign_in "$line" >"$work/sign-in.log" 2>&1 &
    sign_in_pid=$!
  fi
done <"$work/login"
wait "$login_pid" || fail 'the login did not succeed'
login_pid=
wait "$sign_in_pid" || fail "signing in did not succeed: $(tail -n 3 "$work/sign-in.log")"
sign_in_pid=
printf '\n'
tell 'The session is on disk now. From here on, no command asks for anything:' ''
run latchkey sessions

title 'Write a record, and read it back'
words="hello from the demo, $$"
record=$(printf '{"text":"%s","createdAt":"%s"}' "$words" "$(date -u +%Y-%m-%dT%H:%M:%SZ)")
show latchkey record create app.bsky.feed.post "$record"
created=$(latchkey record create app.bsky.feed.post "$record") || fail 'the record was not written'
printf '%s\n' "$created" | indent
uri=${created%% *}
show latchkey record get "$uri"
found=$(latchkey record get "$uri") || fail 'the record was not read'
printf '%s\n' "$found" | indent
[[ $found == *"$words"* ]] || fail 'another record came back'

title 'What lies on disk'
tell 'Nobody else may read these files and folders:' ''
show find "$data" -printf '%M  %P\n'
find "$data" -mindepth 1 -printf '%M  %P\n' | sort -k2 | indent
[ -z "$(find "$data" \( -type d ! -perm 700 \) -o \( ! -type d ! -perm 600 \))" ] || fail 'others could read some of it'
server_secrets >"$work/secrets"
count=$(grep -c . "$work/secrets") || fail 'the server told no secrets to search for'
printf '\n'
tell "And the secrets in them are sealed. The server tells us the $count that it exchanged with the tool: tokens," \
  'the code of the login and its verifier. Searching every file for them finds nothing:' ''
show grep -rlaF -f secrets "$data"
hits=$(grep -rlaF -f "$work/secrets" "$data") || [ $? = 1 ] || fail 'the search did not work'
[ -z "$hits" ] || fail "a secret lies in clear in $hits"
echo '(nothing)' | indent
printf '\n'
tell 'The same search for what is no secret, the name of the account, does find it:' ''
show grep -rlaF "$HANDLE" "$data"
grep -rlaF "$HANDLE" "$data" | indent || fail 'the search does not work'

title 'Refresh'
tell 'Commands do this by themselves when the access token is about to expire. This one does it now:' ''
probe=$PDS/xrpc/com.atproto.server.getSession
token_now() { latchkey dpop GET "$probe" --reveal | grep '^Authorization: '; }
before=$(token_now) || fail 'there is no token'
run latchkey refresh
[ "$(token_now)" != "$before" ] || fail 'the access token is still the old one'
tell '' 'The access token is another one now; the new session was on disk before anybody could use it.'

title 'Log out'
tell 'First, a request made by hand with a proof and the token, as a thief of the token and the key would do it:' ''
# status_of_request: the status of one authorised request to the server, with a proof of its own.
status_of_request() {
  local answer
  answer=$(ask GET "$probe" "$@") || return 1
  answer=${answer%%$'\r'*}
  printf '%s' "${answer#* }"
}
stolen() { latchkey dpop GET "$probe" --reveal; }
show latchkey dpop GET "$probe" --reveal
mapfile -t headers < <(stolen)
[ ${#headers[@]} = 2 ] || fail 'there is no proof'
printf '%s\n' "${headers[@]}" | cut -c 1-60 | sed 's/$/.../' | indent
status=$(status_of_request "${headers[@]}") || fail 'the server does not answer'
tell "The server answers: $status"
[[ $status == 200* ]] || fail 'a good token was refused'
mapfile -t headers < <(stolen) # a proof works once: another one for later
[ ${#headers[@]} = 2 ] || fail 'there is no proof'
printf '\n'
run latchkey logout
printf '\n'
tell 'The same request once more, with the same token and a proof that has not been used:' ''
status=$(status_of_request "${headers[@]}") || fail 'the server does not answer'
tell "The server answers: $status"
[[ $status == 401* ]] || fail 'the token is still good'
printf '\n'
show latchkey whoami
code=0
latchkey whoami 2>&1 | indent || code=${PIPESTATUS[0]}
echo "(exit code $code: a login is needed)" | indent
[ "$code" = 3 ] || fail 'somebody is still logged in'

printf '\nThat is all: every step did what it says.\n'
