"""One client cannot shut a service down: five ways to fill limpet's memory at 10 Mbit/s, from one address
and from 64, while honest clients go on; then the attacker falls silent and every pool empties.

squat.cpp is the attacker: raw frames from addresses that the clients' kernel does not have.
"""
import contextlib
import json
import subprocess

import labconfig
from lab import REPO, Skip, VIPS, cases, eventually
from test_cookie import INSERT, configure

MBIT = 10
SHORT, LONG = 10, 60  # seconds
SILENT = 15
OURS, THEIRS = "02:00:0a:01:00:01", "02:00:0a:01:00:fe"
FIRST = "10.1.0.128"  # and the 63 behind it: nobody has them
NAT_PORT = 85


def squat(lab, port, seconds, sources, what):
    program = lab.state / "squat"
    if not program.exists():
        built = subprocess.run(["g++", "-O2", "-std=c++20", "-o", program, REPO / "tests/lab/squat.cpp"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode:
            raise Skip(f"cannot build squat.cpp: {built.stdout[-500:]}")
    return lab.popen("client", program, "c0", OURS, THEIRS, VIPS[4], port, seconds, MBIT, FIRST, sources, what,
                     stdout=subprocess.PIPE, text=True)


def pools(lab):
    """name -> the fullest worker's share"""
    full = {}
    for worker in lab.show("workers"):
        for name, pool in worker["pools"].items():
            if pool["limit"]:
                full[name] = max(full.get(name, 0), pool["used"] / pool["limit"])
    return full


def start(lab):
    """Mode splice with edits at port 80; at another port mode nat, whose backends have 500 source ports each."""
    model = lab.model()
    template = labconfig.pool(model, "web4")
    model["pools"].append(dict(template, name="few", source_ports=[2000, 2499]))
    model["services"].append({"name": "few", "vip": VIPS[4], "port": NAT_PORT, "protocol": "tcp", "mode": "nat",
                              "pool": "few", "persistence": [{"type": "source", "prefix4": 32}]})
    configure(lab, INSERT, model=model, forwarded="x-forwarded-for")


def strike(lab, what, sources, seconds, port):
    """What honest clients meet meanwhile: a line for the notes, requests, failures, p99 in seconds."""
    flood = squat(lab, port, seconds, sources, what)
    honest = lab.load("http", "--clients", 16, "--duration", seconds - 2, "--gap", 0.1, "--timeout", 5,
                      families=(4,), port=port)
    said = json.loads(flood.communicate()[0])
    records = honest.wait()
    failed = len(records.errors())
    times = sorted(r.end - r.start for r in records.only(lambda r: not r.error))
    p99 = times[int(len(times) * 0.99)] if times else float("inf")
    line = (f"{what} from {sources}: {said['syns']} SYNs, {len(records)} requests, {failed} failed, "
            f"p99 {p99 * 1000:.0f} ms")
    return line, records, failed, p99


def attack(lab, what, sources, seconds, port=80):
    line, records, failed, p99 = strike(lab, what, sources, seconds, port)
    full = ", ".join(f"{n} {v:.0%}" for n, v in pools(lab).items() if v > 0.05)
    lab.notes.append(f"{line}, {full}")
    assert len(records) >= 16, len(records)
    assert failed <= 0.01 * len(records), (what, sources, failed, len(records), records.errors()[:3])
    assert p99 <= 1.0, (what, sources, p99)

    def below_a_quarter():
        full = {n: f"{v:.0%}" for n, v in pools(lab).items() if v >= 0.25}
        assert not full, f"{what} from {sources}: {full}"
        return True
    eventually(below_a_quarter, SILENT + 1.5)  # gauges are a second old


def all_of_them(lab, seconds, sources):
    start(lab)
    for what in ("octet", "pipeline", "queue"):
        attack(lab, what, sources, seconds)
    attack(lab, "idle", sources, seconds, port=NAT_PORT)
    # Invented addresses of the clients' own network, at the service in mode nat.
    attack(lab, "invent", 64, seconds, port=NAT_PORT)


@cases(start=False, alone=True)
def test_honest_clients_are_served_while_64_addresses_attack(lab):
    all_of_them(lab, SHORT, 64)


@cases(start=False, full=True, alone=True)
def test_honest_clients_are_served_while_one_address_attacks(lab):
    all_of_them(lab, SHORT, 1)


@cases(start=False, full=True, alone=True)
def test_honest_clients_are_served_for_a_minute_of_each_attack(lab):
    for sources in (1, 64):
        all_of_them(lab, LONG, sources)


HAPROXY = """
global
  maxconn 8000
defaults
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout http-request 10s
  timeout http-keep-alive 10s
  balance source
  option redispatch
listen web
  mode http
  bind {vip}:80
  option forwardfor
  cookie SRV insert indirect nocache
{http}
listen few
  mode tcp
  bind {vip}:{port}
{tcp}
"""


@contextlib.contextmanager
def haproxy_in_its_place(lab):
    """On the kernel's stack between the same wires, with as many source ports."""
    servers = [(f"s{n}", labconfig.backend_address(n, 4)) for n in range(lab.backends)]
    text = HAPROXY.format(
        vip=VIPS[4], port=NAT_PORT,
        http="\n".join(f"  server {name} {address}:80 cookie {name}" for name, address in servers),
        tcp="\n".join(f"  server {name} {address}:80 source 10.2.0.254:2000-2499" for name, address in servers))
    (lab.state / "haproxy.cfg").write_text(text)
    lab.run("lb", "ip", "address", "add", f"{VIPS[4]}/24", "dev", "l0")
    lab.run("lb", "ip", "address", "add", "10.2.0.254/24", "dev", "l1")
    haproxy = lab.popen("lb", "haproxy", "-db", "-f", lab.state / "haproxy.cfg",
                        stderr=open(lab.state / "haproxy.log", "w"))
    try:
        eventually(lambda: haproxy.poll() is not None or
                   lab.run("lb", "ss", "-Hlnt", "src", f"{VIPS[4]}:80").stdout, 10)
        assert haproxy.poll() is None, (lab.state / "haproxy.log").read_text()[-1000:]
        yield
    finally:
        haproxy.kill()
        haproxy.wait()
        lab.run("lb", "ip", "address", "del", "10.2.0.254/24", "dev", "l1")
        lab.run("lb", "ip", "address", "del", f"{VIPS[4]}/24", "dev", "l0")


@cases(start=False, full=True, alone=True)
def test_haproxy_beside_it(lab):
    """The same attacks on HAProxy: the other half of the table, and no promise of ours."""
    with haproxy_in_its_place(lab):
        for sources in (1, 64):
            for what in ("octet", "pipeline", "queue", "idle"):
                line, *_ = strike(lab, what, sources, SHORT, NAT_PORT if what == "idle" else 80)
                lab.notes.append(line)
    start(lab)  # and limpet again: what holds after every test is looked at


@cases(start=False)
def test_one_address_with_nearly_all_connections_is_refused_nothing(lab):
    """A proxy in front: nine of ten connections are its, and nobody attacks."""
    start(lab)
    proxy = lab.load("http", "--source", "10.1.0.9", "--parallel", 36, "--connections", 20, "--requests", 5,
                     families=(4,))
    others = lab.load("http", "--clients", 4, "--connections", 20, "--requests", 5, families=(4,))
    for records in (proxy.wait(), others.wait()):
        assert records and not records.errors(), records.errors()[:3]
    for worker in lab.show("workers"):
        gave = {n: p["gave_way"] for n, p in worker["pools"].items() if p.get("gave_way")}
        assert not gave, gave
