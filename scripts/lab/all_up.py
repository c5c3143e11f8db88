"""Reads `limpetctl show services --json` on stdin; exit 0 when every backend of every service is up."""
import json
import sys


def main():
    text = sys.stdin.read()
    try:
        services = json.loads(text)["services"]
    except (ValueError, KeyError, TypeError):
        sys.exit("limpetctl does not answer: " + (text.strip().splitlines() or ["(nothing)"])[-1])
    if not services:
        sys.exit("no services")
    waiting = [f"{s['name']} {s['backends_up']}/{s['backends_total']}" for s in services
               if s["backends_up"] < s["backends_total"]]
    if waiting:
        sys.exit("backends up: " + ", ".join(waiting))


if __name__ == "__main__":
    main()
