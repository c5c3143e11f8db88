#!/bin/bash
# Proves that the tests notice a broken product: applies one small fault at a time to a copy of the
# tree, builds the tests that must notice it, and runs them. A fault that no test notices survives,
# and that is a missing test. The faults stand in scripts/mutations/*.txt, where the format is told.
#
# The working tree is only read. Everything happens in a temporary directory that is gone afterwards,
# however the script ends.
set -euo pipefail
shopt -s nullglob

usage() {
  cat <<'USAGE'
usage: scripts/mutate.sh [--all | [--changed N] [--rotate N] [--day D] | --only NAME ... | --list | --check]
                         [--keep-log DIR]

  --all          every mutation (the default)
  --rotate N     N of them, others every day, spread over the modules
  --changed N    N of those of the files that the last ten commits, or nobody yet, committed; likewise
  --day D        the day to rotate by, in days since 1970 (default: today)
  --only NAME    this one; may be given several times
  --list         names, files and tests of all mutations
  --check        only says whether every mutation still finds its line; builds nothing
  --keep-log DIR keeps what the build and the tests of each mutation printed

A mutation that is KILLED is a PASS; one that has SURVIVED, is BUILD-BROKEN or is ROTTEN (its line has
changed) is a FAIL. Exit: 0 all killed, 1 one failed, 2 usage or a list that cannot be read.
USAGE
}

die() {
  echo "mutate: $*" >&2
  exit 2
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mode=all
count=0
changed=0
day=$(($(date +%s) / 86400))
only=()
logs=
while (($# > 0)); do
  case $1 in
    --list) mode=list ;;
    --check) mode=check ;;
    --all) mode=all ;;
    --only) mode=only; only+=("${2:?--only needs a name}"); shift ;;
    --rotate) mode=rotate; count=${2:?--rotate needs a number}; shift ;;
    --changed) mode=rotate; changed=${2:?--changed needs a number}; shift ;;
    --day) day=${2:?--day needs a number}; shift ;;
    --keep-log) logs=${2:?--keep-log needs a directory}; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[[ $count =~ ^[0-9]+$ && $changed =~ ^[0-9]+$ && $day =~ ^[0-9]+$ ]] || { usage >&2; exit 2; }

# The list ----------------------------------------------------------------------------------------

names=()
declare -A file_of tests_of  # all else is read by mutations/apply.py

read_list() {
  local list line number name='' key value
  for list in "$top"/scripts/mutations/*.txt; do
    number=0
    while IFS= read -r line || [[ -n $line ]]; do
      number=$((number + 1))
      key=${line%% *}
      value=
      [[ $line == *' '* ]] && value=${line#* }
      case $key in
        '' | '#') ;;
        name)
          name=$value
          [[ -z ${file_of[$name]+x} ]] || die "$list:$number: a second mutation $name"
          names+=("$name")
          file_of[$name]='' tests_of[$name]=''
          ;;
        file) file_of[$name]=$value ;;
        tests) tests_of[$name]=$value ;;
        after | - | +) ;;
        *) die "$list:$number: '$key' is none of name, file, tests, after, -, +, #" ;;
      esac
    done < "$list"
  done
  ((${#names[@]} > 0)) || die "no mutations in $top/scripts/mutations"
}

# Prints the file with the fault, or says on stderr why there is no such line any more.
mutated() { python3 "$top/scripts/mutations/apply.py" "$top/scripts/mutations" "$2" "$1"; }

read_list

if [[ $mode == list ]]; then
  for name in "${names[@]}"; do
    printf '%-38s %-34s %s\n' "$name" "${file_of[$name]}" "${tests_of[$name]}"
  done
  exit 0
fi

# A list of which one line has rotted proves less than it says, so all of it is looked at each time.
passed=0
failed=0
rotten=$(python3 "$top/scripts/mutations/apply.py" "$top/scripts/mutations" "$top")
while IFS= read -r line; do
  [[ -n $line ]] || continue
  name=${line%%: *}
  echo "FAIL mutate $name: ROTTEN: ${line#*: }"
  failed=$((failed + 1))
  file_of[$name]=
done <<< "$rotten"
if [[ $mode == check ]]; then
  echo "$((${#names[@]} - failed)) passed, $failed failed, 0 skipped"
  exit $((failed > 0))
fi

chosen=()
# take N NAME...: N of them. Neighbors in the list are of one module: steps over the whole list touch many
# modules a day, and as the start moves by one a day, every mutation gets its turn.
take() {
  local n=$1 total i step name
  shift
  local of=("$@")
  total=$#
  ((n <= total)) || n=$total
  ((n > 0)) || return 0
  step=$((total / n))
  for ((i = 0; i < n; i++)); do
    name=${of[(day + i * step) % total]}
    [[ -z ${taken[$name]:-} ]] || continue
    taken[$name]=1
    chosen+=("$name")
  done
}
case $mode in
  all) chosen=("${names[@]}") ;;
  only)
    for name in "${only[@]}"; do
      [[ -n ${file_of[$name]+x} ]] || die "there is no mutation $name; see --list"
      chosen+=("$name")
    done
    ;;
  rotate)
    declare -A touched=() taken=()
    # No history (an archive, a shallow clone): what there is of it.
    if base=$(git -C "$top" rev-parse -q --verify HEAD~10 2> /dev/null ||
      git -C "$top" rev-list --max-parents=0 HEAD 2> /dev/null | head -n 1) && [[ -n $base ]]; then
      while IFS= read -r file; do touched[$file]=1; done < <(git -C "$top" diff --name-only "$base")
    fi
    of_changed=()
    for name in "${names[@]}"; do
      [[ -z ${touched[${file_of[$name]:-none}]:-} ]] || of_changed+=("$name")
    done
    take "$changed" "${of_changed[@]}"
    recent=${#chosen[@]}
    take "$count" "${names[@]}"
    echo "mutate: $recent of ${#of_changed[@]} mutations of files that changed and $((${#chosen[@]} - recent)) of" \
      "${#names[@]}, those of day $day; the same again: scripts/mutate.sh --changed $changed --rotate $count --day $day"
    ;;
esac
for i in "${!chosen[@]}"; do
  [[ -n ${file_of[${chosen[$i]}]} ]] || unset "chosen[$i]"  # rotten, and counted already
done

# The copy ----------------------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/limpet-mutate.XXXXXX")
child=
# shellcheck disable=SC2317  # called by the trap
finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP  # whoever ends us may say so twice; the directory goes all the same
  if [[ -n $child ]] && kill "$child" 2> /dev/null; then
    for _ in {1..50}; do
      kill -0 "$child" 2> /dev/null || break
      sleep 0.1
    done
    kill -KILL "$child" 2> /dev/null || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# In the background, as a shell that waits for a foreground command does not hear a signal.
run() {
  local status=0
  "$@" & child=$!
  wait "$child" || status=$?
  child=
  return "$status"
}

tree=$work/tree
build=$tree/build
log=$work/log
mkdir "$tree"
copy() {
  cd "$top"
  if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard
  else
    find meson.build meson_options.txt src include config scripts tests -type f -print0
  fi | while IFS= read -r -d '' path; do
    [[ ! -e $path ]] || printf '%s\0' "$path"  # deleted, but not yet in the index
  done | tar --null --no-recursion -T - -cf - | tar -C "$tree" -xf -
}
(copy)

# Without a fault everything is compiled as the release build compiles it, so that ccache has it already:
# the same options, at the same place below the sources. What has a fault is compiled with asserts, which
# count as tests, sooner than with all optimization, and warnings about a variable that the fault left unused
# are not what is asked here.
setup() {
  local compiler=${CXX:-g++}
  if [[ $compiler != ccache* ]] && command -v ccache > /dev/null; then compiler="ccache $compiler"; fi
  printf '#!/bin/sh\nexec %s "$@" $LIMPET_FAULT\n' "$compiler" > "$work/c++"
  chmod +x "$work/c++"
  # The directory is another each time; what is compiled there is not.
  export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1 LIMPET_FAULT=
  CXX=$work/c++ run meson setup "$build" "$tree" -Dbenchmarks=false > "$log" 2>&1
}
started=$SECONDS
if ! setup; then
  tail -n 30 "$log" >&2
  echo "mutate: meson setup failed" >&2
  exit 1
fi

# Names of tests or suites -> lines "test<TAB>file of the program".
tests_named() {
  meson introspect "$build" --tests | python3 -c '
import json, os, sys
wanted, build = sys.argv[2:], sys.argv[1]
tests = json.load(sys.stdin)
for name in wanted:
    found = [t for t in tests if t["name"] == name] or [
        t for t in tests if name in (s.split(":")[-1] for s in t["suite"])]
    if not found:
        sys.exit(f"there is no test and no suite {name}")
    for t in found:
        program = os.path.relpath(t["cmd"][0], build)
        if not program.startswith(".."):
            print(t["name"], program, sep="\t")
' "$build" "$@"
}

build_tests() {
  local lines
  lines=$(tests_named "$@") || return 1
  mapfile -t programs < <(cut -f 2 <<< "$lines" | sort -u)
  mapfile -t runs < <(cut -f 1 <<< "$lines")
  run ninja -C "$build" "${programs[@]}"
}

# Runs one after the other and stops at the first that fails: `killer` says which.
run_tests() {
  local test
  killer=
  for test in "${runs[@]}"; do
    if ! run env GTEST_FAIL_FAST=1 meson test -C "$build" --no-rebuild --print-errorlogs "$test"; then
      killer=$test
      return 1
    fi
  done
}

((${#chosen[@]} == 0)) || {
  mapfile -t all_tests < <(for name in "${chosen[@]}"; do tr ' ' '\n' <<< "${tests_of[$name]}"; done | sort -u)
  echo "mutate: without any fault, the tests must pass: ${all_tests[*]}"
  if ! build_tests "${all_tests[@]}" > "$log" 2>&1 || ! run_tests >> "$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "mutate: the tests do not pass without a fault, so they prove nothing"
    echo "0 passed, $((${#chosen[@]} + failed)) failed, 0 skipped"
    exit 1
  fi
  echo "mutate: they do ($((SECONDS - started)) s)"
}

LIMPET_FAULT='-O1 -UNDEBUG -Wno-error'
for name in "${chosen[@]}"; do
  began=$SECONDS
  file=${file_of[$name]}
  mutated "$name" "$tree" > "$work/mutant"
  cp -p "$tree/$file" "$work/original"
  cat "$work/mutant" > "$tree/$file"
  read -r -a tests <<< "${tests_of[$name]}"
  if ! build_tests "${tests[@]}" > "$log" 2>&1; then
    echo "FAIL mutate $name: BUILD-BROKEN ($((SECONDS - began)) s): $(grep -m 1 -E 'error:|there is no' "$log" || true)"
    failed=$((failed + 1))
  elif run_tests >> "$log" 2>&1; then
    echo "FAIL mutate $name: SURVIVED ($((SECONDS - began)) s): ${tests_of[$name]} noticed nothing"
    failed=$((failed + 1))
  else
    case_name=$(grep -m 1 -oP '^\[  FAILED  \] \K[\w/]+\.[\w/]+' "$log" || true)
    # Nobody failed: an assert ended the program, or time did.
    [[ -n $case_name ]] || case_name=$(grep -oP '^\[ RUN      \] \K.*' "$log" | tail -n 1 || true)
    echo "PASS mutate $name: KILLED ($((SECONDS - began)) s) by $killer${case_name:+: $case_name}"
    passed=$((passed + 1))
  fi
  if [[ -n $logs ]]; then mkdir -p "$logs" && cp "$log" "$logs/$name.log"; fi
  # Written anew, not moved back: an old time stamp would leave the fault in the next build.
  cat "$work/original" > "$tree/$file"
done

echo "mutate: $((SECONDS - started)) s"
echo "$passed passed, $failed failed, 0 skipped"
exit $((failed > 0))
