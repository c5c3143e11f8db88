#!/bin/bash
# Builds targets of a configured directory, all by default: build.sh DIRECTORY [TARGET...]. Prints a line
# every tenth of the way, readable in a log as well as on a terminal, and what went wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$1
shift

log=$(mktemp)
trap 'rm -f "$log"' EXIT
NINJA_STATUS='[%f/%t] ' ninja -C "$dir" "$@" 2>&1 | tee "$log" |
  {
    mark=0
    while IFS= read -r line; do  # not awk: Debian's reads a pipe by the block
      [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
      ((BASH_REMATCH[1] * 10 >= mark * BASH_REMATCH[2])) || continue
      echo "building $dir: ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]}"
      mark=$((BASH_REMATCH[1] * 10 / BASH_REMATCH[2] + 1))
    done
  } || {
  grep -vE '^\[[0-9]+/[0-9]+\] |^ninja: Entering' "$log" | tail -n 60 >&2
  echo "building $dir failed" >&2
  exit 1
}
