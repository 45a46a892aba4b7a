#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# keychain.sh SCENARIO PROGRAM: runs the tests of that tag in a world where the keychain is unlocked, locked, and so on.
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
      call org.freedesktop.secrets /org/freedesktop/secrets org.freedesktop.Secret.Service.Lock \
        array:objpath:/org/freedesktop/secrets/aliases/default >/dev/null
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
