#!/bin/bash
# From a fresh clone to real clients that stay with real backends: sudo ./scripts/quickstart.sh [--keep]
# Installs what is missing, builds limpet, brings up the lab "quickstart" and tells what happens in it.
# --keep leaves the lab up. Exit status 0 only if every client stuck to its backend.
set -euo pipefail
cd "$(dirname "$0")/.."

keep=0
case ${1:-} in
  '') ;;
  --keep) keep=1 ;;
  -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
  *) echo "usage: sudo ./scripts/quickstart.sh [--keep]" >&2; exit 2 ;;
esac
((EUID == 0)) || { echo "quickstart needs root for network namespaces: sudo ./scripts/quickstart.sh" >&2; exit 2; }

step() { printf '\n[%s/7] %s\n' "$1" "$2"; }
started=$SECONDS

step 1 "installing what is missing"
scripts/bootstrap.sh

lab=${LIMPET_LAB:-quickstart}  # its name; another one leaves a lab of that name alone
export LIMPET_BUILD=${LIMPET_BUILD:-build}
step 2 "building limpet in $LIMPET_BUILD"
if [[ -e $LIMPET_BUILD/build.ninja || ! -x $LIMPET_BUILD/src/apps/limpet ]]; then
  scripts/test/configure.sh "$LIMPET_BUILD"
  scripts/test/build.sh "$LIMPET_BUILD" src/apps/limpet src/apps/limpetctl
fi

step 3 "a network of namespaces: 64 clients, limpet on two DPDK ports, 4 nginx backends"
down() { scripts/lab/down.sh "$lab"; }
trap 'down || true' EXIT
trap 'exit 130' INT TERM
down > /dev/null || true  # one that --keep has left: it may run an older limpet, or have loss on its wires
scripts/lab/up.sh "$lab" --backends 4

python=/usr/bin/python3
[[ -x $python ]] || python=python3
status=0
"$python" scripts/lab/quickstart.py "$lab" || status=$?

echo
if ((keep)); then
  trap - EXIT
  cat << TRY
The lab is still up. Try:
  sudo scripts/lab/exec.sh $lab client -- curl -s --interface 10.1.0.7 http://10.1.0.100/
  sudo scripts/lab/exec.sh $lab client -- curl -s --interface fd00:1::7 'http://[fd00:1::100]/'
  sudo scripts/lab/exec.sh $lab client -- curl -si -H 'X-User-ID: 17' http://10.1.0.100:8080/   # sets a cookie
  sudo $LIMPET_BUILD/src/apps/limpetctl --file-prefix limpet-$lab explain shop --from 10.1.0.7 -H 'X-User-ID: 17'
  sudo scripts/lab/wrk.sh $lab -t2 -c128 -d10 http://10.1.0.100/
  sudo scripts/lab/backend.sh $lab kill s1        # and: start, blackhole, restore, sick, well
  sudo scripts/lab/loss.sh $lab 50                # 5 % loss on both wires; "off" ends it
  sudo $LIMPET_BUILD/src/apps/limpetctl --file-prefix limpet-$lab show backends
                                        # and: services, persistence, workers, drops, flows, sessions shop
  sudo \$EDITOR /run/limpet-lab/$lab/limpet.cfg    # then: limpetctl --file-prefix limpet-$lab reload
  sudo scripts/lab/down.sh $lab                   # when done
TRY
else
  trap - EXIT
  down || { echo "limpet did not end cleanly" >&2; status=1; }
fi
echo "quickstart took $((SECONDS - started)) s"
exit $status
