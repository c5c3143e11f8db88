#!/bin/bash
# Changes the fate of one backend of a lab: backend.sh NAME kill|start|blackhole|restore|sick|well sK
#   kill       SIGKILL to its nginx and its datagram echo: ports closed, connections reset by its kernel
#   start      start them again
#   blackhole  drop every packet from and to its addresses on the wire: the machine is gone
#   restore    end the black hole
#   sick       /health answers 503, everything else goes on
#   well       /health answers 200 again
. "$(dirname "$0")/lib.sh"

usage="usage: scripts/lab/backend.sh NAME kill|start|blackhole|restore|sick|well sK"
(($# == 3)) || { echo "$usage" >&2; exit 2; }
need_root
use_running_lab "$1"
action=$2 backend=$3
[[ $backend =~ ^s([0-9]+)$ ]] && ((BASH_REMATCH[1] < LAB_BACKENDS)) ||
  fail "no backend '$backend'; lab '$NAME' has s0 .. s$((LAB_BACKENDS - 1))"
index=${BASH_REMATCH[1]}
dir=$STATE/$backend

set_element() {
  ip netns exec "$NS_WIRE" nft -f - <<< "$1 element bridge limpet gone4 { $(backend_v4 "$index") }
$1 element bridge limpet gone6 { $(backend_v6 "$index") }"
}

case $action in
  kill)
    end_process "$dir/nginx.pid" "$NS_BACKEND" KILL
    end_process "$dir/echo.pid" "$NS_BACKEND" KILL
    ;;
  start)
    lab_pid "$dir/nginx.pid" "$NS_BACKEND" > /dev/null ||
      spawn "$dir/nginx.pid" "$dir/nginx.log" "$NS_BACKEND" nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/nginx.log"
    lab_pid "$dir/echo.pid" "$NS_BACKEND" > /dev/null ||
      spawn "$dir/echo.pid" "$dir/echo.log" "$NS_BACKEND" "$PYTHON" "$LAB_DIR/udp_echo.py" "$backend" 7000 \
        "$(backend_v4 "$index")" "$(backend_v6 "$index")"
    for _ in {1..100}; do
      listening=$(ip netns exec "$NS_BACKEND" ss -Hlntu "src $(backend_v4 "$index") or src [$(backend_v6 "$index")]" | wc -l)
      ((listening >= 10)) && exit 0
      [[ -e /proc/$(< "$dir/nginx.pid") ]] || break  # not lab_pid: it may not yet be in its namespace
      sleep 0.05
    done
    tail -n 5 "$dir/nginx.log" "$dir/echo.log" >&2
    fail "backend $backend did not start"
    ;;
  blackhole) set_element add ;;
  restore) set_element delete 2> /dev/null || true ;;
  sick) touch "$dir/sick" ;;
  well) rm -f "$dir/sick" ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
