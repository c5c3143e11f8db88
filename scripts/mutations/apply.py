#!/usr/bin/env python3
"""Applies one mutation, or says which ones no longer find their line: for scripts/mutate.sh, which in bash
would take a minute for what takes a second here.

  apply.py LISTS TREE            prints "NAME: why" for every mutation that does not apply to TREE
  apply.py LISTS TREE NAME       prints the file with the fault

LISTS is this directory; the format stands in its README. Exit status 1 when NAME does not apply.
"""
import pathlib
import sys

KEYS = {"file": "file", "tests": "tests", "after": "after", "-": "old", "+": "new"}


def read(lists):
    found = {}
    for path in sorted(pathlib.Path(lists).glob("*.txt")):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == "name":
                current = found[value] = dict.fromkeys(KEYS.values(), "")
            elif key in KEYS:
                current[KEYS[key]] = value
    return found


def mutated(m, tree, texts):
    """(text, None) or (None, why)"""
    if not (m["file"] and m["tests"] and m["old"]):
        return None, "needs file, tests and -"
    if m["old"] == m["new"]:
        return None, "changes nothing"
    path = pathlib.Path(tree, m["file"])
    if m["file"] not in texts:
        texts[m["file"]] = path.read_text() if path.is_file() else None
    text = texts[m["file"]]
    if text is None:
        return None, f"{m['file']} does not exist"
    start = 0
    if m["after"]:
        if text.count(m["after"]) != 1:
            return None, f"'{m['after']}' is {'not' if m['after'] not in text else 'more than once'} in {m['file']}"
        start = text.index(m["after"]) + len(m["after"])
    at = text.find(m["old"], start)
    if at < 0:
        return None, f"'{m['old']}' is not in {m['file']}"
    # Behind an anchor the first one is meant.
    if not m["after"] and text.find(m["old"], at + len(m["old"])) >= 0:
        return None, f"'{m['old']}' is in {m['file']} more than once"
    return text[:at] + m["new"] + text[at + len(m["old"]):], None


def main():
    mutations, texts = read(sys.argv[1]), {}
    if len(sys.argv) == 4:
        text, why = mutated(mutations[sys.argv[3]], sys.argv[2], texts)
        if why:
            print(why, file=sys.stderr)
            return 1
        sys.stdout.write(text)
        return 0
    for name, m in mutations.items():
        why = mutated(m, sys.argv[2], texts)[1]
        if why:
            print(f"{name}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
