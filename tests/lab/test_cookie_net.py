"""Cookies on bad wires, between kernels without TCP options, with other MTUs, and under a flood of SYNs."""
import json
import subprocess
import time

from lab import REPO, VIPS, Skip, cases, eventually
from test_bulk import download, lossy, sha256, upload
from test_cookie import INSERT, Jar, configure

OPTIONS = ("tcp_timestamps", "tcp_sack", "tcp_window_scaling")


def edited(lab):
    """Both streams of every connection are edited: a cookie comes, X-Forwarded-For goes."""
    configure(lab, INSERT, forwarded="x-forwarded-for")


@cases(start=False)
def test_5_megabytes_each_way_at_5_percent_loss_bbr(lab):
    edited(lab)
    lossy(lab, "bbr", 50, megabytes=5)


def loss_matrix(lab, algorithm):
    edited(lab)
    for side in ("--front", "--back"):
        for permille in (10, 50, 100):
            lossy(lab, algorithm, permille, side)
        lab.loss("off")


@cases(start=False, full=True)
def test_20_megabytes_at_1_5_and_10_percent_on_either_wire_cubic(lab):
    loss_matrix(lab, "cubic")


@cases(start=False, full=True)
def test_20_megabytes_at_1_5_and_10_percent_on_either_wire_bbr(lab):
    loss_matrix(lab, "bbr")


def whole(lab, megabytes):
    """A cookie's way and bytes each way, over both families."""
    path = lab.random_file(megabytes)
    for family in (4, 6):
        jar = Jar(lab, family)
        first = jar.get()
        again = jar.get()
        assert first.cookies and not again.cookies and again.backend == first.backend, (first.fields, again.fields)
        assert download(lab, family, megabytes) == sha256(path)
        assert upload(lab, family, path) == sha256(path)


def set_options(lab, side, off):
    lab.run(side, "sysctl", "-qw", *(f"net.ipv4.{option}={int(option not in off)}" for option in OPTIONS))


def without_options(lab, sides, combinations, megabytes):
    for side in sides:
        for off in combinations:
            set_options(lab, side, off)
            edited(lab)  # anew: what the backends can do is asked at the start
            whole(lab, megabytes)
        set_options(lab, side, ())


@cases(start=False)
def test_neither_end_has_tcp_options(lab):
    for side in ("client", "backend"):
        set_options(lab, side, OPTIONS)
    edited(lab)
    whole(lab, 5)


def offered(lab):
    return [s["tcp"] for s in lab.show("services") if s["mode"] == "splice"]


@cases(start=False)
def test_clients_are_offered_what_all_backends_accept(lab):
    edited(lab)
    time.sleep(2)  # everything that was learned is told by now
    assert all(o["sack"] and o["timestamps"] for o in offered(lab)), offered(lab)
    set_options(lab, "backend", ("tcp_timestamps", "tcp_sack"))
    lab.restart_limpet()
    eventually(lambda: not any(o["sack"] or o["timestamps"] for o in offered(lab)), 10)
    whole(lab, 1)
    assert lab.log().count("clients are offered what all backends accept: MSS 1460, no SACK, no timestamps") >= 1


@cases(start=False, full=True)
def test_tcp_options_off_at_the_clients(lab):
    without_options(lab, ["client"], [(o,) for o in OPTIONS] + [OPTIONS], 20)


@cases(start=False, full=True)
def test_tcp_options_off_at_the_backends(lab):
    without_options(lab, ["backend"], [(o,) for o in OPTIONS] + [OPTIONS], 20)


@cases(workers=(1, 2), start=False, full=(1,))
def test_tcp_options_change_while_limpet_runs(lab):
    """Backends that come back with another kernel's options; clients of all kinds."""
    edited(lab)
    for off in (OPTIONS[:1], OPTIONS, ()):
        set_options(lab, "backend", off)
        for client_off in ((), OPTIONS):
            set_options(lab, "client", client_off)
            whole(lab, 1)


@cases(start=False, mtu_front=1280)
def test_clients_with_an_mtu_of_1280(lab):
    edited(lab)
    whole(lab, 20)


@cases(start=False, mtu_front=9000, full=True)
def test_clients_with_an_mtu_of_9000(lab):
    edited(lab)
    whole(lab, 20)


FLOOD_SECONDS = 5


@cases(workers=(1, 2), start=False, full=(2,), alone=True)
def test_a_flood_of_syns_makes_no_flow_and_honest_clients_complete(lab):
    model = lab.model()
    # The answers to the flood have to go somewhere: to the clients' machine, whose kernel passes them over.
    model["routes"] = [{"to": "0.0.0.0/0", "via": "10.1.0.250"}, {"to": "::/0", "via": "fd00:1::250"}]
    configure(lab, INSERT, model=model)
    program = lab.state / "syn_flood"
    built = subprocess.run(["g++", "-O2", "-std=c++20", "-o", program, REPO / "tests/lab/syn_flood.cpp"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        raise Skip(f"cannot build syn_flood.cpp: {built.stdout[-500:]}")
    for family in (4, 6):
        ours, theirs = "02:00:0a:01:00:01", "02:00:0a:01:00:fe"
        # Neighbors know each other: five of six frames are lost before limpet, questions of ARP and ND too, and
        # a kernel asks three times.
        assert not lab.clients("http", "--clients", 50, families=(family,)).errors()
        eventually(lambda: totals(lab)["flows_used"] == 0, 10)
        before = totals(lab)
        flood = lab.popen("client", program, "c0", ours, theirs, VIPS[family], 80, FLOOD_SECONDS,
                          stdout=subprocess.PIPE, text=True)
        eventually(lambda: totals(lab)["splice_stateless_answers"] > before["splice_stateless_answers"] + 1000, 10)
        # 100 at once, while it lasts.
        honest = lab.load("http", "--clients", 50, "--parallel", 2, "--connections", 2, "--timeout", 30,
                          families=(family,))
        most = 0
        while flood.poll() is None:
            most = max(most, totals(lab)["flows_used"])
        sent = json.loads(flood.communicate()[0])
        records = honest.wait()
        assert len(records) == 200 and not records.errors(), (len(records), records.errors()[:3])
        after = totals(lab)
        created = after["flows_created"] - before["flows_created"]
        # A connection may be tried at a second backend, which makes no second flow.
        assert created == 200, f"{created} flows for 200 connections"
        assert most <= 200, f"{most} flows during the flood"
        received = after["rx"] - before["rx"]
        answered = after["splice_stateless_answers"] - before["splice_stateless_answers"]
        lab.notes.append(f"IPv{family}: {sent['sent'] / sent['seconds']:.0f} SYN/s sent, "
                         f"{received / sent['seconds']:.0f} frames/s received, "
                         f"{answered / sent['seconds']:.0f} SYN/s answered")
        assert answered >= 0.9 * (received - 5000), (received, answered)


def totals(lab):
    workers = lab.show("workers")
    names = ("rx", "flows_created", "splice_stateless_answers")
    return {name: sum(w[name] for w in workers) for name in names} | \
        {"flows_used": sum(w["flows"]["used"] for w in workers)}


@cases(start=False, mtu_front=1400)
def test_a_response_that_fills_its_segments_and_gets_a_cookie_leaves_by_a_smaller_port(lab):
    """Clients announce the full MSS although the front wire carries 1400: what is inserted must fit all the same."""
    lab.run("client", "ip", "route", "change", "10.1.0.0/24", "dev", "c0", "advmss", "1460")
    lab.run("client", "ip", "route", "change", "fd00:1::/64", "dev", "c0", "advmss", "1440")
    edited(lab)
    whole(lab, 5)
    assert lab.show("workers")[0]["originated_too_big"] == 0


@cases(start=False, mtu_back=1400)
def test_a_request_that_fills_its_segments_and_gets_a_header_leaves_by_a_smaller_port(lab):
    lab.run("backend", "ip", "route", "change", "10.2.0.0/24", "dev", "b0", "advmss", "1460")
    lab.run("backend", "ip", "route", "change", "fd00:2::/64", "dev", "b0", "advmss", "1440")
    edited(lab)
    whole(lab, 5)
    for vip in VIPS.values():
        host = f"[{vip}]" if ":" in vip else vip
        for size in (*range(1180, 1460, 7), 3000):
            said = lab.run("client", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5",
                           "-H", "X: " + "x" * size, f"http://{host}/").stdout
            assert said == "200", (vip, size, said)
