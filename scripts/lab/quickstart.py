"""What scripts/quickstart.sh shows in its lab: every client sticks by its address, every browser by its cookie,
every user by a header; a backend dies under load, its clients move and come back. Prints tables; exit status 1 if
anything went otherwise."""
import collections
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import labconfig
from labconfig import VIP4, VIP6, client_addresses

HERE = pathlib.Path(__file__).resolve().parent
VICTIM = "s2"
NAME = sys.argv[1]
BUILD = os.path.join(HERE.parents[1], os.environ.get("LIMPET_BUILD", "build"))
CTL = [os.path.join(BUILD, "src/apps/limpetctl"), "--file-prefix", f"limpet-{NAME}"]
STATE = pathlib.Path("/run/limpet-lab") / NAME
SHOP = f"http://{VIP4}:8080/"
BROWSERS, TABS = 12, 6
CLIENTS = client_addresses(4) + client_addresses(6)
problems = []


def output(*command):
    return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True, check=True).stdout


def in_client(*command):
    return ["ip", "netns", "exec", f"limpet-{NAME}-client", *map(str, command)]


def step(number, text):
    print(f"\n[{number}/7] {text}", flush=True)


def curl(client):
    """Three connections of one client: the names that answered."""
    url = f"http://[{VIP6}]/" if ":" in client else f"http://{VIP4}/"
    command = in_client("curl", "-sS", "--max-time", 5, "--interface", client, "-H", "Connection: close", url, url, url)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return client, done.stdout.split(), done.stderr.strip()


def ranges(clients):
    """10.1.0.1-3,7: client numbers of both families, short."""
    parts = []
    for family, prefix in ((4, "10.1.0."), (6, "fd00:1::")):
        numbers = [i for i, c in enumerate(client_addresses(family), 1) if c in clients]
        runs = []
        for n in numbers:
            if runs and runs[-1][1] == n - 1:
                runs[-1][1] = n
            else:
                runs.append([n, n])
        name = (lambda n: f"{n:x}") if family == 6 else str
        if runs:
            parts.append(prefix + ",".join(name(a) if a == b else f"{name(a)}-{name(b)}" for a, b in runs))
    return parts


def table(title, header, rows):
    print(f"\n  {title}")
    widths = [max(len(str(r[i])) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  " + "  ".join(str(v).ljust(w) for v, w in zip(row, widths)).rstrip())
    sys.stdout.flush()


def who_went_where():
    step(4, "every client asks three times with curl, over IPv4 and IPv6")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(curl, CLIENTS))
    for client, names, error in answers:
        if error or len(names) != 3:
            problems.append(f"{client}: {error or 'no answer'}")
    backends = sorted({n for _, names, _ in answers for n in names})
    entries = {b["name"]: b["maglev_entries"] for b in json.loads(output(*CTL, "show", "backends", "--json"))["backends"]
               if b["pool"] == "web4"}
    rows = []
    for backend in backends:
        mine = [(c, names) for c, names, _ in answers if backend in names]
        loyal = sum(set(names) == {backend} for _, names in mine)
        rows.append((backend, sum(":" not in c for c, _ in mine), sum(":" in c for c, _ in mine),
                     f"{100 * entries.get(backend, 0) / max(1, sum(entries.values())):.1f} %",
                     f"{100 * len(mine) / len(CLIENTS):.1f} %", sum(names.count(backend) for _, names in mine),
                     "yes" if loyal == len(mine) else f"NO, {len(mine) - loyal} do not"))
    table("who answered", ("backend", "IPv4 clients", "IPv6 clients", "weight", "share", "requests", "every client sticks"), rows)
    for client, names, _ in answers:
        if len(set(names)) > 1:
            problems.append(f"{client} reached {', '.join(sorted(set(names)))}")
    return {c: names[0] for c, names, _ in answers if names}


def open_shop():
    """A service that reads requests, beside those that are there, by a reload."""
    model = labconfig.standard(NAME)
    model["cookie_keys"] = {"file": str(STATE / "cookie.keys")}
    model["services"].append({
        "name": "shop", "vip": VIP4, "port": 8080, "protocol": "tcp", "mode": "splice", "pool": "web4",
        "persistence": [{"type": "cookie", "name": "SRV"}, {"type": "header", "name": "X-User-ID"},
                        {"type": "source", "prefix4": 32}],
        "table": {"size": 10000}})
    (STATE / "limpet.cfg").write_text(labconfig.render(model))
    output(*CTL, "reload")


def visit(jar, client, *more, times=1):
    """Names that answered a browser with this jar of cookies, on so many connections at once."""
    command = in_client("curl", "-sS", "--max-time", 5, "--interface", client, "-H", "Connection: close", "-b", jar,
                        "-c", jar, *more, *(("--parallel", "--parallel-immediate") if times > 1 else ()), *[SHOP] * times)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        problems.append(f"{client} at the shop: {done.stderr.strip()}")
    return done.stdout.split()


def reasons():
    [shop] = [s for s in json.loads(output(*CTL, "show", "services", "--json"))["services"] if s["name"] == "shop"]
    return collections.Counter(shop["reasons"])


def because(before):
    """What has chosen backends since."""
    return ", ".join(f"{reason} {n}" for reason, n in sorted((reasons() - before).items()))


def sessions(directory):
    """Browsers behind two addresses, each with a jar of its own, and users named by a header."""
    step(5, "a service that reads requests is added by a reload: cookies and headers")
    open_shop()
    addresses = client_addresses(4)
    home, rows = {}, []
    before = reasons()
    for i in range(BROWSERS):
        jar = os.path.join(directory, f"jar{i}")
        open(jar, "w").close()
        home[i] = visit(jar, addresses[i])[0:1]
    first = because(before)
    before = reasons()
    for i in range(BROWSERS):
        there = visit(os.path.join(directory, f"jar{i}"), addresses[-1], times=TABS)
        if len(there) != TABS or set(there) != set(home[i]):
            problems.append(f"browser {i} was at {home[i]} and then at {sorted(set(there))}")
    later = because(before)
    rows.append((f"{BROWSERS} browsers, first visit, an address each", len({n for [n] in home.values()}), first))
    rows.append((f"the same, {TABS} connections at once, all from {addresses[-1]}", "each at its own", later))
    before = reasons()
    users = {}
    for user in range(BROWSERS):
        names = [n for client in addresses[20:23]
                 for n in visit(os.devnull, client, "-H", f"X-User-ID: user{user}")]
        users[user] = set(names)
        if len(names) != 3 or len(users[user]) != 1:
            problems.append(f"user{user} was at {names}")
    rows.append((f"{BROWSERS} users by X-User-ID, from three addresses", "each at one", because(before)))
    table("who chose", ("clients", "backends", "reasons"), rows)
    client = addresses[7]
    print(f"\n  limpetctl explain shop --from {client} -H 'X-User-ID: user1'")
    print("  " + output(*CTL, "explain", "shop", "--from", client, "-H", "X-User-ID: user1").strip())
    return {i: names[0] for i, names in home.items() if names}


def sessions_move(directory, home):
    """Who was at the one that is gone."""
    before = reasons()
    rows = []
    for i in sorted(home):
        jar = os.path.join(directory, f"jar{i}")
        now = visit(jar, client_addresses(4)[30], times=2)
        moved = home[i] == VICTIM
        if len(set(now)) != 1 or (set(now) == {home[i]}) == moved:
            problems.append(f"browser {i} of {home[i]} went to {now} while {VICTIM} was down")
        elif moved:
            rows.append((f"browser {i}", home[i], now[0]))
            home[i] = now[0]
    table(f"browsers of {VICTIM} get a new cookie with the same answer; all others stay: {because(before)}",
          ("browser", "was at", "is at"), rows or [("none", "", "")])


def wait_for(state, seconds):
    """Until every pool sees the victim so; the moment it was seen."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        states = {b["state"] for b in json.loads(output(*CTL, "show", "backends", "--json"))["backends"]
                  if b["name"] == VICTIM}
        if states == {state}:
            return time.monotonic()
        time.sleep(0.05)
    problems.append(f"{VICTIM} was not {state} within {seconds} s")
    return time.monotonic()


def phase(records, start, end):
    """client -> set of backends, and the number of failed requests, of requests inside that time"""
    seen, failed = collections.defaultdict(set), collections.Counter()
    for begun, ended, client, _, _, backend, error in records:
        if begun >= start and ended <= end:
            if error:
                failed[client] += 1
            else:
                seen[client].add(backend)
    return seen, failed


def one_dies(home, directory, browsers):
    owners = {c for c, b in home.items() if b == VICTIM}
    step(6, f"all clients keep asking (new connections); {VICTIM} is killed while they do")
    path = os.path.join(directory, "records")
    load = subprocess.Popen(in_client(sys.executable, HERE / "client.py", "http", "--target", f"{VIP4}:80", "--target",
                                      f"[{VIP6}]:80", "--duration", 120, "--gap", 0.1, "--out", path))
    time.sleep(3)
    killed = time.monotonic()
    output(HERE / "backend.sh", NAME, "kill", VICTIM)
    down = wait_for("down", 10)
    print(f"  {VICTIM} taken out {down - killed:.1f} s after it died (3 failed checks, one a second)", flush=True)
    sessions_move(directory, browsers)
    time.sleep(3)
    step(7, f"{VICTIM} comes back")
    started = time.monotonic()
    output(HERE / "backend.sh", NAME, "start", VICTIM)
    up = wait_for("up", 10)
    print(f"  {VICTIM} in service again {up - started:.1f} s after its start (2 good checks)", flush=True)
    time.sleep(3)
    load.send_signal(signal.SIGTERM)
    load.wait(30)
    with open(path) as lines:
        records = [json.loads(line) for line in lines]

    phases = (("before", 0.0, killed), ("until noticed", killed, down), (f"without {VICTIM}", down + 0.2, started),
              ("it is back", up + 0.2, float("inf")))
    rows, seen = [], {}
    for title, start, end in phases:
        seen[title], failed = phase(records, start, end)
        moved = {c for c, b in seen[title].items() if b != {home.get(c)}}
        others = failed.keys() - owners
        requests = sum(1 for r in records if r[0] >= start and r[1] <= end)
        rows.append((title, requests, sum(failed.values()), len(others), len(moved & owners), len(moved - owners)))
        if others:
            problems.append(f"{title}: requests of {len(others)} clients of live backends failed")
        if moved - owners:
            problems.append(f"{title}: {len(moved - owners)} clients of live backends moved")
        if failed and title != "until noticed":
            problems.append(f"{title}: {sum(failed.values())} requests failed")
        if moved and title in ("before", "it is back"):
            problems.append(f"{title}: {len(moved)} clients were not with their backend")
    without = seen[f"without {VICTIM}"]
    for client in CLIENTS:
        if len(without.get(client, ())) != 1 or VICTIM in without[client]:
            problems.append(f"{client} reached {without.get(client)} while {VICTIM} was down")
    table(f"what clients saw ({len(owners)} of {len(CLIENTS)} belong to {VICTIM})",
          ("phase", "requests", "failed", "clients of others hit", f"of {VICTIM}'s clients elsewhere",
           "of all others elsewhere"), rows)

    back = seen["it is back"]
    rows = []
    for backend in sorted(set(home.values())):
        own = {c for c in home if home[c] == backend}
        gained = {c for c, b in without.items() if b == {backend}} - own
        returned = sum(back.get(c) == {backend} for c in own)
        lines = ranges(own)
        rows.append((backend, len(own), f"+{len(gained)}" if backend != VICTIM else "gone", f"{returned} of {len(own)}",
                     lines[0] if lines else ""))
        rows += [("", "", "", "", line) for line in lines[1:]]
    table("who went where", ("backend", "own clients", f"while {VICTIM} was down", "own at the end", "its clients"), rows)


def show():
    for pool in ("web4", "web6"):
        print(f"\n  limpetctl show backends {pool}")
        for line in output(*CTL, "show", "backends", pool).splitlines():
            print("  " + line)
    drops = collections.Counter()
    for d in json.loads(output(*CTL, "show", "drops", "--json"))["drops"]:
        drops[d["reason"]] += d["packets"]
    print("\n  packets dropped, by reason: " + (", ".join(f"{r} {n}" for r, n in drops.items() if n) or "none"))
    if drops["own_source_mac"]:
        print("  (own_source_mac: the kernel's health checks on their way out of limpet's own interface)")


def main():
    home = who_went_where()
    if len(home) < len(CLIENTS):
        problems.append(f"{len(CLIENTS) - len(home)} clients got no answer")
    else:
        with tempfile.TemporaryDirectory() as directory:
            one_dies(home, directory, sessions(directory))
    show()
    print()
    for problem in problems[:20]:
        print(f"  PROBLEM: {problem}")
    print("  " + ("every client stuck to its backend" if not problems else f"{len(problems)} problems"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
