#!/bin/bash
# Takes a lab down: its processes (by pid file, then whatever still lives in its namespaces), its
# namespaces and its files. Does nothing, successfully, when there is no such lab. Exit status 1 if
# limpet did not end cleanly.
. "$(dirname "$0")/lib.sh"

(($# == 1)) || { echo "usage: scripts/lab/down.sh NAME" >&2; exit 2; }
need_root
use_lab "$1"
lock_lab

status=0
if [[ -e $STATE/lab.env ]]; then
  "$LAB_DIR/limpet.sh" "$NAME" stop 9>&- || status=1
fi
for pidfile in "$STATE"/s*/nginx.pid "$STATE"/s*/echo.pid; do
  [[ -e $pidfile ]] && { end_process "$pidfile" "$NS_BACKEND" TERM 3 || true; }
done
for ns in "$NS_CLIENT" "$NS_LB" "$NS_BACKEND" "$NS_WIRE"; do
  netns_exists "$ns" || continue
  for signal in TERM KILL; do
    for _ in {1..20}; do
      pids=$(ip netns pids "$ns")
      [[ -n $pids ]] || break 2
      # shellcheck disable=SC2086
      kill -$signal $pids 2> /dev/null || true
      sleep 0.05
    done
  done
  ip netns delete "$ns"
done
rm -rf "$STATE" "$DATA" "/var/run/dpdk/$PREFIX"
rm -f "$LAB_ROOT/.$NAME.lock"
rmdir "$LAB_DATA_ROOT" 2> /dev/null || true
exit $status
