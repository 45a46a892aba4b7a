#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# keychain.sh SCENARIO PROGRAM: runs the tests of that tag in a world where the keychain is unlocked, locked, and so on;
# with the scenario `tool`, PROGRAM is the latchkey tool.
# Everything is below a temporary home, and ends with this script: nobody's own keychain is ever seen.
set -euo pipefail

for tool in dbus-run-session dbus-send gnome-keyring-daemon; do
  command -v "$tool" >/dev/null || { echo "there is no $tool: install dbus and gnome-keyring" >&2; exit 1; }
done

# --- inside: on the private session bus ---------------------------------------------------------
daemon=
start_daemon() {
  printf 'a password\n' | gnome-keyring-daemon --foreground --unlock --components=secrets >"$HOME/daemon.log" 2>&1 &
  daemon=$!
  for _ in $(seq 200); do
    if call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus.NameHasOwner \
      string:org.freedesktop.secrets | grep -q 'boolean true'; then return; fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.05
  done
  echo "gnome-keyring-daemon did not start:" >&2
  cat "$HOME/daemon.log" >&2
  exit 1
}
call() { dbus-send --session --print-reply --reply-timeout=10000 --dest="$1" "$2" "$3" "${@:4}"; }
stop_started() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  [ ! -s "$HOME/activated" ] || xargs kill <"$HOME/activated" 2>/dev/null || true
  wait
}

# activatable NAME: a service that is started on demand, and then says nothing.
activatable() {
  mkdir -p "$XDG_RUNTIME_DIR/dbus-1/services"
  printf '#!/bin/sh\necho $$ >>%s/activated\nexec sleep 100\n' "$HOME" >"$HOME/silent-service"
  chmod 700 "$HOME/silent-service"
  printf '[D-BUS Service]\nName=%s\nExec=%s/silent-service\n' "$1" "$HOME" \
    >"$XDG_RUNTIME_DIR/dbus-1/services/$1.service"
}

lock_default() {
  call org.freedesktop.secrets /org/freedesktop/secrets org.freedesktop.Secret.Service.Lock \
    array:objpath:/org/freedesktop/secrets/aliases/default >/dev/null
}

# expect STATUS TEXT WORD...: the tool ends so, and says so on one of its two streams.
expect() {
  local wanted=$1 text=$2 status=0 said
  said=$("$tool" --json --data-dir "$HOME/lk" "${@:3}" 2>&1) || status=$?
  [ "$status" = "$wanted" ] && grep -qF -- "$text" <<<"$said" ||
    { printf 'latchkey %s: exit code %s instead of %s, or not "%s":\n%s\n' "${*:3}" "$status" "$wanted" "$text" "$said" >&2; exit 1; }
}

# The tool itself, whose choice is made once and never turned down silently.
use_tool() {
  expect 0 '"kind":"keychain"' vault status
  expect 0 '"kind":"keychain"' vault status
  expect 0 '"new_data_key":true' vault rotate
  expect 0 '"kind":"key-file"' vault rewrap --to key-file
  expect 0 '"kind":"keychain"' vault rewrap --to keychain
  lock_default
  expect 4 keychain.locked vault status
  expect 4 vault.kind vault status --master-key key-file
  rm -r "$HOME/lk"
  expect 4 keychain.locked vault status
  [ ! -e "$HOME/lk/config/vault.key" ] || { echo "a locked keychain led to a key file" >&2; exit 1; }
  expect 0 '"kind":"key-file"' vault status --master-key key-file
}

inside() {
  local scenario=$1 program=$2
  trap stop_started EXIT
  case $scenario in
    unlocked) start_daemon ;;
    locked)
      activatable org.gnome.keyring.SystemPrompter
      activatable org.gnome.keyring.PrivatePrompter
      start_daemon
      "$program" '[before_lock]'
      lock_default
      ;;
    tool)
      start_daemon
      tool=$program
      use_tool
      return
      ;;
    hanging) activatable org.freedesktop.secrets ;;
    no_service) ;;
  esac
  "$program" "[$scenario]"
}

if [ "$1" = --inside ]; then
  inside "$2" "$3"
  exit
fi

# --- outside ------------------------------------------------------------------------------------
scenario=$1 program=$2
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -m 700 "$home/run"
world=(env -i PATH="$PATH" HOME="$home" XDG_RUNTIME_DIR="$home/run" LANG=C.UTF-8)
for options in ASAN_OPTIONS TSAN_OPTIONS LSAN_OPTIONS; do
  [ -z "${!options:-}" ] || world+=("$options=${!options}")
done

if [ "$scenario" = no_bus ]; then
  "${world[@]}" "$program" "[$scenario]"
  exit
fi

# The machine's own services are left out; those below XDG_RUNTIME_DIR are there for the scenario.
cat >"$home/bus.conf" <<XML
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=$home/run</listen>
  <auth>EXTERNAL</auth>
  <servicedir>$home/run/dbus-1/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
XML
mkdir -p "$home/run/dbus-1/services"
"${world[@]}" dbus-run-session --config-file="$home/bus.conf" -- "${BASH_SOURCE[0]}" --inside "$scenario" "$program"
