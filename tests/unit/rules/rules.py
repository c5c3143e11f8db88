#!/usr/bin/env python3
"""Checks src/ and include/ against the rules of the house that a script can check.

  rules.py ROOT        prints every violation as FILE:LINE: text; exit 1 when there is one
  rules.py self-test   feeds the checks lines that break them, and lines that do not
  rules.py draw        prints the drawing of the modules that src/ARCHITECTURE.md must have

Looks at text only: comments and string literals are blanked first, then includes and names are
compared with the tables below. The tables are the rules; change them together with
src/ARCHITECTURE.md.
"""
import pathlib
import re
import sys

# Which modules a module may include and link. Lowest first.
MAY_USE = {"base": set()}
MAY_USE["wire"] = {"base"}
MAY_USE["tcp"] = {"wire", "base"}
MAY_USE["http"] = {"base"}
MAY_USE["balance"] = {"base"}
MAY_USE["affinity"] = {"balance", "base"}
MAY_USE["flow"] = {"tcp", "wire", "base"}
MAY_USE["dataplane"] = {"base", "wire", "tcp", "http", "balance", "affinity", "flow"}
MAY_USE["port"] = {"dataplane"} | MAY_USE["dataplane"]
MAY_USE["config"] = {"balance", "affinity", "base"}
MAY_USE["publish"] = {"config", "dataplane"} | MAY_USE["dataplane"]
MAY_USE["health"] = {"config", "dataplane"} | MAY_USE["dataplane"]
MAY_USE["console"] = {"publish", "health"} | MAY_USE["publish"]
MAY_USE["control"] = {"console"} | MAY_USE["console"]
MAY_USE["apps"] = set(MAY_USE)

ARCHITECTURE = "src/ARCHITECTURE.md"

PACKET_MODULES = {"wire", "tcp", "http", "balance", "affinity", "flow"}  # spans and plain structs
NO_DPDK = {"base", "config"}
# Header structs of the protocols: they need no EAL and nothing is linked for them.
EAL_FREE = {"rte_arp.h", "rte_byteorder.h", "rte_ether.h", "rte_icmp.h", "rte_ip.h",
            "rte_prefetch.h", "rte_tcp.h", "rte_udp.h"}
PORT_HEADERS = re.compile(r"rte_(eal|eth|ethdev|dev|bus|pci|launch|vfio)\w*\.h")

# A library that one file of one module wraps, so that it can be replaced there.
ONE_FILE = {
    "libconfig": ("config", re.compile(r"libconfig\.h(\+\+)?")),
    "Hyperscan": ("http", re.compile(r"(hs/)?hs(_\w+)?\.h")),
    "libcurl": ("health", re.compile(r"curl/\w+\.h")),
    "OpenSSL": ("affinity", re.compile(r"openssl/\w+\.h")),
    "hiredis": ("control", re.compile(r"hiredis(/\w+)?(\.h)?")),
}

# A library that only some modules see, as what includes it takes long to compile.
ONLY_IN = {"JSON": ({"console", "apps"}, re.compile(r"nlohmann/[\w/]+\.hpp"))}

# Names that a module must not speak: (modules, pattern, why).
NAMES = [
    (set(MAY_USE) - {"port"}, re.compile(r"\brte_(eth|eal)_\w+"),
     "rte_eth_* and rte_eal_* live in port"),
    (PACKET_MODULES | NO_DPDK, re.compile(r"\b(rte_mbuf|rte_pktmbuf_\w+|rte_mempool\w*)\b"),
     "modules below dataplane see no mbuf"),
    (PACKET_MODULES | NO_DPDK | {"dataplane"},
     re.compile(r"\b(clock_gettime|gettimeofday|rte_rdtsc\w*|rte_get_\w+_(cycles|hz)|"
                r"(steady|system|high_resolution)_clock::now)\b"),
     "nothing below port reads a clock: time is a parameter"),
    (PACKET_MODULES | NO_DPDK | {"dataplane"},
     re.compile(r"\b(random_device|getrandom|getentropy|randombytes_\w+|rte_rand\w*)\b"),
     "randomness and secrets are parameters"),
]
# The one place where a rule is meant to be broken, with the reason.
EXCEPT = {("src/base/log.cpp", "clock_gettime")}  # the operator's log stamps its lines

MAX_LINES = 600
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LITERAL_OR_COMMENT = re.compile(
    r'R"(?P<tag>[^\s()\\]{0,16})\(.*?\)(?P=tag)"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'
    r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)


def code_lines(text):
    """The lines of `text` with comments and literals blanked, but for the names of includes."""
    def blank(match):
        start = text.rfind("\n", 0, match.start()) + 1
        if text[match.start()] == '"' and re.match(r"\s*#\s*include\b", text[start:]):
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())
    return LITERAL_OR_COMMENT.sub(blank, text).split("\n")


def module_of(path):
    """'src/flow/table.cpp' and 'include/limpet/flow/table.h' -> 'flow'; None elsewhere."""
    parts = path.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ["include", "limpet"] and len(parts) > 3:
        return parts[2]
    return None


def check_dpdk_header(module, header):
    if module in NO_DPDK:
        return f"{module} includes no DPDK header"
    if module in PACKET_MODULES and header not in EAL_FREE:
        return f"{module} may include only DPDK's EAL-free headers: {' '.join(sorted(EAL_FREE))}"
    if module != "port" and header not in EAL_FREE and PORT_HEADERS.fullmatch(header):
        return "EAL and ethdev headers live in port"
    return None


def check_include(path, module, bracket, name, files):
    """What is wrong with this #include, or None."""
    if name.startswith("limpet/"):
        used = name.split("/")[1]
        if bracket != '"':
            return "headers of the project are included with quotes"
        if "include/" + name not in files:
            return "no such public header"
        if used != module and used not in MAY_USE[module]:
            return f"{module} may not use {used}, only: {' '.join(sorted(MAY_USE[module])) or 'none'}"
        return None
    if re.fullmatch(r"rte_\w+\.h", name):
        return check_dpdk_header(module, name)
    for library, (home, pattern) in ONE_FILE.items():
        if pattern.fullmatch(name) and module != home:
            return f"{library} is used in one file of {home}"
    for library, (homes, pattern) in ONLY_IN.items():
        if pattern.fullmatch(name) and module not in homes:
            return f"{library} is used in {' and '.join(sorted(homes))} only"
    if bracket == '"':
        if path.startswith("include/"):
            return "a public header includes no private one"
        if f"src/{module}/{name}" not in files:
            return f"a private header stands in src/{module}, public ones are limpet/<module>/x.h"
    return None


def check_source(path, text, files):
    """Violations of one C++ file as (line, text)."""
    module = module_of(path)
    if module not in MAY_USE:
        yield 1, f"in no module; the modules are: {' '.join(MAY_USE)}"
        return
    count = text.count("\n")
    if count > MAX_LINES:
        yield count, f"{count} lines; split files of more than {MAX_LINES}"
    lines = code_lines(text)
    if path.endswith(".h"):
        if not text.startswith("//"):
            yield 1, "a header opens with a comment that says what it owns"
        if not any(line.strip() == "#pragma once" for line in lines):
            yield 1, "no #pragma once"
    for number, line in enumerate(lines, 1):
        include = INCLUDE.match(line)
        if include:
            problem = check_include(path, module, *include.groups(), files)
            if problem:
                yield number, f"#include {include.group(2)}: {problem}"
            continue
        for modules, pattern, why in NAMES:
            name = pattern.search(line)
            if name and module in modules and (path, name.group()) not in EXCEPT:
                yield number, f"{name.group()}: {why}"


def check_links(path, text):
    """Violations of src/<module>/meson.build: what it links is what it may use."""
    module = module_of(path)
    if module not in MAY_USE:
        return
    text = re.sub(r"#[^\n]*", "", text)
    for match in re.finditer(r"\bdependencies\s*:\s*(\[[^\]]*\]|\w+)", text):
        for name in re.findall(r"\w+", match.group(1)):
            used = name.removesuffix("_lib")
            if used in MAY_USE and used != module and used not in MAY_USE[module]:
                yield text.count("\n", 0, match.start()) + 1, f"{module} may not link {used}"


def closure(module):
    """All that a module may use, by whatever way."""
    found = set(MAY_USE[module])
    for used in MAY_USE[module]:
        found |= closure(used)
    return found


def level(module):
    return 1 + max((level(used) for used in MAY_USE[module]), default=0)


def drawing():
    """The modules, highest first, and what each stands on: what it may use by no other way."""
    lines = []
    for module in sorted(MAY_USE, key=lambda m: (-level(m), m)):
        on = [used for used in MAY_USE[module]
              if not any(used in closure(other) for other in MAY_USE[module] if other != used)]
        arrow = "  ->  " + ", ".join(sorted(on, key=lambda m: (-level(m), m))) if on else ""
        lines.append(f"    {level(module)}  {module:<9}{arrow}".rstrip())
    return "\n".join(lines) + "\n"


def named_modules(said, module):
    """What a row of the table says: "wire, base", "dataplane and what it may use", "everything"."""
    if said == "libraries only":
        return set()
    if said == "everything":
        return set(MAY_USE) - {module}
    names, more, _ = said.partition(" and what ")
    told = set(names.split(", "))
    return told.union(*(closure(name) for name in told if name in MAY_USE)) if more else told


def check_architecture(text):
    """Where the map of the source says something else than the rules, as (line, text)."""
    if drawing() not in text:
        yield 1, "the drawing of the modules is another one than `rules.py draw` prints"
    rows = {}
    for number, line in enumerate(text.splitlines(), 1):
        row = re.fullmatch(r"\| `(\w+)` \| .* \| ([^|]+) \|", line)
        if row and row.group(1) in MAY_USE and row.group(1) not in rows:
            rows[row.group(1)] = (number, row.group(2).strip())
    for module, uses in MAY_USE.items():
        if module not in rows:
            yield 1, f"no row for the module {module}"
            continue
        number, said = rows[module]
        told = named_modules(said, module)
        if told != uses - {module}:
            yield number, f"{module} may use {said}; the rules say {', '.join(sorted(uses - {module})) or 'libraries only'}"


def check(files):
    """All violations in {path: text}, as sorted (path, line, text)."""
    found = []
    wrapped = {library: [] for library in ONE_FILE}
    for path, text in sorted(files.items()):
        if path == ARCHITECTURE:
            found += [(path, *v) for v in check_architecture(text)]
            continue
        if path.endswith("meson.build"):
            found += [(path, *v) for v in check_links(path, text)]
            continue
        found += [(path, *v) for v in check_source(path, text, files)]
        for number, line in enumerate(code_lines(text), 1):
            include = INCLUDE.match(line)
            for library, (home, pattern) in ONE_FILE.items():
                if include and module_of(path) == home and pattern.fullmatch(include.group(2)):
                    wrapped[library].append((path, number))
    for library, uses in wrapped.items():
        for path, number in uses:
            if path != uses[0][0]:
                found.append((path, number, f"{library} is already used in {uses[0][0]}"))
    return sorted(found)


def read_tree(root):
    files = {}
    for top in ("src", "include"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".h", ".cpp", ".c", ".hpp", ".cc") or path.name == "meson.build":
                files[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
    files[ARCHITECTURE] = (root / ARCHITECTURE).read_text(encoding="utf-8")
    return files


# Self-test: each case is one file beside the two of TREE, and the words that its violation must
# contain; None: there is none.
OPENING = "// What it owns.\n#pragma once\n"
TREE = {
    "include/limpet/base/units.h": OPENING,
    "include/limpet/wire/frame.h": OPENING,
    "include/limpet/dataplane/worker.h": OPENING,
    "include/limpet/port/port.h": OPENING,
    "src/config/tree.cpp": "#include <libconfig.h>\n",
    "src/wire/chain.h": OPENING,
}
CASES = [
    ("src/wire/a.cpp", '#include "limpet/wire/frame.h"\n#include "limpet/base/units.h"\n', None),
    ("src/wire/a.cpp", '#include "limpet/dataplane/worker.h"\n', "wire may not use dataplane"),
    ("src/balance/a.cpp", '#include "limpet/wire/frame.h"\n', "balance may not use wire"),
    ("src/base/a.cpp", '#include "limpet/wire/frame.h"\n', "base may not use wire"),
    ("src/control/a.cpp", '#include "limpet/port/port.h"\n', "control may not use port"),
    ("src/config/a.cpp", '  #  include "limpet/wire/frame.h"\n', "config may not use wire"),
    ("src/port/a.cpp", '#include "limpet/wire/frame.h"\n', None),
    ("src/apps/a.cpp", '#include "limpet/port/port.h"\n', None),
    ("include/limpet/tcp/a.h", OPENING + '#include "limpet/port/port.h"\n', "tcp may not use port"),
    ("src/wire/a.cpp", '// #include "limpet/port/port.h"\n', None),
    ("src/wire/a.cpp", '/*\n#include "limpet/port/port.h"\n*/\n', None),
    ("src/wire/a.cpp", '#include <limpet/wire/frame.h>\n', "with quotes"),
    ("src/wire/a.cpp", '#include "limpet/wire/none.h"\n', "no such public header"),
    ("src/wire/a.cpp", '#include "chain.h"\n', None),
    ("src/tcp/a.cpp", '#include "../wire/chain.h"\n', "private header"),
    ("src/tcp/a.cpp", '#include "chain.h"\n', "private header"),
    ("include/limpet/wire/a.h", OPENING + '#include "chain.h"\n', "includes no private one"),
    ("src/util/a.cpp", "", "in no module"),
    ("src/wire/a.cpp", "#include <rte_ether.h>\n", None),
    ("src/wire/a.cpp", "#include <rte_mbuf.h>\n", "EAL-free"),
    ("src/flow/a.cpp", "#include <rte_hash.h>\n", "EAL-free"),
    ("src/base/a.cpp", "#include <rte_ether.h>\n", "no DPDK header"),
    ("src/config/a.cpp", "#include <rte_ip.h>\n", "no DPDK header"),
    ("src/dataplane/a.cpp", "#include <rte_mbuf.h>\n#include <rte_ether.h>\n", None),
    ("src/dataplane/a.cpp", "#include <rte_ethdev.h>\n", "live in port"),
    ("src/control/a.cpp", "#include <rte_eal.h>\n", "live in port"),
    ("src/port/a.cpp", "#include <rte_ethdev.h>\n#include <rte_eal.h>\n", None),
    ("src/config/z.cpp", "#include <libconfig.h>\n", "already used in src/config/tree.cpp"),
    ("src/apps/a.cpp", "#include <libconfig.h>\n", "one file of config"),
    ("src/http/a.cpp", "#include <hs/hs.h>\n", None),
    ("src/affinity/a.cpp", "#include <hs.h>\n", "one file of http"),
    ("src/apps/a.cpp", "#include <curl/curl.h>\n", "one file of health"),
    ("src/affinity/a.cpp", "#include <openssl/evp.h>\n", None),
    ("src/control/a.cpp", "#include <openssl/evp.h>\n", "one file of affinity"),
    ("src/control/a.cpp", "#include <nlohmann/json_fwd.hpp>\n", "JSON is used in apps and console only"),
    ("src/console/a.cpp", "#include <nlohmann/json.hpp>\n", None),
    ("src/apps/a.cpp", "#include <nlohmann/json.hpp>\n", None),
    ("src/affinity/a.cpp", "#include <hiredis/hiredis.h>\n", "one file of control"),
    ("src/dataplane/a.cpp", "void f() { rte_eth_rx_burst(0, 0, b, 32); }\n", "live in port"),
    ("src/control/a.cpp", "int i = rte_eal_init(0, nullptr);\n", "live in port"),
    ("src/wire/a.cpp", "bool b = rte_is_zero_ether_addr(a); rte_ether_addr m;\n", None),
    ("src/tcp/a.cpp", "void f(rte_mbuf* m);\n", "no mbuf"),
    ("src/tcp/a.cpp", "// unlike an rte_mbuf\nauto s = \"rte_mbuf\"; int n = 1'000'000;\n", None),
    ("src/tcp/a.cpp", "auto t = 1'000 + '\"'; void f(rte_mbuf* m); // \"\n", "no mbuf"),
    ("src/dataplane/a.cpp", "auto t = rte_rdtsc();\n", "time is a parameter"),
    ("src/flow/a.cpp", "auto t = std::chrono::steady_clock::now();\n", "time is a parameter"),
    ("src/base/log.cpp", "clock_gettime(CLOCK_REALTIME, &t);\n", None),
    ("src/base/a.cpp", "clock_gettime(CLOCK_REALTIME, &t);\n", "time is a parameter"),
    ("src/control/a.cpp", "auto t = std::chrono::steady_clock::now();\n", None),
    ("src/affinity/a.cpp", "std::random_device d;\n", "are parameters"),
    ("src/wire/a.h", "#pragma once\n", "opens with a comment"),
    ("src/wire/a.h", "// What it owns.\n", "no #pragma once"),
    ("src/wire/a.h", "// What it owns.\n// #pragma once\n", "no #pragma once"),
    ("src/wire/a.cpp", "int i;\n" * 600, None),
    ("src/wire/a.cpp", "int i;\n" * 601, "split files"),
    ("src/flow/meson.build", "x = static_library('a', dependencies: [tcp, wire, base])\n", None),
    ("src/flow/meson.build", "\nx = declare_dependency(dependencies: [base,\n  balance])\n",
     "flow may not link balance"),
    ("src/wire/meson.build", "x = declare_dependency(dependencies: tcp)\n", "wire may not link tcp"),
]


def example_architecture():
    """A map that agrees with the rules."""
    rows = "".join(f"| `{m}` | something | {', '.join(sorted(MAY_USE[m])) or 'libraries only'} |\n" for m in MAY_USE)
    return "## 1. Modules\n\n" + rows + "\n" + drawing()


def architecture_cases():
    good = example_architecture()
    return [
        (ARCHITECTURE, good, None),
        (ARCHITECTURE, good.replace("| balance, base |", "| balance and what it may use |"), None),
        (ARCHITECTURE, good.replace("| balance, base |", "| balance, http, base |", 1), "affinity may use balance, http, base"),
        (ARCHITECTURE, good.replace("tcp        ->  wire", "tcp        ->  base"), "the drawing of the modules"),
        (ARCHITECTURE, good.replace("| `flow` |", "| `fluw` |"), "no row for the module flow"),
    ]


def self_test():
    failed = 0
    cases = CASES + architecture_cases()
    for path, text, expected in cases:
        found = check({**TREE, path: text})
        good = not found if expected is None else (
            len(found) == 1 and found[0][0] == path and expected in found[0][2])
        if not good:
            failed += 1
            print(f"{path}: {text[:80]!r}: expected {expected!r}, found {found}")
    print(f"{len(cases)} cases, {failed} failed")
    return 1 if failed else 0


def main(arguments):
    if arguments == ["draw"]:
        print(drawing(), end="")
        return 0
    if arguments == ["self-test"]:
        return self_test()
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    files = read_tree(pathlib.Path(arguments[0]))
    if not files:
        print(f"{arguments[0]}: no sources", file=sys.stderr)
        return 2
    found = check(files)
    for path, line, text in found:
        print(f"{path}:{line}: {text}")
    print(f"{len(files)} files, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
