#!/bin/bash
# Loses packets on a lab's wires, at random and in both directions: loss.sh NAME PERMILLE|off
# [--front|--back]. Without a side, both wires. The drop sits in the bridges' forward hook: a drop at
# the sender's own egress would be reported to its TCP and be no loss at all. Health checks
# (10.9.0.253) are spared: they are not what loss tests are about. In a lab with one arm --back is what the backends
# send only.
. "$(dirname "$0")/lib.sh"

usage="usage: scripts/lab/loss.sh NAME PERMILLE|off [--front|--back]"
(($# == 2 || $# == 3)) || { echo "$usage" >&2; exit 2; }
need_root
use_running_lab "$1"
permille=$2
[[ $permille == off ]] && permille=0
[[ $permille =~ ^[0-9]+$ ]] && ((permille <= 1000)) || { echo "$usage" >&2; exit 2; }
case ${3:-} in
  '') sides=(front back) ;;
  --front) sides=(front) ;;
  --back) sides=(back) ;;
  *) echo "$usage" >&2; exit 2 ;;
esac

rules=
for side in "${sides[@]}"; do
  rules+="flush chain bridge limpet loss_$side"$'\n'
  if ((permille > 0)); then
    case $side in
      front) ports=(wc0 wl0) ;;
      back) ports=(wl1 wb0) ;;
    esac
    for address in 'ip saddr 10.9.0.0/24' 'ip daddr 10.9.0.0/24' 'ip6 saddr fd00:9::/64' 'ip6 daddr fd00:9::/64'; do
      rules+="add rule bridge limpet loss_$side $address accept"$'\n'
    done
    for port in "${ports[@]}"; do
      rules+="add rule bridge limpet loss_$side iifname $port numgen random mod 1000 < $permille counter drop"$'\n'
    done
  fi
done
ip netns exec "$NS_WIRE" nft -f - <<< "$rules"
