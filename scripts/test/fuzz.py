"""Runs every fuzzer of a clang build for a while, two at a time: fuzz.py BUILD SECONDS
A fuzzer is an executable fuzz_NAME of tests/fuzz/NAME, with its seeds beside its source and perhaps a
dictionary NAME.dict. New inputs go to a directory that is thrown away; what crashes is kept. Exit status 0 if none failed, 77 if there is no fuzzer."""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import time


def fuzz(build, source, program, seconds):
    name = os.path.basename(source)
    artifacts = os.path.join(build, "fuzz-artifacts", name) + "/"
    os.makedirs(artifacts, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="limpet-fuzz-") as corpus:
        command = [program, corpus, os.path.join(source, "seeds"), f"-max_total_time={seconds}",
                   "-print_final_stats=1", "-timeout=10", "-rss_limit_mb=3072", f"-artifact_prefix={artifacts}"]
        if os.path.exists(os.path.join(source, name + ".dict")):
            command.append("-dict=" + os.path.join(source, name + ".dict"))
        start = time.monotonic()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds + 300,
                              env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})
        text = done.stdout.decode(errors="replace")
    took = time.monotonic() - start
    executions = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text)
    coverage = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    good = bool(done.returncode == 0 and executions and int(executions[-1]) > 1000 and coverage)
    lines = [f"{'PASS' if good else 'FAIL'} fuzz {name} ({took:.0f} s): "
             f"{executions[-1] if executions else 0} executions, "
             + ("coverage {} edges, {} features, corpus {}".format(*coverage[-1]) if coverage else "no coverage")]
    if not good:
        lines += [f"  exit status {done.returncode}; its output ends:"]
        lines += ["    " + line for line in text.splitlines()[-60:]]
        lines += [f"  inputs are kept in {artifacts}"]
    return good, "\n".join(lines)


def main():
    build, seconds = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    targets = json.loads(subprocess.check_output(["meson", "introspect", build, "--targets"]))
    fuzzers = [(os.path.dirname(t["defined_in"]), t["filename"][0]) for t in targets
               if t["type"] == "executable" and "/tests/fuzz/" in t["defined_in"]]
    if not fuzzers:
        return 77
    print(f"fuzzing {', '.join(os.path.basename(s) for s, _ in fuzzers)} for {seconds} s each", flush=True)
    good = True
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for future in concurrent.futures.as_completed(
                pool.submit(fuzz, build, source, program, seconds) for source, program in fuzzers):
            one, text = future.result()
            good &= one
            print(text, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
