#!/bin/bash
# The test command: test.sh [GROUP...] [--full]. Prints one line a test and ends with the sum.
#
#   unit    unit tests, release build            asan    unit and worker tests under ASan and UBSan
#   worker  a whole worker over ring ports       thread  rings and snapshots under TSan
#   sim     seeds: model TCP ends in a bad network
#   bench   benchmarks, run tiny                 fuzz    everything with clang, and 60 s of each fuzzer
#   lab     real clients and backends in network namespaces (root)
#   mutate  one-line mutations of the product, six of files that changed lately and five by rotation; each
#           must be noticed by a test
#
# Without a group: all of them, within 50 minutes on two cores, downloads included. --full: all
# mutations, ten minutes of each fuzzer and the long tests of the lab. Group nic has no tests in this version.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
PYTHON=/usr/bin/python3
[[ -x $PYTHON ]] || PYTHON=python3

groups=() full=0 only_ahead=0
for argument in "$@"; do
  case $argument in
    unit | worker | bench | lab | asan | thread | fuzz | mutate | sim | nic) groups+=("$argument") ;;
    --full) full=1 ;;
    --ahead) only_ahead=1 ;;  # of build_ahead
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "test.sh: no group '$argument'; see --help" >&2; exit 2 ;;
  esac
done
((${#groups[@]})) || groups=(unit worker sim bench lab asan thread fuzz mutate)

results=$(mktemp)
# What test programs that were killed left in the EAL's runtime directories, 3.3 MB each.
sweep() {
  local dir
  for dir in {/var/run,"${XDG_RUNTIME_DIR:-/tmp}"}/dpdk/limpet_{worker,bench,port,control}_*; do
    [[ -d $dir && ${dir##*_} =~ ^[0-9]+$ && ! -e /proc/${dir##*_} ]] || continue
    rm -rf "$dir" || true  # another user's
  done
}
trap 'end_ahead; rm -f "$results"; sweep' EXIT
started=$SECONDS

# The lab mostly waits. What later groups need is built in the meantime, by processes that run only while
# a processor has nothing else to do, so that no test waits for a compiler. In a session of their own:
# with autogroups a session has its share however idle the processes in it are. Says nothing: the groups
# build what is left, and what went wrong goes wrong again there.
ahead=
build_ahead() {
  command -v chrt > /dev/null && command -v setsid > /dev/null || return 0
  setsid chrt -i 0 "$PWD/scripts/test.sh" --ahead "$@" > /dev/null 2>&1 < /dev/null &
  ahead=$!  # leads a process group of its own, to be ended as a whole
}
build_for() {
  local name
  { echo 19 > /proc/self/autogroup; } 2> /dev/null || true
  for name in "$@"; do
    case $name in
      asan) clang_tree && meson_tests build-clang asan unit worker sim --build-only ;;
      thread) tsan_tree && meson_tests build-tsan thread thread --build-only ;;
      fuzz) clang_tree && build build-clang ;;
    esac
  done
}
end_ahead() {
  [[ -n $ahead ]] || return 0
  kill -- "-$ahead" 2> /dev/null || true
  while kill -0 -- "-$ahead" 2> /dev/null; do  # ninja puts its directory in order
    sleep 0.1
  done
  wait "$ahead" 2> /dev/null || true
  ahead=
}

# Runs a group's commands: their PASS, FAIL and SKIP lines are the results. A command that fails
# without having named a test that failed is a failure itself; 77 is "nothing to run".
group() {
  local name=$1 before status=0 at=$SECONDS
  shift
  before=$(grep -c '^FAIL ' "$results" || true)
  echo "== $name"
  "$@" 2>&1 | tee -a "$results" || status=$?
  if ((status == 77)); then
    echo "SKIP $name: nothing to run" | tee -a "$results"
  elif ((status != 0)) && (($(grep -c '^FAIL ' "$results" || true) == before)); then
    echo "FAIL $name: ended with exit status $status" | tee -a "$results"
  fi
  echo "== $name took $((SECONDS - at)) s"
}

# `set -e` does not reach into these functions (they run left of ||): hence the && chains.
configure() { scripts/test/configure.sh "$@"; }
build() { scripts/test/build.sh "$@"; }
meson_tests() { "$PYTHON" scripts/test/meson_tests.py "$@"; }

release() { configure build && build build && echo "PASS build release with ${CXX:-g++}"; }

# One tree for clang, the fuzzers and the tests under ASan and UBSan: clang takes a quarter of the time that
# GCC takes for code with sanitizers. Both compilers build and warn about everything all the same.
clang_tree() {
  # Its linker needs a quarter of the time of GNU's for some fifty programs with sanitizers.
  ! command -v ld.lld > /dev/null || local -x CXX_LD=lld
  CXX=clang++ configure build-clang -Dfuzzers=true -Db_sanitize=address,undefined -Dbuildtype=debug
}

tsan_tree() { configure build-tsan -Db_sanitize=thread -Dbuildtype=debug; }

asan() {
  clang_tree &&
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 meson_tests build-clang asan unit worker sim --jobs 2
}

thread() {
  # TSan of GCC 12 cannot live with the address space randomisation of newer kernels.
  local wrap=
  ! setarch -R true 2> /dev/null || wrap='setarch -R'
  tsan_tree &&
    TSAN_OPTIONS=second_deadlock_stack=1 meson_tests build-tsan thread thread --wrap "$wrap"
}

fuzz() {
  clang_tree && build build-clang && echo "PASS build everything with clang, fuzzers, ASan and UBSan" &&
    "$PYTHON" scripts/test/fuzz.py build-clang $((full ? 600 : 60))
}

lab() {
  local status=0 long=()
  ((full == 0)) || long=(--full)
  meson_tests build lab lab || status=$?
  tests/lab/run.py "${long[@]}" --jobs 4 && return $status  # mostly they wait
}

mutate() {
  [[ -x scripts/mutate.sh ]] || return 77
  local which=(--changed 6 --rotate 5)
  ((full == 0)) || which=(--all)
  scripts/mutate.sh "${which[@]}" | sed -u '/ passed, .* failed, .* skipped$/d'  # the sum is ours to say
}

if ((only_ahead)); then
  build_for "${groups[@]}" || true
  exit 0
fi
if [[ $EUID == 0 ]]; then
  if ((full)); then scripts/bootstrap.sh --full; else scripts/bootstrap.sh; fi
fi
group build release
if grep -q '^FAIL ' "$results"; then
  groups=()
fi
for i in "${!groups[@]}"; do
  name=${groups[$i]}
  case $name in
    unit | worker | sim) group "$name" meson_tests build "$name" "$name" --jobs 2 ;;
    bench) group bench meson_tests build bench bench ;;
    asan) group asan asan ;;
    thread) group thread thread ;;
    fuzz) group fuzz fuzz ;;
    lab)
      build_ahead "${groups[@]:i+1}"
      group lab lab
      end_ahead
      ;;
    mutate) group mutate mutate ;;
    nic) group nic echo "SKIP nic: no tests in this version" ;;
  esac
done

count() { grep -c "^$1 " "$results" || true; }
failed=$(count FAIL)
if ((failed > 0)); then
  echo "== failed"
  grep '^FAIL ' "$results" | cut -c1-200
fi
echo "== $((SECONDS - started)) s in all"
echo "$(count PASS) passed, $failed failed, $(count SKIP) skipped"
((failed == 0))
