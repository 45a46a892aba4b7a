#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A PostgreSQL server of one's own for tests: its data, log and address are in one folder, it listens on 127.0.0.1 only,
# on a port that was free when it was made, and no server that is there is touched.
#
#   server.sh start FOLDER [NAME=VALUE...]   makes it at first, with these settings; prints address=postgresql://...
#   server.sh stop FOLDER                    orderly
#   server.sh kill FOLDER                    at once, as a crash would
#   server.sh pause FOLDER / resume FOLDER   stops all its processes where they are, and lets them go on
#   server.sh remove FOLDER                  ends it and deletes the folder
#
# A server that is not removed ends, and its folder goes, soon after the process that started it first is gone.
# The user postgres has no password; the user needs_password has "correct horse". As root it runs as user postgres.
# If that user cannot reach FOLDER, the data lie in a folder in /tmp, and FOLDER says where. fsync is off: such a server
# survives being killed, but no power cut.
set -euo pipefail

die() { printf 'server.sh: %s\n' "$*" >&2; exit 1; }
[ $# -ge 2 ] || die "usage: server.sh start|stop|kill|pause|resume|remove FOLDER [NAME=VALUE...]"
self=$(realpath "${BASH_SOURCE[0]}")
verb=$1 folder=$(realpath -m "$2")
shift 2
cd /  # which the server's user can be in
home=$(cat "$folder/home" 2>/dev/null || true)
data=${home:=$folder}/data

find_programs() {
  local found
  for found in "$(dirname "$(command -v initdb || echo none)")" $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
    if [ -x "$found/initdb" ]; then programs=$found; fi
  done
  [ -n "${programs:-}" ] || die "there is no PostgreSQL server here; install Debian's package postgresql"
}

# PostgreSQL refuses to run as root.
as_server() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

main_process() { head -n 1 "$data/postmaster.pid" 2>/dev/null; }
# Its process, and not a dead one, nor another one that got its number after a restart of the machine.
is_running() {
  local id
  id=$(main_process) && [ -n "$id" ] && grep -qsE '^State:[[:space:]]+[^Z]' "/proc/$id/status" &&
    tr '\0' '\n' <"/proc/$id/cmdline" | grep -qxF "$data"
}
signal_all() {
  local id
  is_running || return 0
  id=$(main_process)
  # Its own first, so that it makes no new ones meanwhile.
  kill "-$1" "$id" 2>/dev/null || true
  pkill "-$1" -P "$id" 2>/dev/null || true
}

give_to_server() {
  chmod 0755 "$1"
  [ "$(id -u)" != 0 ] || chown postgres: "$1"
}

make_home() {
  mkdir -p "$folder"
  give_to_server "$folder"
  as_server test -w "$folder" && return
  home=$(mktemp -d /tmp/latchkey_server.XXXXXX)
  data=$home/data
  printf '%s' "$home" >"$folder/home.new"
  mv "$folder/home.new" "$folder/home"
  give_to_server "$home"
}

make() {
  make_home
  as_server "$programs/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/initdb.log" 2>&1 ||
    die "initdb failed, see $folder/initdb.log"
  local setting
  {
    printf '%s\n' "listen_addresses = '127.0.0.1'" "unix_socket_directories = ''" 'fsync = off' 'full_page_writes = off' \
      'shared_buffers = 32MB' 'max_connections = 200'
    for setting in "$@"; do printf "%s = '%s'\n" "${setting%%=*}" "${setting#*=}"; done
  } >>"$data/postgresql.conf"
  printf '%s\n' 'host all needs_password all scram-sha-256' 'host all all all trust' >"$data/pg_hba.conf"
}

launch() {
  as_server "$programs/pg_ctl" start -D "$data" -w -t 60 -l "$home/log" -o "-p $(cat "$folder/port")" >/dev/null 2>&1 </dev/null
}

# The port may have been taken since it was seen to be free.
launch_first() {
  local attempt
  for attempt in 1 2 3 4 5; do
    free_port >"$folder/port"
    launch && return
  done
  die "the server does not start, see $home/log"
}

# Tests that are killed remove nothing.
watch_owner() {
  # shellcheck disable=SC2016
  setsid bash -c 'while [ -d "/proc/$2" ] && [ -e "$1/address" ]; do sleep 1; done; [ ! -e "$1/address" ] || "$0" remove "$1"' \
    "$self" "$folder" "$PPID" </dev/null >/dev/null 2>&1 &
}

start() {
  find_programs
  if [ -f "$folder/address" ]; then
    is_running || { rm -f "$data/postmaster.pid"; launch; } || die "the server does not start again, see $home/log"
  else
    rm -rf "$data"
    make "$@"
    launch_first
    "$programs/psql" -qX -h 127.0.0.1 -p "$(cat "$folder/port")" -U postgres -d postgres \
      -c "CREATE ROLE needs_password LOGIN PASSWORD 'correct horse'" || die "the server does not answer"
    printf 'postgresql://postgres@127.0.0.1:%s/postgres\n' "$(cat "$folder/port")" >"$folder/address"
    watch_owner
  fi
  printf 'address=%s\n' "$(cat "$folder/address")"
}

stop() {
  find_programs
  is_running || return 0
  signal_all CONT
  as_server "$programs/pg_ctl" stop -D "$data" -w -m "$1" >/dev/null || die "the server does not stop, see $home/log"
}

case $verb in
  start) start "$@" ;;
  stop) stop fast ;;
  kill) stop immediate ;;
  pause) signal_all STOP ;;
  resume) signal_all CONT ;;
  remove)
    stop immediate
    rm -rf "$home" "$folder"
    ;;
  *) die "there is no verb $verb" ;;
esac
