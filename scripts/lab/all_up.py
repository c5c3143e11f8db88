"""Reads `limpetctl show backends --json` on stdin; exit 0 when every one that is checked has passed its checks."""
import json
import sys


def main():
    text = sys.stdin.read()
    try:
        backends = json.loads(text)["backends"]
    except (ValueError, KeyError, TypeError):
        sys.exit("limpetctl does not answer: " + (text.strip().splitlines() or ["(nothing)"])[-1])
    if not backends:
        sys.exit("no backends")
    waiting = [f"{b['pool']}/{b['name']} {b['state']} ({b['reason']})" for b in backends
               if b["state"] != "up" and b["check"]["type"] != "none"]
    if waiting:
        sys.exit("not up: " + ", ".join(waiting))


if __name__ == "__main__":
    main()
