#!/bin/bash
# Runs a command in one namespace of a lab: exec.sh NAME client|wire|lb|backend -- COMMAND...
. "$(dirname "$0")/lib.sh"

usage="usage: scripts/lab/exec.sh NAME client|wire|lb|backend -- COMMAND..."
(($# >= 3)) || { echo "$usage" >&2; exit 2; }
need_root
use_running_lab "$1"
where=$2
shift 2
[[ $1 != -- ]] || shift
(($# >= 1)) || { echo "$usage" >&2; exit 2; }
case $where in
  client) ns=$NS_CLIENT ;;
  wire) ns=$NS_WIRE ;;
  lb) ns=$NS_LB ;;
  backend) ns=$NS_BACKEND ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
exec ip netns exec "$ns" "$@"
