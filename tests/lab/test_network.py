"""A real network around limpet: ping, datagram sizes, small MTUs, TIME_WAIT at the backends."""
import hashlib
import subprocess
import time

from lab import VIPS, cases, eventually, out
from labconfig import pool


@cases()
def test_vips_answer_ping(lab):
    for family, source in ((4, "10.1.0.5"), (6, "fd00:1::5")):
        for size in (0, 56, 1200, 1452):
            text = lab.run("client", "ping", "-n", "-c", 3, "-i", 0.05, "-W", 1, "-s", size, "-I", source,
                           VIPS[family]).stdout
            assert " 0% packet loss" in text and "wrong" not in text, text
    for address in ("10.1.0.254", "fd00:1::254"):
        assert " 0% packet loss" in lab.run("client", "ping", "-n", "-c", 2, "-i", 0.05, "-W", 1, address).stdout


SIZES = r"""
import json, socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[2], 0)); sock.connect((sys.argv[1], 7000)); sock.settimeout(0.5)
wrong = []
for size in map(int, sys.argv[3:]):
    payload = bytes(i * 7 % 251 for i in range(size))
    for attempt in range(4):
        sock.send(payload)
        try:
            answer = sock.recv(65536)
        except TimeoutError:
            continue
        if answer[answer.index(b":") + 1:] != payload: wrong.append(size)
        break
    else:
        wrong.append(size)
print(json.dumps(wrong))
"""


@cases(workers=(1, 2, 4), full={4})
def test_datagrams_of_every_size_up_to_the_mtu(lab):
    """The echo adds three bytes ("s0:"), so the largest request is three short of the MTU."""
    for source, largest in (("10.1.0.9", 1500 - 28 - 3), ("fd00:1::9", 1500 - 48 - 3)):
        sizes = [*range(0, 40), *range(40, largest, 61), *range(largest - 8, largest + 1)]
        vip = VIPS[6 if ":" in source else 4]
        assert lab.python("client", SIZES, vip, source, *sizes) == []


@cases()
def test_fragments_end_in_a_named_drop(lab):
    """The af_packet port hands over a reassembled but truncated IPv4 frame; IPv6 fragments stay such."""
    for source in ("10.1.0.9", "fd00:1::9"):
        before = lab.drops()
        vip = VIPS[6 if ":" in source else 4]
        assert lab.python("client", SIZES, vip, source, 4000) == [4000]

        def check():
            new = {r: n - before[r] for r, n in lab.drops().items() if n > before[r]}
            assert new.get("frame_truncated", 0) + new.get("ip_fragment", 0) >= 4, new
            return True
        eventually(check, 3)
    lab.clients("udp", "--sockets", 1, "--datagrams", 2, port=7000).home()


CLAIM = r"""
import socket, sys
mac, vip = bytes.fromhex("020000000666"), socket.inet_aton(sys.argv[1])
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("c0", 0))
frame = b"\xff" * 6 + mac + bytes.fromhex("0806000108000604") + b"\0\1" + mac + vip + bytes(6) + vip
for _ in range(5):
    sock.send(frame.ljust(60, b"\0"))
print("null")
"""


@cases(workers=(1, 2), may_drop=("address_conflict",))
def test_somebody_else_with_a_vip_is_named_once_and_not_believed(lab):
    home = lab.clients("http", "--clients", 4, "--connections", 2, "--gap", 0.05).home()
    for _ in range(3):
        lab.python("client", CLAIM, VIPS[4])
        time.sleep(1.2)  # the control thread looks every second
    eventually(lambda: lab.drops()["address_conflict"] == 15, 3)
    lines = [line for line in lab.log().splitlines() if "claims an address of ours" in line]
    assert len(lines) == 1 and "port front: 02:00:00:00:06:66 claims" in lines[0], lines
    assert lab.clients("http", "--clients", 4, "--connections", 2, "--gap", 0.05).home() == home


@cases()
def test_a_link_that_is_back_has_our_addresses_announced(lab):
    """Clients that believe a VIP elsewhere are told where it is, without asking."""
    ours = lab.run("lb", "cat", "/sys/class/net/l0/address").stdout.strip()
    for vip in VIPS.values():
        lab.run("client", "ip", "neigh", "replace", vip, "lladdr", "02:00:00:00:06:66", "dev", "c0", "nud", "reachable")
    lab.run("wire", "ip", "link", "set", "wl0", "down")
    eventually(lambda: "port front: the link is down" in lab.log(), 5)
    lab.run("wire", "ip", "link", "set", "wl0", "up")
    eventually(lambda: "port front: the link is up" in lab.log(), 5)
    for vip in VIPS.values():
        eventually(lambda: ours in lab.run("client", "ip", "neigh", "show", vip, "dev", "c0").stdout, 10)
    lab.clients("http", "--clients", 4, "--connections", 2, "--gap", 0.05).home()


TAGGED = r"""
import json, socket, struct, sys, time
# argv: address of the sender, VIP, MAC of limpet's port. Pings that are right but for their VLAN tags, at last
# one that is right; prints the answers' sequence numbers.
def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return struct.pack(">H", total ^ 0xffff)
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("c0", 0x800))
sock.settimeout(0.2)
for number, tag in enumerate((b"\x81\0\0\x0a", b"\x88\xa8\0\x0a", b"")):
    icmp = struct.pack(">BBHHH", 8, 0, 0, 0x1234, number) + bytes(range(56))
    icmp = icmp[:2] + checksum(icmp) + icmp[4:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0) + b"".join(map(socket.inet_aton, sys.argv[1:3]))
    ip = ip[:10] + checksum(ip) + ip[12:]
    sock.send(bytes.fromhex(sys.argv[3].replace(":", "")) + sock.getsockname()[4] + tag + b"\x08\0" + ip + icmp)
answered, until = [], time.monotonic() + 1
while time.monotonic() < until:
    try: frame = sock.recv(2048)
    except TimeoutError: continue
    if frame[23] == 1 and frame[34:36] == b"\0\0" and frame[38:40] == b"\x12\x34":
        answered.append(frame[41])
print(json.dumps(answered))
"""


@cases(may_drop=("vlan_unsupported",))
def test_frames_with_a_vlan_tag_end_in_a_named_drop(lab):
    """The kernel takes the tag off and tells of it beside the frame, so it is easily lost on an af_packet port."""
    lab.run("client", "ping", "-c", 1, "-W", 2, "-I", "10.1.0.7", VIPS[4])
    mac = lab.show("ports", "front")[0]["mac"]
    before = lab.drops()["vlan_unsupported"]
    assert lab.python("client", TAGGED, "10.1.0.7", VIPS[4], mac) == [2]
    eventually(lambda: lab.drops()["vlan_unsupported"] == before + 2, 3)
    assert {d["port"] for d in lab.show("drops", "vlan_unsupported") if d["packets"]} == {"front"}


# --- path MTU -------------------------------------------------------------------------------------

TRANSFER = r"""
import hashlib, json, os, socket, sys, time
# argv: direction, address, port, source. The server sends or takes 3 MB and closes.
direction, address, port, source = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
sock.settimeout(20)
if source: sock.bind((source, 0))
sock.connect((address, port))
digest, total = hashlib.sha256(), 0
if direction == "up":
    body = bytes(range(256)) * 12288
    sock.sendall(b"PUT /upload/pmtu HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    head = sock.recv(65536)
    print(json.dumps([head.decode("latin1").split("\r\n")[0], hashlib.sha256(body).hexdigest()]))
else:
    sock.sendall(b"GET /data/random-3 HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
    data = b""
    while True:
        more = sock.recv(1 << 20)
        if not more: break
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    print(json.dumps([head.decode("latin1").split("\r\n")[0], hashlib.sha256(body).hexdigest()]))
"""


def add_router(lab, side, mtu, hosts):
    """A router on the front or back wire and a host behind it whose link has a smaller MTU. The host
    announces an MSS of 1460 all the same, so only an ICMP error from the router tells a sender."""
    router, far = (f"limpet-{lab.name}-{n}" for n in ("router", "far"))
    wire = lab.namespace("wire")
    bridge, net = ("br-front", 1) if side == "front" else ("br-back", 2)
    lab.extra_namespaces += [router, far]
    off = "tx off rx off sg off tso off gso off gro off".split()
    for ns in (router, far):
        out("ip", "netns", "add", ns)
        out("ip", "-n", ns, "link", "set", "lo", "up")
        for setting in ("ipv4.conf.all.rp_filter=0", "ipv6.conf.all.accept_dad=0",
                        "ipv6.conf.default.accept_dad=0"):
            out("ip", "netns", "exec", ns, "sysctl", "-qw", "net." + setting)
    for setting in ("ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1"):
        out("ip", "netns", "exec", router, "sysctl", "-qw", "net." + setting)
    out("ip", "link", "add", "r0", "netns", router, "type", "veth", "peer", "name", "wr0", "netns", wire)
    out("ip", "link", "add", "r1", "netns", router, "mtu", str(mtu), "type", "veth", "peer", "name", "e0",
        "netns", far, "mtu", str(mtu))
    for ns, link in ((router, "r0"), (wire, "wr0"), (router, "r1"), (far, "e0")):
        out("ip", "netns", "exec", ns, "ethtool", "-K", link, *off)
        out("ip", "-n", ns, "link", "set", link, "up")
    out("ip", "-n", wire, "link", "set", "wr0", "master", bridge)
    for ns, link, address in ((router, "r0", f"10.{net}.0.200/24"), (router, "r0", f"fd00:{net}::200/64"),
                              (router, "r1", "10.3.0.1/24"), (router, "r1", "fd00:3::1/64"),
                              *((far, "e0", h) for h in hosts)):
        out("ip", "-n", ns, "address", "add", address, "dev", link, *(["nodad"] if ":" in address else []))
    out("ip", "-n", far, "route", "add", "default", "via", "10.3.0.1", "advmss", "1460")
    out("ip", "-n", far, "-6", "route", "add", "default", "via", "fd00:3::1", "advmss", "1440")
    return router, far


def path_mtu(ns, destination):
    """What the kernel of that namespace has learned."""
    text = out("ip", "-n", ns, "route", "get", destination)
    return int(text.split(" mtu ")[1].split()[0]) if " mtu " in text else None


@cases(workers=(1, 2, 4), full={4})
def test_path_mtu_discovery_towards_clients(lab):
    """backend -> limpet -> router -> (1300) -> client: the backend hears of it and the transfer ends well."""
    path = lab.random_file(3)
    with open(path, "rb") as file:
        wanted = hashlib.file_digest(file, "sha256").hexdigest()
    model = lab.model()
    model["routes"] = [{"to": "10.3.0.0/24", "via": "10.1.0.200"}, {"to": "fd00:3::/64", "via": "fd00:1::200"}]
    lab.write_config(model)
    lab.restart_limpet()
    _, far = add_router(lab, "front", 1300, ["10.3.0.2/24", "fd00:3::2/64"])
    lab.run_in(far, "ping", "-c", "1", "-W", "2", VIPS[4])
    for family, source in ((4, "10.3.0.2"), (6, "fd00:3::2")):
        status, digest = lab.python_in(far, TRANSFER, "down", VIPS[family], 80, source)
        assert "200" in status and digest == wanted, status
        learned = path_mtu(lab.namespace("backend"), "10.2.0.254" if family == 4 else "fd00:2::254")
        assert learned == 1300, f"IPv{family}: the backend's path MTU is {learned}"


@cases(workers=(1, 2, 4), full={4})
def test_path_mtu_discovery_towards_backends(lab):
    """client -> limpet -> router -> (1300) -> backend: the client hears of it."""
    router, far = add_router(lab, "back", 1300, ["10.3.0.2/24", "fd00:3::2/64"])
    model = lab.model()
    model["routes"] = [{"to": "10.3.0.0/24", "via": "10.2.0.200"}, {"to": "fd00:3::/64", "via": "fd00:2::200"}]
    for family, address in ((4, "10.3.0.2"), (6, "fd00:3::2")):
        one = pool(model, f"web{family}")
        one["health"] = {"type": "none"}
        one["backends"] = [{"name": "far", "address": address, "port": 80, "weight": 1}]
    lab.write_config(model)
    directory = lab.state / "far"
    (directory / "tmp").mkdir(parents=True)
    for name in ("upload", "body"):
        (lab.data / "far" / name).mkdir(parents=True)
    text = (lab.state / "s0" / "nginx.conf").read_text()
    for old, new in ((f"{lab.state}/s0", str(directory)), (f"{lab.data}/s0", f"{lab.data}/far"),
                     ("10.2.0.10", "10.3.0.2"), ("fd00:2::10", "fd00:3::2"), ("X-Backend s0", "X-Backend far")):
        text = text.replace(old, new)
    text = text.replace(f"{lab.data}/s0", f"{lab.data}/far")
    (directory / "nginx.conf").write_text(text)
    nginx = subprocess.Popen(["ip", "netns", "exec", far, "nginx", "-p", directory, "-c",
                              directory / "nginx.conf", "-e", directory / "nginx.log"])
    try:
        lab.restart_limpet()
        for family, source in ((4, "10.1.0.3"), (6, "fd00:1::3")):
            status, digest = lab.python("client", TRANSFER, "up", VIPS[family], 80, source)
            stored = lab.data / "far" / "upload" / "pmtu"
            assert "20" in status and hashlib.sha256(stored.read_bytes()).hexdigest() == digest, status
            stored.unlink()
            learned = path_mtu(lab.namespace("client"), VIPS[family])
            assert learned == 1300, f"IPv{family}: the client's path MTU is {learned}"
    finally:
        nginx.kill()
        nginx.wait()


@cases(mtu_back=1400)
def test_limpet_s_own_smaller_port_reports_itself(lab):
    """Backends announce the full MSS although the back wire carries 1400: limpet must say so itself."""
    ns = lab.namespace("backend")
    out("ip", "-n", ns, "route", "change", "10.2.0.0/24", "dev", "b0", "advmss", "1460")
    out("ip", "-n", ns, "route", "change", "fd00:2::/64", "dev", "b0", "advmss", "1440")
    for family, source in ((4, "10.1.0.3"), (6, "fd00:1::3")):
        status, _ = lab.python("client", TRANSFER, "up", VIPS[family], 80, source)
        assert "20" in status, status
        learned = path_mtu(lab.namespace("client"), VIPS[family])
        assert learned == 1400, f"IPv{family}: the client's path MTU is {learned}"
    assert lab.drops()["mtu_exceeded"] > 0


# --- TIME_WAIT ------------------------------------------------------------------------------------

@cases(workers=(1, 2, 4))
def test_few_ports_reused_early_meet_time_wait_and_still_connect(lab):
    """nginx closes first, so TIME_WAIT is at the backend; 40 ports an endpoint come round within seconds."""
    model = lab.model()
    for name in ("close4", "close6"):
        pool(model, name)["source_ports"] = [2000, 2039]
    for service in model["services"]:
        if service["name"].startswith("close"):
            service["timeouts"] = {"time_wait": "100ms"}
    lab.write_config(model)
    lab.restart_limpet()
    records = lab.clients("http", "--server-may-close", "--clients", 32, "--connections", 30, "--gap", 0.4,
                          "--timeout", 10, port=81, timeout=120)
    home = records.home()
    assert len(home) == 64 and len(records) == 64 * 30
    waiting = lab.run("backend", "ss", "-Htan", "state", "time-wait", "( sport = :81 )").stdout.splitlines()
    assert len(waiting) >= 100, f"only {len(waiting)} in TIME_WAIT at the backends: nothing was tested"
    ports = {int(line.split()[3].rsplit(":", 1)[1]) for line in waiting}
    assert ports <= set(range(2000, 2040)), sorted(ports)[:5]
    reused = sum(w["port_early_reuse"] for w in lab.show("workers"))
    assert reused >= 500, reused


@cases()
def test_exhausted_ports_end_in_a_named_drop(lab):
    """Five ports an endpoint, forty kept connections: the others must fail cleanly and be counted."""
    model = lab.model()
    pool(model, "web4")["source_ports"] = [3000, 3004]
    lab.write_config(model)
    lab.restart_limpet()
    load = lab.load("http", "--clients", 40, "--requests", 0, "--gap", 0.1, "--duration", 4, "--timeout", 1,
                    families=(4,))
    records = load.wait()
    assert lab.drops()["source_ports_exhausted"] > 0
    served = {r.client for r in records if not r.error}
    assert 15 <= len(served) <= 20, len(served)
    assert not {r.error for r in records} - {None, "timeout", "refused", "reset"}
