"""What `meson install` puts where, tried in a directory of its own: install.py BUILD SOURCE."""
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

BUILD, SOURCE = map(pathlib.Path, sys.argv[1:3])


def run(*command, **kw):
    return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **kw)


def install(into):
    done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", into)
    assert done.returncode == 0, done.stdout


def only(root, name):
    found = [p for p in root.rglob(name)]
    assert len(found) == 1, (name, found)
    return found[0]


def complete(script, line):
    words = line.split(" ")
    code = (f"source {script}; COMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)}); "
            f"COMP_CWORD={len(words) - 1}; _limpetctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = run("bash", "-c", code)
    assert done.returncode == 0, done.stdout
    return done.stdout.split()


with tempfile.TemporaryDirectory() as directory:
    root = pathlib.Path(directory)
    install(root)
    binaries = {p.name: p for p in root.rglob("bin/*")}
    assert set(binaries) == {"limpet", "limpetctl"}, binaries
    etc = root / "etc/limpet"
    assert stat.S_IMODE(etc.stat().st_mode) == 0o750, oct(etc.stat().st_mode)
    example = etc / "limpet.cfg.example"
    assert example.read_bytes() == (SOURCE / "config/limpet.cfg").read_bytes()
    assert os.listdir(etc) == ["limpet.cfg.example"]
    # A second installation leaves a user's files alone.
    (etc / "limpet.cfg").write_text("mine")
    install(root)
    assert (etc / "limpet.cfg").read_text() == "mine"

    for page in ("limpet.8", "limpetctl.8", "limpet.cfg.5"):
        path = only(root, page)
        if shutil.which("man") and shutil.which("groff"):
            done = run("man", "--warnings", "-l", path, env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "90",
                                                             "LC_ALL": "C.UTF-8"})
            assert done.returncode == 0 and ": warning" not in done.stdout, done.stdout[-1000:]
            assert "NAME" in done.stdout, done.stdout[:300]

    unit = only(root, "limpet.service")
    text = unit.read_text()
    assert "@bindir@" not in text
    for line in text.splitlines():
        if line.startswith("Exec"):
            program = line.split("=", 1)[1].split()[0]
            assert (root / program.lstrip("/")).is_file(), line
    if shutil.which("systemd-analyze"):
        # The programs are not where the unit says while they are in a directory of the test.
        checked = root / "limpet-test.service"
        checked.write_text(text.replace("/usr/local/bin/", f"{binaries['limpet'].parent}/"))
        done = run("systemd-analyze", "verify", "--man=no", checked)
        ours = [l for l in done.stdout.splitlines() if "limpet-test" in l]
        assert not ours, ours

    script = next(root.rglob("completions/limpetctl"))
    assert complete(script, "limpetctl sh") == ["show"]
    assert complete(script, "limpetctl show se") == ["services", "sessions"]
    assert complete(script, "limpetctl --file-prefix blue clear ") == ["sessions"]
    assert complete(script, "limpetctl backend web/s0 d") == ["drain", "down"]
    assert complete(script, "limpetctl keys r") == ["rotate", "retire"]
    help_text = run(binaries["limpetctl"], "--help").stdout
    for word in complete(script, "limpetctl "):
        assert word in help_text, f"{word} is completed and unknown"
    assert run(binaries["limpet"], "--check", example).returncode == 0
