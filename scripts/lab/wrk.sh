#!/bin/bash
# wrk from all 64 client addresses of a lab: wrk.sh NAME WRK-ARGUMENTS...
# wrk cannot bind, so it starts from the spare address and source NAT in the client's own namespace
# spreads its connections over the clients; the rules are gone again afterwards.
. "$(dirname "$0")/lib.sh"

(($# >= 2)) || { echo "usage: scripts/lab/wrk.sh NAME WRK-ARGUMENTS..." >&2; exit 2; }
need_root
use_running_lab "$1"
shift

map4= map6=
for ((i = 0; i < CLIENTS; i++)); do
  map4+="$i : 10.1.0.$((i + 1)), "
  map6+="$i : fd00:1::$(printf %x $((i + 1))), "
done
remove_rules() {
  ip netns exec "$NS_CLIENT" nft delete table inet limpet_wrk 2> /dev/null || true
}
trap remove_rules EXIT
trap 'exit 130' INT TERM
remove_rules
ip netns exec "$NS_CLIENT" nft -f - << RULES
table inet limpet_wrk {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.1.0.250 snat ip to numgen inc mod $CLIENTS map { $map4 }
    ip6 saddr fd00:1::250 snat ip6 to numgen inc mod $CLIENTS map { $map6 }
  }
}
RULES
ip netns exec "$NS_CLIENT" wrk "$@"
