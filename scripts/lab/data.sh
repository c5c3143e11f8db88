#!/bin/bash
# Makes a file of pseudo-random bytes that every backend of a lab serves as /data/random-SIZE, and
# prints its path: data.sh NAME MEGABYTES. The bytes follow from the size alone.
. "$(dirname "$0")/lib.sh"

(($# == 2)) && [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || { echo "usage: scripts/lab/data.sh NAME MEGABYTES" >&2; exit 2; }
need_root
use_running_lab "$1"
mkdir -p "$DATA/files"
path=$DATA/files/random-$2
if [[ ! -e $path ]]; then
  "$PYTHON" -c '
import random, sys
source = random.Random("limpet " + sys.argv[2])
with open(sys.argv[1], "wb") as out:
    for _ in range(int(sys.argv[2])):
        out.write(source.randbytes(1 << 20))
' "$path.tmp" "$2"
  mv "$path.tmp" "$path"
fi
echo "$path"
