#!/bin/bash
# Makes a build directory ready: configure.sh DIRECTORY [MESON-OPTION...]. A configured one is kept, and
# regenerated when a meson.build has changed. CXX is respected, ccache used when there is one.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$1
shift

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quiet() {
  "$@" > "$log" 2>&1 || {
    tail -n 40 "$log" >&2
    exit 1
  }
}
if [[ -e $dir/build.ninja ]]; then
  quiet ninja -C "$dir" build.ninja
  exit 0
fi
compiler=${CXX:-g++}
! command -v ccache > /dev/null || [[ $compiler == ccache* ]] || compiler="ccache $compiler"
echo "configuring $dir ($compiler${*:+ $*})"
wipe=()  # what an interrupted set-up left
[[ ! -d $dir/meson-private ]] || wipe=(--wipe)
CXX=$compiler quiet meson setup "${wipe[@]}" "$@" "$dir"
