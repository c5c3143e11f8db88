#!/usr/bin/python3
"""Runs the lab's tests: run.py [-k PATTERN] [--full] [--jobs N] [--list] [--json FILE] [--keep]

One line a test. Each case has a lab of its own, named after this process, so several can run side by
side: up to N of them, where one of a file with BUSY counts as half of N and one that is `alone` as N. Without --full the long ones are left out. --keep leaves the lab of the first failure up and stops there. Exit status 0 if nothing failed.
"""
import argparse
import concurrent.futures
import importlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from lab import Lab, Skip  # noqa: E402  (found by the path above)


def collect(full):
    """(name, function, case) of every case, in the order of the files and in them of the lines."""
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        tests = [f for n, f in vars(module).items() if n.startswith("test_") and f.__module__ == path.stem]
        for function in sorted(tests, key=lambda f: f.__code__.co_firstlineno):
            for case in function.cases:
                if case["workers"] in function.full and not full:
                    continue
                name = f"{path.stem[5:]}.{function.__name__[5:]}"
                if len(function.cases) > 1 or case["workers"] != 1:
                    name += f"[{case['workers']} workers]"
                yield name, function, case, getattr(module, "BUSY", False)


live = {}  # lab name -> Lab: what an interruption has to take down


def run_case(number, function, case, keep):
    """(result, message): PASS, FAIL or SKIP."""
    lab = Lab(f"test{os.getpid()}-{number}", **case)
    live[lab.name] = lab
    result, message = "PASS", ""
    try:
        lab.up()
        function(lab)
        lab.settle()
    except Skip as e:
        result, message = "SKIP", str(e)
    except AssertionError as e:
        where = [f for f in traceback.extract_tb(e.__traceback__) if "/tests/lab/" in f.filename]
        lines = " < ".join(f"{pathlib.Path(f.filename).name}:{f.lineno}" for f in reversed(where[1:]))
        result, message = "FAIL", f"{e or where[-1].line}  ({lines})"
    except subprocess.TimeoutExpired as e:
        result, message = "FAIL", f"{' '.join(map(str, e.cmd))} did not end within {e.timeout} s"
    except Exception:  # a broken test is a failed test; KeyboardInterrupt goes on
        result, message = "FAIL", traceback.format_exc()
    if result == "FAIL":
        message += "\n  limpet's log ends:\n    " + "\n    ".join(lab.log().splitlines()[-15:])
        if keep:
            print(f"kept: lab '{lab.name}'; scripts/lab/down.sh {lab.name} when done")
            del live[lab.name]
            return result, message
    lab.down()
    del live[lab.name]
    return result, "; ".join([*lab.notes, *([message] if message else [])])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", default="", help="only tests whose name matches this regular expression")
    parser.add_argument("--full", action="store_true", help="the long ones too")
    parser.add_argument("--jobs", type=int, default=1, help="labs at the same time")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json", help="write results here, one object a line")
    parser.add_argument("--keep", action="store_true", help="stop at the first failure, leave its lab up")
    args = parser.parse_args()
    chosen = [c for c in collect(args.full) if re.search(args.k, c[0])]
    if args.list:
        print("\n".join(c[0] for c in chosen))
        return 0
    if os.geteuid() != 0:
        print("tests/lab/run.py: needs root (network namespaces)", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = []
    out = open(args.json, "w") if args.json else None

    def timed(number, function, case):
        start = time.monotonic()
        return *run_case(number, function, case, args.keep), time.monotonic() - start

    jobs = 1 if args.keep else args.jobs
    pool = concurrent.futures.ThreadPoolExecutor(jobs)

    def ended():
        """(name, future) of each as it ends. Those that need more places begin first, those that need all come last."""
        def places(function, busy):
            return jobs if function.alone else max(1, jobs // 2) if busy else 1

        waiting = [(places(f, busy), n, f, i, c) for i, (n, f, c, busy) in enumerate(chosen)]
        waiting.sort(key=lambda w: (w[2].alone, -w[0]))
        running, free = {}, jobs
        while waiting or running:
            while waiting and waiting[0][0] <= free:
                need, name, function, number, case = waiting.pop(0)
                free -= need
                running[pool.submit(timed, number, function, case)] = (need, name)
            for future in concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)[0]:
                need, name = running.pop(future)
                free += need
                yield name, future

    try:
        for name, future in ended():
            result, message, seconds = future.result()
            results.append(result)
            print(f"{result} lab {name} ({seconds:.1f} s)" + (f": {message}" if message else ""), flush=True)
            if out:
                print(json.dumps({"name": name, "result": result, "seconds": round(seconds, 1),
                                  "message": message}), file=out, flush=True)
            if result == "FAIL" and args.keep:
                pool.shutdown(cancel_futures=True)
                break
    except BaseException:  # an interruption: what runs loses its lab and ends with it
        pool.shutdown(wait=False, cancel_futures=True)
        for lab in list(live.values()):
            lab.down()
        os._exit(143)
    print(f"== lab: {results.count('PASS')} passed, {results.count('FAIL')} failed, {results.count('SKIP')} skipped")
    return 1 if "FAIL" in results else 0


if __name__ == "__main__":
    sys.exit(main())
