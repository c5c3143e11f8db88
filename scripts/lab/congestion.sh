#!/bin/bash
# Sets the congestion control of a lab's clients and backends: congestion.sh NAME cubic|bbr|reno.
# By route, since a namespace may not choose an algorithm that the host does not list as allowed. Exit
# status 3 when this kernel does not have it.
. "$(dirname "$0")/lib.sh"

(($# == 2)) || { echo "usage: scripts/lab/congestion.sh NAME ALGORITHM" >&2; exit 2; }
need_root
use_running_lab "$1"
available() { [[ " $(sysctl -n net.ipv4.tcp_available_congestion_control) " == *" $1 "* ]]; }
available "$2" || modprobe -q "tcp_$2" 2> /dev/null || true
available "$2" || { echo "lab: this kernel has no congestion control '$2'" >&2; exit 3; }
ip -n "$NS_CLIENT" route change 10.1.0.0/24 dev c0 src 10.1.0.250 congctl "$2"
ip -n "$NS_CLIENT" route change fd00:1::/64 dev c0 src fd00:1::250 congctl "$2"
ip -n "$NS_BACKEND" route change "$BACK_NET4.0/24" dev b0 congctl "$2"
ip -n "$NS_BACKEND" route change "$BACK_NET6:/64" dev b0 congctl "$2"
