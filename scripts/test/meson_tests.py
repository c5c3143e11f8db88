"""Builds and runs the meson tests of some suites: meson_tests.py BUILD LABEL [--wrap "setarch -R"]
[--jobs N] [--build-only] SUITE... Builds only what these tests need. One line a test, with the end of
the output of those that fail. Exit status 0 if none failed, 77 if there was nothing to run.
"""
import argparse
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
import time


def introspect(build, what):
    return json.loads(subprocess.check_output(["meson", "introspect", build, "--" + what]))


def run(test, wrap):
    environment = {**os.environ, **test["env"]}
    start = time.monotonic()
    try:
        done = subprocess.run([*wrap, *test["cmd"]], cwd=test["workdir"] or None, env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=max(test["timeout"], 1) * 4)  # sanitizers and shared cores
        code, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired as e:
        code, text = "time-out", e.stdout or b""
    return code, text.decode(errors="replace"), time.monotonic() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("label")
    parser.add_argument("suites", nargs="+")
    parser.add_argument("--wrap", default="", type=shlex.split)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--build-only", action="store_true")
    args = parser.parse_args()

    # meson names suites "project:suite".
    tests = [t for t in introspect(args.build, "tests")
             if {s.rpartition(":")[2] for s in t["suite"]} & set(args.suites)]
    if not tests:
        return 77
    by_id = {t["id"]: t["filename"] for t in introspect(args.build, "targets")}
    wanted = {os.path.relpath(f, args.build) for t in tests for d in t["depends"] for f in by_id.get(d, [])}
    here = os.path.dirname(os.path.abspath(__file__))
    if subprocess.run([os.path.join(here, "build.sh"), args.build, *sorted(wanted)]).returncode:
        return 1
    if args.build_only:
        return 0

    def report(test, outcome):
        code, text, seconds = outcome
        result = {0: "PASS", 77: "SKIP"}.get(code, "FAIL")
        print(f"{result} {args.label} {test['name']} ({seconds:.1f} s)", flush=True)
        if result == "FAIL":
            lines = text.splitlines()
            for i in [i for i, line in enumerate(lines[:-40]) if line.endswith(": Failure")][:5]:
                print("\n".join("    " + line for line in lines[i:i + 12]) + "\n    [...]")
            print(f"  exit status {code}; its output ends:")
            print("\n".join("    " + line for line in lines[-40:]), flush=True)
        return result != "FAIL"

    good = True
    together = [t for t in tests if t["is_parallel"]] if args.jobs > 1 else []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        pending = {pool.submit(run, t, args.wrap): t for t in together}
        for future in concurrent.futures.as_completed(pending):
            good &= report(pending[future], future.result())
    for test in tests:
        if test not in together:
            good &= report(test, run(test, args.wrap))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
