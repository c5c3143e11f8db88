#!/bin/bash
# Starts and ends the limpet of a lab: limpet.sh NAME start [--config FILE] | stop | restart [--config FILE]
# | status. `start` waits until limpetctl answers and every backend is up, and shows limpet's log when
# that does not come to pass. `stop` succeeds only if limpet ended by itself, with exit status 0.
. "$(dirname "$0")/lib.sh"

usage="usage: scripts/lab/limpet.sh NAME start|stop|restart|status [--config FILE] [--wait SECONDS] [--no-wait]"
(($# >= 2)) || { echo "$usage" >&2; exit 2; }
need_root
use_running_lab "$1"
action=$2
shift 2
config=$STATE/limpet.cfg
wait=20
while (($#)); do
  case $1 in
    --config) config=$2; shift 2 ;;
    --wait) wait=$2; shift 2 ;;
    --no-wait) wait=0; shift ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
done
pidfile=$STATE/limpet.pid
log=$STATE/limpet.log

start() {
  ! lab_pid "$pidfile" "$NS_LB" > /dev/null || { echo "limpet already runs in lab '$NAME'"; return 0; }
  [[ -x $LIMPET ]] || fail "no limpet at $LIMPET; build it (meson setup build && ninja -C build) or set LIMPET_BUILD"
  rm -f "$STATE/limpet.exit" "$pidfile"
  # The daemon's parent stays behind to record its exit status.
  (
    setsid "$LAB_DIR/recorded.sh" "$pidfile" "$STATE/limpet.exit" \
      ip netns exec "$NS_LB" "$LIMPET" --config "$config" < /dev/null >> "$log" 2>&1 9>&- &
  )
  local until=$((SECONDS + wait)) why='not started'
  while ((SECONDS < until)); do
    if [[ -e $STATE/limpet.exit ]]; then
      echo "lab: limpet ended with exit status $(< "$STATE/limpet.exit"); its log:" >&2
      tail -n 30 "$log" >&2
      return 1
    fi
    if why=$("$LIMPETCTL" --file-prefix "$PREFIX" show backends --json 2>&1 |
      "$PYTHON" "$LAB_DIR/all_up.py" 2>&1); then
      return 0
    fi
    sleep 0.1
  done
  ((wait == 0)) && return 0
  echo "lab: limpet is not ready after $wait s: $why; its log:" >&2
  tail -n 30 "$log" >&2
  return 1
}

stop() {
  [[ -e $pidfile ]] || return 0
  local gone=0 status
  end_process "$pidfile" "$NS_LB" TERM 10 || gone=1
  for _ in {1..40}; do
    [[ -e $STATE/limpet.exit ]] && break
    sleep 0.05
  done
  status=$(cat "$STATE/limpet.exit" 2> /dev/null || echo unknown)
  ((gone == 0)) || { echo "lab: limpet did not end within 10 s of SIGTERM and was killed" >&2; return 1; }
  [[ $status == 0 ]] || { echo "lab: limpet ended with exit status $status; see $log" >&2; return 1; }
}

case $action in
  start) start ;;
  stop) stop ;;
  restart) stop; start ;;
  status) lab_pid "$pidfile" "$NS_LB" ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
