"""Browsers of the lab: each has a jar with one cookie, and connects again and again, one request each time.

  jars.py --target [10.1.0.100]:80 [--target ...] --jars N --gap S --spread S --out FILE

Half of the jars begin at once, the others over --spread seconds. After SIGTERM none begins, and those under way
end. Then one JSON array for each connection goes to the file: [start, end, jar, backend or null, sent, set, error or
null], where `sent` and `set` are the cookie's value in the request and the one that the response set, or null.
"""
import argparse
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "lab"))

from client import HttpLoad, Sequence, parse_target  # noqa: E402  (found by the path above)
from labconfig import client_addresses  # noqa: E402


class Jar(Sequence):
    __slots__ = ("number", "cookie")


class Jars(HttpLoad):
    def __init__(self, args):
        super().__init__(argparse.Namespace(
            method="GET", path="/", requests=1, client_closes=True, duration=0, connections=0, target=[],
            parallel=1, gap=args.gap, reset=False, timeout=args.timeout, server_may_close=False), None)
        now = time.monotonic()
        addresses = {t: client_addresses(6 if ":" in t[0] else 4) for t in args.target}
        for i in range(args.jars):
            target = args.target[i % len(args.target)]
            jar = Jar(addresses[target][i // len(args.target) % 64], target, 0)
            jar.number, jar.cookie = i, None
            late = args.jars // 2
            wait = args.gap * i / args.jars if i < late else args.spread * (i - late) / (args.jars - late)
            self.arm(jar, now + wait)
            self.running += 1
        self.ending = False

    def timer(self, sequence, now):
        if self.ending and sequence.state == "idle":
            self.running -= 1
        else:
            super().timer(sequence, now)

    def send(self, sequence):
        cookie = f"Cookie: a=b; SRV={sequence.cookie}\r\n" if sequence.cookie else ""
        self.request = f"GET / HTTP/1.1\r\nHost: lab\r\n{cookie}Connection: close\r\n\r\n".encode()
        super().send(sequence)

    def finish(self, sequence, backend, error):
        head = sequence.buffer.partition(b"\r\n\r\n")[0].decode("latin-1")
        line = next((x for x in head.split("\r\n") if x.lower().startswith("set-cookie: srv=")), None)
        new = line.partition("=")[2].partition(";")[0] if line else None
        at = len(self.records)
        super().finish(sequence, backend, error)
        start, end = self.records[at][:2]
        self.records[at] = (start, end, sequence.number, backend, sequence.cookie, new, error)
        sequence.cookie = new or sequence.cookie


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", action="append", type=parse_target, required=True)
    parser.add_argument("--jars", type=int, required=True)
    parser.add_argument("--gap", type=float, required=True)
    parser.add_argument("--spread", type=float, required=True)
    parser.add_argument("--timeout", type=float, default=10)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    jars = Jars(args)
    signal.signal(signal.SIGTERM, lambda *_: setattr(jars, "ending", True))
    records = jars.run()
    with open(args.out, "w") as out:
        for record in records:
            print(json.dumps(record), file=out)


if __name__ == "__main__":
    main()
