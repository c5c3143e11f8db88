#!/usr/bin/env python3
"""Installs into a temporary directory and checks what is there: install.py BUILD SOURCE BINDIR PREFIX

Files and modes; that a limpet.cfg stays as it is; the unit by systemd-analyze, the manual pages by man and mandoc, each
where it is there; completion in a real bash; that limpet.cfg(5) has every setting of config/limpet.cfg.
"""
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

BUILD, SOURCE, BINDIR, PREFIX = sys.argv[1:]
problems = []


def run(*command, **options):
    return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False, **options)


def expect(good, text):
    if not good:
        problems.append(text)


def installed(root):
    return {str(path)[len(str(root)):] for path in root.rglob("*") if path.is_file()}


def check_files(root):
    share = PREFIX + "/share"
    expected = {f"{BINDIR}/limpet", f"{BINDIR}/limpetctl", f"{PREFIX}/lib/systemd/system/limpet.service",
                "/etc/limpet/limpet.cfg.example", f"{share}/bash-completion/completions/limpet",
                f"{share}/bash-completion/completions/limpetctl"}
    expected |= {f"{share}/doc/limpet/examples/{name}"
                 for name in ("one-arm.cfg", "two-arm.cfg", "nic.cfg", "cookie.cfg", "grafana.json")}
    found = installed(root)
    missing, further = expected - found, found - expected
    manuals = {path for path in further if re.search(r"/man[58]/(limpet|limpetctl)(\.cfg)?\.[58]$", path)}
    expect(not missing, f"not installed: {sorted(missing)}")
    expect(len(manuals) == 3 and further == manuals, f"installed besides: {sorted(further)}")
    for path in found:
        mode = stat.S_IMODE((root / path[1:]).stat().st_mode)
        expect(mode == (0o755 if path.startswith(BINDIR + "/") else 0o644), f"{path} has mode {mode:o}")
    mode = stat.S_IMODE((root / "etc/limpet").stat().st_mode)
    expect(mode == 0o750, f"/etc/limpet has mode {mode:o}")
    done = run(f"{root}{BINDIR}/limpet", "--check", root / "none/limpet.cfg")
    expect(done.returncode == 2 and f"mkdir -m 750 {root}/none\n" in done.stderr,
           f"without a directory limpet does not say how to make one: {done.stderr}")
    done = run(f"{root}{BINDIR}/limpet", "--check", root / "etc/limpet/limpet.cfg.example")
    expect(done.returncode == 0, f"the example is refused: {done.stderr}")


def check_unit(root):
    unit = root / PREFIX[1:] / "lib/systemd/system/limpet.service"
    text = unit.read_text()
    expect("@" not in re.sub(r"(?m)^#.*|@system-service", "", text), "the unit has a word that meson has not replaced")
    for line in (f"ExecStartPre={BINDIR}/limpet --check /etc/limpet/limpet.cfg\n", "Restart=on-failure\n", "ExecReload="):
        expect(line in text, f"the unit lacks {line!r}")
    if not shutil.which("systemd-analyze"):
        return
    unit.write_text(text.replace(f"={BINDIR}/", f"={root}{BINDIR}/"))  # it looks for the programs
    done = run("systemd-analyze", "verify", "--man=no", unit)
    expect(done.returncode == 0 and not done.stdout + done.stderr, f"systemd-analyze verify: {done.stdout}{done.stderr}")
    unit.write_text(text)


def check_manuals(root):
    for path in root.rglob("man[58]/*"):
        if shutil.which("man"):
            done = run("man", "--warnings", "-l", path, env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat"})
            expect(done.returncode == 0 and not done.stderr, f"man --warnings {path.name}: {done.stderr}")
        if shutil.which("mandoc"):
            done = run("mandoc", "-Tlint", "-Wwarning", path)
            expect(done.returncode == 0, f"mandoc {path.name}: {done.stdout}")


def check_settings(root):
    """What stands in front of '=' in config/limpet.cfg, outside of comments and strings."""
    text = (pathlib.Path(SOURCE) / "config/limpet.cfg").read_text()
    text = re.sub(r'"(?:\\.|[^"\\\n])*"|//[^\n]*', '""', text.replace("// verify", "verify"))
    manual = next(root.rglob("limpet.cfg.5")).read_text()
    for name in sorted(set(re.findall(r"\b([a-z_0-9]+)\s*=", text))):
        expect(re.search(rf"(?m)^\.(It )?Ic\b.*(?<![\w]){name}(?![\w])|^\.Ic {name}\b", manual),
               f"limpet.cfg(5) has no setting {name}")


def completed(root, program, line):
    """What bash offers for `line`, whose last word is the one to be completed."""
    words = line.split(" ")
    script = f"""
      PATH={BINDIR if not root else f'{root}{BINDIR}'}:$PATH
      . {root}{PREFIX}/share/bash-completion/completions/{program} || exit
      COMP_WORDS=({' '.join(repr(w) for w in words)}) COMP_CWORD={len(words) - 1} COMP_LINE={line!r}
      read -r _ _ function _ <<< "$(complete -p {program})"
      "$function" && printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = run("bash", "--norc", "-c", script)
    expect(done.returncode == 0 and not done.stderr, f"completion of {line!r}: {done.stderr}")
    return set(done.stdout.split())


def check_completion(root):
    for program, line, expected in (
            ("limpetctl", "limpetctl sh", {"show"}),
            ("limpetctl", "limpetctl --file-prefix x show back", {"backends"}),
            ("limpetctl", "limpetctl show services --js", {"--json"}),
            ("limpetctl", "limpetctl backend web/s0 d", {"down", "drain"}),
            ("limpetctl", "limpetctl keys r", {"rotate", "retire"}),
            ("limpetctl", "limpetctl log-level w", {"warning"}),
            ("limpetctl", "limpetctl --file-prefix nobody-has-this backend ", set()),
            ("limpet", "limpet --ch", {"--check"}),
            ("limpet", "limpet --log-level i", {"info"}),
            ("limpet", f"limpet --check {root}/etc/limpet/l", {f"{root}/etc/limpet/limpet.cfg.example",
                                                               f"{root}/etc/limpet/limpet.cfg"})):
        found = completed(root, program, line)
        expect(found == expected, f"{line!r} is completed to {sorted(found)}, expected {sorted(expected)}")


def main():
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        mine = root / "etc/limpet/limpet.cfg"

        def install():
            done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root)
            expect(done.returncode == 0, f"meson install: {done.stdout}{done.stderr}")
            return done.returncode == 0

        if install():
            check_files(root)
            mine.write_text("# mine\n")
            expect(install() and mine.read_text() == "# mine\n", "an operator's limpet.cfg was changed")
            for check in (check_unit, check_manuals, check_settings, check_completion):
                check(root)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
