# What the lab's commands share: names, paths, addresses, and starting and ending processes by pid
# file. Sourced, never run. A lab owns its four namespaces, its state directory and its data directory,
# and nothing else on the machine.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$LAB_DIR/../.." && pwd)
LAB_ROOT=/run/limpet-lab           # pids, generated configuration, logs
LAB_DATA_ROOT=/var/tmp/limpet-lab  # uploads and pseudo-random files; /run may be a small tmpfs
PYTHON=/usr/bin/python3
[[ -x $PYTHON ]] || PYTHON=python3

BUILD=${LIMPET_BUILD:-build}
[[ $BUILD == /* ]] || BUILD=$REPO/$BUILD
LIMPET=$BUILD/src/apps/limpet
LIMPETCTL=$BUILD/src/apps/limpetctl

# Client addresses are 10.1.0.1 .. 10.1.0.64 and fd00:1::1 .. fd00:1::40; 10.1.0.250 is what clients
# that cannot bind (wrk) start from, see wrk.sh.
CLIENTS=64
VIP4=10.1.0.100
VIP6=fd00:1::100

fail() {
  echo "lab: $*" >&2
  exit 1
}

need_root() {
  ((EUID == 0)) || { echo "lab: needs root (network namespaces); try sudo" >&2; exit 2; }
}

# use_lab NAME: sets every variable that depends on the lab's name.
use_lab() {
  [[ ${1:-} =~ ^[a-z0-9][a-z0-9-]{0,31}$ ]] ||
    { echo "lab: bad name '${1:-}'; expected lower-case letters, digits and '-', at most 32" >&2; exit 2; }
  NAME=$1
  PREFIX=limpet-$NAME
  STATE=$LAB_ROOT/$NAME
  DATA=$LAB_DATA_ROOT/$NAME
  NS_CLIENT=limpet-$NAME-client
  NS_WIRE=limpet-$NAME-wire
  NS_LB=limpet-$NAME-lb
  NS_BACKEND=limpet-$NAME-backend
}

# use_running_lab NAME: the same for a lab that has to be up; reads what it was brought up with.
use_running_lab() {
  use_lab "${1:-}"
  [[ -r $STATE/lab.env ]] || fail "no lab '$NAME' is up; start it with scripts/lab/up.sh $NAME"
  # shellcheck disable=SC1091
  . "$STATE/lab.env"
  use_arms "${LAB_ONE_ARM:-0}"
}

# use_arms 0|1: where the backends are, their addresses without the last number, and which interface of
# limpet leads there. With one arm clients, VIPs and backends share one network and one bridge.
use_arms() {
  if (($1)); then
    BACK_NET4=10.1.0 BACK_NET6=fd00:1: FIRST_BACKEND=110 BACK_BRIDGE=br-front BACK_INTERFACE=l0
  else
    BACK_NET4=10.2.0 BACK_NET6=fd00:2: FIRST_BACKEND=10 BACK_BRIDGE=br-back BACK_INTERFACE=l1
  fi
}

# One command at a time changes a lab. down.sh removes the lock file while it holds it, so whoever
# waited for that one has to take the new one.
lock_lab() {
  mkdir -p "$LAB_ROOT"
  local lock=$LAB_ROOT/.$NAME.lock
  while :; do
    exec 9> "$lock"
    flock -w 120 9 || fail "another command holds lab '$NAME'"
    [[ $(stat -c %i "$lock" 2> /dev/null) == "$(stat -Lc %i /dev/fd/9)" ]] && return
  done
}

netns_exists() {
  [[ -e /run/netns/$1 ]]
}

# spawn PIDFILE LOG NAMESPACE COMMAND...: a daemon of the lab; its pid is the command's own.
spawn() {
  local pidfile=$1 log=$2 ns=$3
  shift 3
  (exec setsid ip netns exec "$ns" "$@" < /dev/null >> "$log" 2>&1 9>&-) &
  echo $! > "$pidfile"
}

# lab_pid PIDFILE NAMESPACE: prints the pid if that process still lives in that namespace. A pid that
# the kernel has given to somebody else since is not ours to touch.
lab_pid() {
  local pid
  [[ -r $1 && -e /run/netns/$2 ]] || return 1
  read -r pid < "$1" || return 1
  [[ $pid =~ ^[0-9]+$ && -e /proc/$pid/ns/net ]] || return 1
  [[ $(stat -Lc %i "/proc/$pid/ns/net" 2>/dev/null) == "$(stat -Lc %i "/run/netns/$2")" ]] || return 1
  [[ $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) != Z* ]] || return 1
  echo "$pid"
}

# end_process PIDFILE NAMESPACE [SIGNAL] [SECONDS]: signals it, waits, kills it when time is up.
# Returns 1 if it had to be killed.
end_process() {
  local pidfile=$1 ns=$2 signal=${3:-TERM} seconds=${4:-10} pid killed=0
  if pid=$(lab_pid "$pidfile" "$ns"); then
    kill -"$signal" "$pid" 2>/dev/null || true
    local until=$((SECONDS + seconds))
    while lab_pid "$pidfile" "$ns" > /dev/null; do
      if ((SECONDS >= until)); then
        kill -KILL "$pid" 2>/dev/null || true
        killed=1
        until=$((SECONDS + 5))
      fi
      sleep 0.05
    done
  fi
  rm -f "$pidfile"
  return $killed
}

backend_v4() { echo "$BACK_NET4.$((FIRST_BACKEND + $1))"; }
backend_v6() { echo "$BACK_NET6:$((FIRST_BACKEND + $1))"; }
