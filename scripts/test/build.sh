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
  awk -F'[][/]' -v dir="$dir" '/^\[[0-9]+\/[0-9]+\]/ && $2 * 10 >= mark * $3 {
    printf "building %s: %d of %d\n", dir, $2, $3
    fflush()
    mark = int($2 * 10 / $3) + 1
  }' || {
  grep -vE '^\[[0-9]+/[0-9]+\] |^ninja: Entering' "$log" | tail -n 60 >&2
  echo "building $dir failed" >&2
  exit 1
}
