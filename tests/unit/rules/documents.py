#!/usr/bin/env python3
"""Checks the documents against the tree.

  documents.py ROOT        prints every violation as FILE:LINE: text; exit 1 when there is one
  documents.py self-test   feeds the checks documents that break them, and one that does not

README is short. Links lead somewhere, to headings as well. Tests that a document names in `...` are there: files below
tests/ and scripts/, Suite.test, and patterns of tests/lab/run.py -k. Each decision of src/decisions says what was
decided, because of what, and what shows it, and stands in the index of src/ARCHITECTURE.md.
"""
import pathlib
import re
import sys

README_LINES = 150
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
TEST_NAME = re.compile(r"([A-Z]\w+)\.(\w+|\*)")
IN_TREE = re.compile(r"(?:tests|scripts|config|src|include)/[\w./-]+")
TESTS_OF = re.compile(r"\bTEST(?:_[FP])?\((\w+),\s*(\w+)\)")
LAB_TEST = re.compile(r"^def test_(\w+)", re.M)
PARTS = ("Decided", "Because", "Shown by")


def anchors(text):
    """GitHub's names of the headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)", text, re.M)}


def resolve(path, target):
    """A link's target as a path from the root."""
    parts = [*path.split("/")[:-1]]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def check_line(path, line, documents, paths, tests, lab):
    for target in LINK.findall(line):
        if target.startswith(("http:", "https:")):
            continue
        name, _, anchor = target.partition("#")
        where = resolve(path, name) if name else path
        if where not in paths:
            yield f"no {where} to link to"
        elif anchor and anchor not in anchors(documents.get(where, "")):
            yield f"{where} has no heading #{anchor}"
    for quoted in QUOTED.findall(line):
        named = TEST_NAME.fullmatch(quoted)
        if named and (named[1], named[2]) not in tests and not (named[2] == "*" and any(s == named[1] for s, _ in tests)):
            yield f"no test {quoted}"
        if IN_TREE.fullmatch(quoted) and quoted.rstrip("/") not in paths:
            yield f"no {quoted}"
        pattern = re.match(r"tests/lab/run\.py (?:--full )?-k (\S+)", quoted)
        if pattern and not any(re.search(pattern[1], name) for name in lab):
            yield f"no test of the lab for -k {pattern[1]}"


def check_decisions(path, text, index):
    if f"({path.removeprefix('src/')})" not in index:
        yield 1, "is not in the index of src/ARCHITECTURE.md"
    for section in re.split(r"^(?=## )", text, flags=re.M)[1:]:
        title = section.split("\n", 1)[0][3:]
        line = text[:text.index(section)].count("\n") + 1
        if title not in index:
            yield line, f"'{title}' is not in the index of src/ARCHITECTURE.md"
        for part in PARTS:
            if not re.search(rf"^\*\*{part}\.\*\* \S", section, re.M):
                yield line, f"'{title}' does not say '{part}.'"


def check(documents, paths, tests, lab):
    """All violations in {path: text}, as sorted (path, line, text)."""
    found = []
    for path, text in documents.items():
        for number, line in enumerate(text.split("\n"), 1):
            found += [(path, number, problem) for problem in check_line(path, line, documents, paths, tests, lab)]
        if path.startswith("src/decisions/"):
            found += [(path, *v) for v in check_decisions(path, text, documents.get("src/ARCHITECTURE.md", ""))]
        if path == "README.md" and text.count("\n") > README_LINES:
            found.append((path, text.count("\n"), f"more than {README_LINES} lines"))
    return sorted(found)


def read_tree(root):
    documents, paths, tests, lab = {}, set(), set(), set()
    for top in ("README.md", "LICENSE", "src", "include", "config", "scripts", "tests"):
        for path in [root / top, *sorted((root / top).rglob("*"))]:
            name = path.relative_to(root).as_posix()
            paths.add(name)
            if path.suffix == ".md":
                documents[name] = path.read_text(encoding="utf-8")
            elif name.startswith("tests/") and path.suffix == ".cpp":
                tests |= set(TESTS_OF.findall(path.read_text(encoding="utf-8")))
            elif name.startswith("tests/lab/test_"):
                lab |= {f"{path.stem[5:]}.{test}" for test in LAB_TEST.findall(path.read_text(encoding="utf-8"))}
    return documents, paths, tests, lab


DECISION = "# Topic\n\n## Choice\n\n**Decided.** So.\n\n**Because.** Why.\n\n**Shown by.** `tests/a_test.cpp`.\n"
CASES = [
    ("README.md", "[a](src/ARCHITECTURE.md#5-decisions), `Suite.test`, `Suite.*`, `tests/lab/run.py -k killed`\n", None),
    ("README.md", "[a](https://example.org/x) `Result` `a.b` `/etc/limpet.cfg` [x] (y)\n", None),
    ("README.md", "[a](src/none.md)\n", "no src/none.md"),
    ("README.md", "[a](src/ARCHITECTURE.md#6-none)\n", "no heading"),
    ("README.md", "`Suite.other`\n", "no test Suite.other"),
    ("README.md", "`Suites.*`\n", "no test Suites.*"),
    ("README.md", "`tests/none.cpp`\n", "no tests/none.cpp"),
    ("README.md", "`tests/lab/run.py --full -k nobody`\n", "-k nobody"),
    ("README.md", "\n" * 150, None),
    ("README.md", "\n" * 151, "more than 150"),
    ("src/decisions/topic.md", DECISION, None),
    ("src/decisions/topic.md", DECISION.replace("**Because.** Why.", ""), "'Because.'"),
    ("src/decisions/topic.md", DECISION.replace("Choice", "Chance"), "'Chance' is not in the index"),
    ("src/decisions/other.md", DECISION, "is not in the index"),
    ("src/x.md", "[a](../README.md) [b](decisions/topic.md)\n", None),
]


def self_test():
    failed = 0
    base = {"src/ARCHITECTURE.md": "## 5. Decisions\n\n[topic](decisions/topic.md): Choice\n",
            "src/decisions/topic.md": DECISION, "README.md": ""}
    for path, text, expected in CASES:
        documents = {**base, path: text}
        found = check(documents, {*documents, "tests/a_test.cpp"}, {("Suite", "test")}, {"kill.a_killed_backend"})
        if bool(found) != (expected is not None) or (expected and (len(found) != 1 or expected not in found[0][2])):
            failed += 1
            print(f"{path}: {text[:80]!r}: expected {expected!r}, found {found}")
    print(f"{len(CASES)} cases, {failed} failed")
    return 1 if failed else 0


def main(arguments):
    if arguments == ["self-test"]:
        return self_test()
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    documents, *rest = read_tree(pathlib.Path(arguments[0]))
    found = check(documents, *rest)
    for path, line, text in found:
        print(f"{path}:{line}: {text}")
    print(f"{len(documents)} documents, {len(found)} violations")
    return 1 if found or not documents else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
