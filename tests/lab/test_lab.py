"""The lab itself, and quickstart: what is started twice, broken off, or kept."""
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

from lab import REPO, SCRIPTS, VIPS, cases, out


def namespaces(name):
    return sorted(n for n in re.findall(r"^(\S+)", out("ip", "netns", "list"), re.M)
                  if n.startswith(f"limpet-{name}-"))


@cases()
def test_up_twice_changes_nothing_and_other_parameters_build_anew(lab):
    pid = lab.limpet_pid()
    again = lab.script("up.sh", "--workers", 1, "--backends", 4, "--no-limpet")
    assert "already up" in again.stdout and lab.limpet_pid() == pid
    lab.script("up.sh", "--workers", 1, "--backends", 3)
    assert lab.limpet_pid() != pid
    assert {b["name"] for b in lab.show("backends")} == {"s0", "s1", "s2"}
    home = lab.clients("http", "--connections", 2, "--gap", 0.02).home()
    assert set(home.values()) == {"s0", "s1", "s2"}


@cases(start=False)
def test_a_lab_that_is_broken_off_leaves_nothing_or_is_built_over(lab):
    name = f"{lab.name}x"
    up = [str(SCRIPTS / "up.sh"), name, "--no-limpet"]
    try:
        broken = 0
        state = pathlib.Path("/run/limpet-lab") / name
        for how, there in ((signal.SIGINT, lambda: namespaces(name)),
                           (signal.SIGTERM, lambda: len(namespaces(name)) == 4),
                           (signal.SIGTERM, (state / "certificate.pem").exists),
                           (signal.SIGKILL, (state / "s0" / "nginx.conf").exists),
                           (signal.SIGKILL, (state / "s0" / "nginx.pid").exists)):
            process = subprocess.Popen(up, start_new_session=True, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            while not there() and process.poll() is None:
                time.sleep(0.005)
            os.killpg(process.pid, how)
            text = process.communicate(timeout=60)[0]
            if process.returncode == 0:  # the last step may be quicker than we are
                continue
            broken += 1
            if how != signal.SIGKILL:
                assert not namespaces(name), (how, text, namespaces(name))
        assert broken >= 4, broken
        done = subprocess.run(up, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(namespaces(name)) == 4, namespaces(name)
        answer = out("ip", "netns", "exec", f"limpet-{name}-lb", "curl", "-sS", "--max-time", "5", "http://10.2.0.10/")
        assert answer == "s0\n", answer
    finally:
        done = subprocess.run([str(SCRIPTS / "down.sh"), name], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not namespaces(name) and not os.path.exists(f"/run/limpet-lab/{name}")


@cases(start=False)
def test_quickstart_keeps_its_lab_and_what_it_prints_works(lab):
    name = f"{lab.name}q"
    env = {**os.environ, "LIMPET_LAB": name, "LIMPET_BUILD": str(lab.build)}
    try:
        done = subprocess.run([str(REPO / "scripts/quickstart.sh"), "--keep"], cwd="/", env=env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=590, check=False)
        assert done.returncode == 0, done.stdout[-3000:]
        assert len(namespaces(name)) == 4
        tries = [line.split("  #")[0].strip().removeprefix("sudo ")
                 for line in done.stdout[done.stdout.index("The lab is still up"):].splitlines()
                 if line.startswith("  sudo ") and "$EDITOR" not in line]
        assert len(tries) == 9 and "down.sh" in tries[-1], tries
        for command in tries:
            ran = subprocess.run(shlex.split(command), cwd=REPO, env=env, stdin=subprocess.DEVNULL, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, check=False)
            assert ran.returncode == 0, (command, ran.stdout)
            if "explain" in command:
                assert "value of a request header" in ran.stdout, ran.stdout
            elif "X-User-ID" in command:
                assert re.search(r"(?m)^Set-Cookie: SRV=[\w-]{23}; path=/; HttpOnly$", ran.stdout), ran.stdout
            elif "curl" in command:
                assert re.fullmatch(r"s[0-3]\n", ran.stdout), (command, ran.stdout)
        assert not namespaces(name)
    finally:
        subprocess.run([str(SCRIPTS / "down.sh"), name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60, check=False)


@cases(start=False)
def test_two_labs_side_by_side(lab):
    name = f"{lab.name}y"
    try:
        subprocess.run([str(SCRIPTS / "up.sh"), name, "--backends", "2"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=90, check=True)
        lab.start_limpet()
        mine = lab.clients("http", "--connections", 2, "--gap", 0.02).home()
        theirs = {out("ip", "netns", "exec", f"limpet-{name}-client", "curl", "-sS", "--max-time", "5",
                      "--interface", f"10.1.0.{i}", f"http://{VIPS[4]}/").strip() for i in range(1, 17)}
        assert set(mine.values()) == {"s0", "s1", "s2", "s3"} and theirs == {"s0", "s1"}, theirs
    finally:
        subprocess.run([str(SCRIPTS / "down.sh"), name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       timeout=60, check=True)
    assert lab.clients("http", "--connections", 1).home() == mine, "another lab's end is no business of ours"
