#!/usr/bin/env python3
"""Checks that every message about a configuration is expected somewhere, word for word.

  messages.py ROOT        prints every message that no test expects as FILE:LINE: text; exit 1 when there is one
  messages.py self-test   feeds the check sources and expectations

A message is a string literal of src/config, src/port/eal_values.cpp or src/apps/eal_check.cpp that says what was
expected, or why a value is wrong. It is expected when config/invalid/*.err or a literal of the unit tests has its
text, whatever stands in the place of each {}.
"""
import pathlib
import re
import sys

SOURCES = ("src/config/*.cpp", "src/port/eal_values.cpp", "src/apps/eal_check.cpp")
TESTS = ("tests/unit/config/*.cpp", "tests/unit/port/eal_*_test.cpp")
MESSAGE = re.compile(r"; expected |^(is|has|cannot|gets) (a|an|the|no|of|at|\{\}) ")
# Literals, with comments as the alternative that eats quotes inside them.
TOKEN = re.compile(r'R"\((?P<raw>.*?)\)"|"(?P<text>(?:\\.|[^"\\\n])*)"|//[^\n]*|/\*.*?\*/|'
                   r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)


def literals(source):
    """(line, text) of every literal, neighbours joined as the compiler joins them."""
    found, end = [], None
    for m in TOKEN.finditer(source):
        text = m["raw"]
        if m["text"] is not None:
            text = re.sub(r"\\(.)", lambda e: {"n": "\n", "t": "\t"}.get(e[1], e[1]), m["text"])
        if text is None:
            continue
        if end is not None and not source[end:m.start()].strip():
            found[-1] = (found[-1][0], found[-1][1] + text)
        else:
            found.append((source.count("\n", 0, m.start()) + 1, text))
        end = m.end()
    return found


def pattern(message):
    fixed = re.split(r"(?<!\{)\{[^{}]*\}", message)
    return re.compile("[^\n]*?".join(re.escape(f.replace("{{", "{").replace("}}", "}")) for f in fixed))


def unexpected(source, expected):
    for line, text in literals(source):
        if MESSAGE.search(text) and not pattern(text).search(expected):
            yield line, text


def check(root):
    expected = [path.read_text() for path in sorted(root.glob("config/invalid/*.err"))]
    for tests in TESTS:
        for path in sorted(root.glob(tests)):
            expected += [text for _, text in literals(path.read_text())]
    expected = "\n".join(expected)
    messages = missing = 0
    for sources in SOURCES:
        for path in sorted(root.glob(sources)):
            source = path.read_text()
            messages += sum(bool(MESSAGE.search(text)) for _, text in literals(source))
            for line, text in unexpected(source, expected):
                missing += 1
                print(f"{path.relative_to(root)}:{line}: no test expects: {text}")
    print(f"{messages} messages, {missing} unexpected")
    return int(missing > 0 or messages < 100)  # fewer: this script does not see them any more


def self_test():
    source = 'f("{} is {}; "\n  "expected {} \\"x\\"", a); // "of a comment; expected none"\ng("is a {{group}}");'
    assert [t for _, t in literals(source)] == ['{} is {}; expected {} "x"', "is a {{group}}"], literals(source)
    assert list(unexpected(source, 'a.cfg:3: 80 is odd; expected even "x"\nb is a {group}')) == []
    assert [line for line, _ in unexpected(source, 'a.cfg:3: 80 is odd\n; expected even "x"')] == [1, 3]
    print("messages: self-test passed")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(self_test() if sys.argv[1] == "self-test" else check(pathlib.Path(sys.argv[1])))
