"""Cookie persistence against real kernels: real browsers' habits, real backends."""
import base64
import collections
import contextlib
import json
import os
import pathlib
import re
import subprocess

import labconfig
from lab import DOWN_WITHIN, PYTHON, UP_WITHIN, VIPS, cases, eventually, some
from labconfig import client_addresses
from test_bulk import download, sha256, upload

HERE = pathlib.Path(__file__).resolve().parent
INSERT = {"type": "cookie", "mode": "insert", "session_name": "SRV", "value": "plain"}
APPLICATION = {"type": "cookie", "session_name": "APP"}
APP_PORT = 90
SET = "SRV={}; path=/; HttpOnly"


def configure(lab, *persistence, services=("web",), extra=(), model=None, **settings):
    """Starts limpet (anew) with these services in mode splice, of both families. `extra` has more:
    (name, port of the VIP, port of the backends, persistence, settings)."""
    model = model or lab.model()
    for family in (4, 6):
        for name in services:
            labconfig.service(model, f"{name}{family}").update(
                mode="splice", persistence=list(persistence), **settings)
        for name, port, backends_port, other_persistence, other in extra:
            template = labconfig.pool(model, f"web{family}")
            backends = [dict(b, port=backends_port) for b in template["backends"]]
            health = dict(template["health"])
            if "proxy" in other.get("forwarded", ""):
                del health["port"]  # the same port as the clients', which wants a PROXY header
            model["pools"].append(dict(template, name=f"{name}{family}", backends=backends, health=health))
            model["services"].append(
                {"name": f"{name}{family}", "vip": VIPS[family], "port": port, "protocol": "tcp",
                 "mode": "splice", "pool": f"{name}{family}", "persistence": list(other_persistence), **other})
    lab.write_config(model)
    lab.restart_limpet()


@contextlib.contextmanager
def app(lab):
    """app.py at port 90 of all backends, while the block runs."""
    names = [f"s{n}={labconfig.backend_address(n, 4)},{labconfig.backend_address(n, 6)}" for n in range(lab.backends)]
    with open(lab.state / "app.log", "w") as log:
        process = lab.popen("backend", PYTHON, HERE / "app.py", APP_PORT, *names, stdout=subprocess.PIPE, stderr=log,
                            text=True)
    try:
        assert process.stdout.readline() == "ready\n", (lab.state / "app.log").read_text()[-1000:]
        yield
    finally:
        process.kill()
        process.wait()


def host(family):
    return f"[{VIPS[6]}]" if family == 6 else VIPS[4]


class Answer:
    """One response as `curl -i` prints it, read as text with plain newlines."""

    def __init__(self, text):
        head, _, self.body = text.partition("\n\n")
        self.interim = []
        while head.startswith("HTTP/1.1 100"):
            self.interim.append(head)
            head, _, self.body = self.body.partition("\n\n")
        lines = head.split("\n")
        assert lines[0].startswith("HTTP/1."), text[:500]
        self.status = int(lines[0].split()[1])
        self.fields = collections.defaultdict(list)
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.fields[name.lower()].append(value.strip())
        self.backend = self.fields["x-backend"][0] if self.fields["x-backend"] else None
        self.cookies = self.fields["set-cookie"]
        # What the backend says it has seen.
        self.seen = dict(line.split("=", 1) for line in self.body.splitlines() if "=" in line)


def curl(lab, url, *args, client=None):
    done = lab.run("client", "curl", "-sS", "-i", "--raw", "--max-time", 20,
                   *(["--interface", client] if client else []), *args, url)
    return Answer(done.stdout)


class Jar:
    """One browser: a file that curl keeps cookies in."""
    count = 0

    def __init__(self, lab, family, client=None):
        Jar.count += 1
        self.lab, self.family, self.client = lab, family, client
        self.path = lab.state / f"jar-{Jar.count}"
        self.path.unlink(missing_ok=True)

    def get(self, path="/echo", *args, port=80):
        return curl(self.lab, f"http://{host(self.family)}:{port}{path}", "-b", self.path, "-c", self.path, *args,
                    client=self.client)


@cases(workers=(1, 2, 4), start=False, full=(1, 4))
def test_curl_with_a_jar(lab):
    """One cookie set, and all later requests at the same backend. Service "close" is not indirect."""
    configure(lab, INSERT, services=("web",), extra=[("open", 83, 80, [dict(INSERT, indirect=False)], {})])
    for family in (4, 6):
        backends = set()
        for _ in range(5):
            for port in (80, 83):
                jar = Jar(lab, family)
                first = jar.get(port=port)
                assert first.cookies == [SET.format(first.backend)], first.cookies
                assert first.fields["cache-control"] == ["private"], first.fields
                assert first.seen["backend"] == first.backend and first.seen["cookie"] == "", first.seen
                for again in (jar.get(port=port), jar.get("/echo?again", "-H", "X-More: 1", port=port)):
                    assert again.backend == first.backend, (again.backend, first.backend)
                    assert not again.cookies and not again.fields["cache-control"], again.fields
                    wanted = "" if port == 80 else f"SRV={first.backend}"
                    assert again.seen["cookie"] == wanted, again.seen
                mixed = jar.get("/echo", "-b", f"a=b; SRV={first.backend}; c=d", port=port)
                assert mixed.backend == first.backend
                wanted = {"a=b", "c=d"} | (set() if port == 80 else {f"SRV={first.backend}"})
                assert set(mixed.seen["cookie"].split("; ")) == wanted, mixed.seen
                backends.add(first.backend)
        assert len(backends) > 1, backends


@cases(start=False)
def test_every_kind_of_exchange(lab):
    """Responses with and without a length or a body, many on one connection, a body that waits for its 100."""
    configure(lab, INSERT)
    for family in (4, 6):
        base = f"http://{host(family)}"
        for path, status in (("/chunked", 200), ("/204", 204), ("/304", 304), ("/moved", 302), ("/nowhere", 404),
                             ("/echo", 200)):
            first = curl(lab, base + path)
            assert first.status == status and first.cookies == [SET.format(first.backend)], (path, first.fields)
            assert ("chunked" in first.fields["transfer-encoding"]) == (path == "/chunked"), first.fields
            if path == "/chunked":
                assert first.body.endswith("\n0\n\n"), first.body
            again = curl(lab, base + path, "-b", f"SRV={first.backend}")
            assert again.status == status and not again.cookies and again.backend == first.backend, again.fields
        head = curl(lab, base + "/echo", "-I")
        assert head.status == 200 and head.cookies == [SET.format(head.backend)] and not head.body
        old = curl(lab, base + "/echo", "--http1.0")
        assert old.status == 200 and old.cookies == [SET.format(old.backend)] and old.seen["backend"]
        moved = Jar(lab, family)
        assert moved.get("/moved").status == 302
        followed = lab.run("client", "curl", "-sS", "-L", "-b", moved.path, base + "/moved").stdout
        assert "cookie=\n" in followed, followed
        with open(lab.state / "upload", "wb") as file:
            file.write(os.urandom(100_000))
        for more in (("-b", "SRV=s1"), ()):
            sent = curl(lab, f"{base}/upload/waits-{family}-{len(more)}", "-T", lab.state / "upload",
                        "-H", "Expect: 100-continue", *more)
            assert sent.status == 201 and len(sent.interim) == 1, (sent.status, sent.interim)
            assert bool(sent.cookies) == (not more), sent.cookies
            assert sha256(lab.data / sent.backend / "upload" / f"waits-{family}-{len(more)}") == \
                sha256(lab.state / "upload")
        # 200 requests on one connection: the cookie comes with the first answer only.
        text = lab.run("client", "curl", "-sS", "-i", "-b", lab.state / f"kept-{family}",
                       f"{base}/echo?[1-200]", "-w", "connects %{num_connects}\n").stdout
        assert text.count("HTTP/1.1 200") == 200 and text.count("Set-Cookie:") == 1, text.count("Set-Cookie:")
        assert text.count("connects 1\n") == 1 and text.count("connects 0\n") == 199
        assert text.count("cookie=\n") == 200


# Sends requests without waiting for answers and prints the answers' heads, in order.
PIPELINE = """
import json, re, socket, sys
vip, count = sys.argv[1], int(sys.argv[2])
requests = b""
for i in range(count):
    if i % 3 == 2:
        requests += b"PUT /upload/p HTTP/1.1\\r\\nHost: lab\\r\\nContent-Length: 3000\\r\\n\\r\\n" + b"x" * 3000
    else:
        cookie = b"Cookie: a=%d; SRV=s1; b=%d\\r\\n" % (i, i)
        requests += b"GET /echo HTTP/1.1\\r\\nHost: lab\\r\\n" + cookie + b"\\r\\n"
requests += b"GET /echo HTTP/1.1\\r\\nHost: lab\\r\\nConnection: close\\r\\n\\r\\n"
with socket.create_connection((vip, 80), timeout=10) as s:
    s.sendall(requests)
    text = b""
    while piece := s.recv(65536):
        text += piece
answers = []
while text:
    head, _, text = text.partition(b"\\r\\n\\r\\n")
    found = re.search(rb"Content-Length: (\\d+)", head)
    length = int(found[1]) if found else 0
    answers.append([head.decode(), text[:length].decode()])
    text = text[length:]
print(json.dumps(answers))
"""


@cases(start=False)
def test_pipelined_requests_are_edited_and_answered_in_order(lab):
    configure(lab, INSERT)
    for family in (4, 6):
        answers = lab.python("client", PIPELINE, VIPS[family], 40)
        assert len(answers) == 41, len(answers)
        for i, (head, body) in enumerate(answers):
            assert "X-Backend: s1" in head and "Set-Cookie" not in head or i % 3 == 2 or i == 40, (i, head)
            if i < 40 and i % 3 != 2:
                assert head.startswith("HTTP/1.1 200") and f"cookie=a={i}; b={i}\n" in body, (i, head, body)
            else:
                assert head.startswith("HTTP/1.1 20"), (i, head)


# One request a cut: in two pieces, or its answer in two pieces. Prints the answers, as text.
CUT = """
import base64, json, socket, sys, time
job = json.load(sys.stdin)
answers = []
for cut in job["cuts"]:
    with socket.create_connection((job["vip"], job["port"]), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = job["head"].encode()
        if job["answer"]:
            s.sendall(head.replace(b"@CUT@", str(cut).encode()))
        else:
            s.sendall(head[:cut])
            time.sleep(job["pause"])
            s.sendall(head[cut:])
        text = b""
        while piece := s.recv(65536):
            text += piece
        answers.append(text.decode())
json.dump(answers, sys.stdout)
"""


def cut(lab, **job):
    done = subprocess.run(["ip", "netns", "exec", lab.namespace("client"), PYTHON, "-c", CUT], text=True,
                          input=json.dumps(job), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    return json.loads(done.stdout)


@cases(workers=(2,), start=False)
def test_heads_cut_at_every_offset(lab):
    """Of requests and of responses: what is edited is the same, whatever the pieces."""
    with app(lab):
        forwarded = {"forwarded": "x-forwarded-for"}
        modes = {91: dict(INSERT), 92: dict(INSERT, mode="rewrite"), 93: dict(INSERT, mode="prefix")}
        configure(lab, extra=[(m["mode"], port, APP_PORT, [m], forwarded) for port, m in modes.items()])
        head = ("GET / HTTP/1.1\r\nHost: lab\r\nCookie: a=b; SRV=s1; c=d\r\nConnection: close\r\n\r\n")
        for family, address in ((4, "10.1.0.250"), (6, "fd00:1::250")):
            where = {"vip": VIPS[family], "port": 91, "answer": False, "head": head}
            offsets = list(range(1, len(head)))
            for job in ({"cuts": offsets, "pause": 0}, {"cuts": offsets, "pause": 0.03}):
                answers = set(cut(lab, **where, **job))
                assert len(answers) == 1, some(answers)
                seen = json.loads(answers.pop().partition("\r\n\r\n")[2])
                assert seen["name"] == "s1" and seen["head"] == (
                    "GET / HTTP/1.1\r\nHost: lab\r\nCookie: a=b; c=d\r\nConnection: close\r\n"
                    f"X-Forwarded-For: {address}\r\n\r\n"), seen
            reply = "HTTP/1.1 200 OK\r\nA: b\r\nSet-Cookie: SRV=app; path=/\r\nConnection: close\r\n"
            wanted = {91: SET, 92: "SRV={}; path=/", 93: "SRV={}~app; path=/"}
            for port in modes:
                head_of = (f"GET / HTTP/1.1\r\nHost: lab\r\nX-Reply: {base64.b64encode(reply.encode()).decode()}\r\n"
                           "X-Cut: @CUT@\r\n\r\n")
                for text in cut(lab, vip=VIPS[family], port=port, answer=True, head=head_of,
                                cuts=list(range(1, len(reply) + 45))):
                    lines = text.partition("\r\n\r\n")[0].split("\r\n")
                    backend = json.loads(text.partition("\r\n\r\n")[2])["name"]
                    cookies = [x for x in lines if x.startswith("Set-Cookie: ")]
                    assert cookies == ["Set-Cookie: " + wanted[port].format(backend)], (port, lines)
                    assert lines[:2] == ["HTTP/1.1 200 OK", "A: b"] and f"X-Backend: {backend}" in lines, lines
                    assert ("Cache-Control: private" in lines) == (port == 91), lines


@cases(start=False)
def test_backends_learn_the_client_s_address(lab):
    """By X-Forwarded-For, of every request, and by the PROXY protocol, once for each connection."""
    configure(lab, INSERT, forwarded="x-forwarded-for",
              extra=[("v1", 84, 82, [INSERT], {"forwarded": "proxy-v1"}),
                     ("v2", 85, 82, [INSERT], {"forwarded": "proxy-v2"})])
    for family in (4, 6):
        client = client_addresses(family)[8]
        jar = Jar(lab, family, client)
        for _ in range(2):
            assert jar.get("/echo").seen["forwarded"] == client
        # What the client says about itself stays in front.
        claimed = jar.get("/echo", "-H", "X-Forwarded-For: 192.0.2.1").seen["forwarded"]
        assert claimed == f"192.0.2.1, {client}", claimed
        text = lab.run("client", "curl", "-sS", "--interface", client, f"http://{host(family)}/echo?[1-20]").stdout
        assert text.count(f"forwarded={client}\n") == 20, text
        for port in (84, 85):
            jar = Jar(lab, family, client)
            first = jar.get("/", port=port)
            assert first.seen["proxy"] == client and first.seen["server"] == str(port), first.seen
            assert 1024 <= int(first.seen["port"]) <= 65535 and first.cookies == [SET.format(first.backend)]
            again = jar.get("/", port=port)
            assert again.seen["proxy"] == client and again.backend == first.backend and not again.cookies
            text = lab.run("client", "curl", "-sS", "--interface", client,
                           f"http://{host(family)}:{port}/?[1-20]").stdout
            assert text.count(f"proxy={client}\n") == 20, text
    # Health checks speak to that port as its clients' connections do.
    checked = [b for b in lab.show("backends") if b["pool"][:2] in ("v1", "v2")]
    assert len(checked) == 4 * lab.backends and all(b["state"] == "up" for b in checked), checked
    assert all(b["check"]["last_error"] is None for b in checked), checked


@cases(workers=(1, 2), start=False, full=(1,))
def test_the_application_s_own_cookie(lab):
    """rewrite: ours for the application's value. prefix: ours and '~' before it. learn: as it is."""
    table = {"table": {"size": 1000, "expire": "1m"}}
    configure(lab, extra=[("rewrite", 91, 80, [dict(APPLICATION, mode="rewrite", value="plain")], {}),
                          ("prefix", 92, 80, [dict(APPLICATION, mode="prefix", value="plain")], {}),
                          ("learn", 93, 80, [dict(APPLICATION, mode="learn")], table)])
    for family in (4, 6):
        for round_ in range(2):
            for port, mode in ((91, "rewrite"), (92, "prefix"), (93, "learn")):
                jar = Jar(lab, family)
                before = jar.get("/echo", port=port)
                assert not before.cookies, (mode, before.cookies)
                value = f"app{family}{round_}"
                first = jar.get(f"/setcookie?name=APP&value={value}", port=port)
                ours = {"rewrite": first.backend, "prefix": f"{first.backend}~{value}", "learn": value}[mode]
                assert first.cookies == [f"APP={ours}; path=/"], (mode, first.cookies)
                for _ in range(4):
                    again = jar.get("/echo", port=port)
                    assert again.backend == first.backend and not again.cookies, (mode, again.backend)
                    seen = {"rewrite": ours, "prefix": value, "learn": value}[mode]
                    assert again.seen["cookie"] == f"APP={seen}", (mode, again.seen)
                other = jar.get("/setcookie?name=OTHER&value=x", port=port)
                assert other.cookies == ["OTHER=x; path=/"] and other.backend == first.backend


FORGED = ("", "nobody", "S1", "s1x", "s", "\"s1\"", "s1~x", "%73%31", "x" * 3000, "|", "~")


@cases(workers=(1, 2), start=False, full=(2,))
def test_cookies_of_dead_draining_and_unknown_backends(lab):
    configure(lab, INSERT, session_log=True)
    jars = [Jar(lab, family) for family in (4, 6) for _ in range(10)]
    home = {jar: jar.get().backend for jar in jars}
    for family in (4, 6):
        for value in FORGED:
            forged = curl(lab, f"http://{host(family)}/echo", "-H", f"Cookie: SRV={value}")
            assert forged.status == 200 and forged.cookies == [SET.format(forged.backend)], (value, forged.cookies)
            assert forged.seen["cookie"] == "", (value, forged.seen)
        for backend in ("s0", "s1", "s2", "s3"):
            asked = curl(lab, f"http://{host(family)}/echo", "-H", f"Cookie: SRV={backend}")
            assert asked.backend == backend and not asked.cookies, (backend, asked.backend)
        # Draining: who has its cookie goes on, nobody else comes.
        lab.ctl("backend", f"web{family}/s2", "drain")
        for _ in range(12):
            assert curl(lab, f"http://{host(family)}/echo").backend != "s2"
        asked = curl(lab, f"http://{host(family)}/echo", "-b", "SRV=s2")
        assert asked.backend == "s2" and not asked.cookies, (asked.backend, asked.cookies)
    for jar, backend in home.items():
        assert jar.get().backend == backend
    for family in (4, 6):
        lab.ctl("backend", f"web{family}/s2", "up")
    # Dead, and not yet known to be: the connection is refused and tried elsewhere. Then known.
    lab.backend("kill", "s1")
    for known in (False, True):
        if known:
            lab.wait_backend("s1", "down", DOWN_WITHIN)
        for family in (4, 6):
            jar = Jar(lab, family)
            moved = jar.get("/echo", "-b", "SRV=s1")
            assert moved.status == 200 and moved.backend != "s1", moved.backend
            assert moved.cookies == [SET.format(moved.backend)], moved.cookies
    for jar, backend in home.items():
        now = jar.get()
        assert (now.backend == backend) == (backend != "s1") and bool(now.cookies) == (backend == "s1")
        home[jar] = now.backend
    lab.backend("start", "s1")
    lab.wait_backend("s1", "up", UP_WITHIN)
    for jar, backend in home.items():  # nobody is taken away again
        assert jar.get().backend == backend

    def reasons():
        """the log says why each connection went where it went"""
        said = collections.Counter(re.findall(r" session: web[46] .* reason=(\w+)", lab.log()))
        assert set(said) == {"cookie", "cookie_none", "cookie_invalid", "cookie_draining", "cookie_down"}, said
        return said["cookie_draining"] >= 2 and said["cookie_invalid"] == 2 * len(FORGED)
    eventually(reasons, 3)


def persistence(lab, service):
    """The counters of a service's first entry."""
    return next(p for p in lab.show("persistence") if p["service"] == service and p["entry"] == 0)


@cases(workers=(2,), start=False)
def test_sealed_and_plain_cookies_survive_a_restart(lab):
    """With the key file that the first start has made. Made-up ones are refused, and why is counted."""
    model = lab.model()
    model["cookie_keys"] = {"file": str(lab.state / "cookie.keys")}
    configure(lab, INSERT, extra=[("sealed", 83, 80, [dict(INSERT, value="sealed")], {})], model=model)
    jars = [(Jar(lab, family), port) for family in (4, 6) for port in (80, 83) for _ in range(6)]
    first = [jar.get(port=port) for jar, port in jars]
    for (_, port), answer in zip(jars, first):
        value = re.fullmatch(r"SRV=([^;]+); path=/; HttpOnly", answer.cookies[0])[1]
        assert (value == answer.backend) == (port == 80), answer.cookies
        assert port == 80 or re.fullmatch(r"[A-Za-z0-9_-]{23}", value), value
    lab.restart_limpet()
    for (jar, port), before in zip(jars, first):
        again = jar.get(port=port)
        assert again.backend == before.backend and not again.cookies, (before.backend, again.fields)
        assert again.seen["cookie"] == "", again.seen
    assert len({answer.backend for answer in first}) > 1
    good = first[6].cookies[0].split(";")[0].partition("=")[2]
    flipped = good[:12] + ("A" if good[12] != "A" else "B") + good[13:]
    bad = {flipped: "forged", good[:-1]: "truncated", good + "A": "too_long", good[:5] + "!" + good[6:]: "bad_character",
           first[6].backend: "truncated"}
    for value, why in bad.items():
        before = persistence(lab, "sealed4")["invalid_detail"][why]
        answer = curl(lab, f"http://{host(4)}:83/echo", "-H", f"Cookie: SRV={value}")
        assert answer.status == 200 and len(answer.cookies) == 1 and answer.seen["cookie"] == "", (why, answer.fields)
        assert persistence(lab, "sealed4")["invalid_detail"][why] == before + 1, (value, why)
    counted = persistence(lab, "sealed4")
    assert counted["request"]["valid"] == 6 and counted["request"]["invalid"] == len(bad), counted
    assert counted["response"]["inserted"] == len(bad), counted


PARALLEL = """
import json, socket, sys, threading
vip, source = sys.argv[1], sys.argv[2]
answers = []
barrier = threading.Barrier(6)

def one():
    with socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET) as s:
        s.settimeout(10)
        s.bind((source, 0))
        barrier.wait()
        s.connect((vip, 80))
        s.sendall(b"GET /echo HTTP/1.1\\r\\nHost: lab\\r\\nConnection: close\\r\\n\\r\\n")
        text = b""
        while piece := s.recv(65536):
            text += piece
    answers.append(text.decode())

threads = [threading.Thread(target=one) for _ in range(6)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(json.dumps(answers))
"""


@cases(workers=(1, 2, 4), start=False, full=(1, 4))
def test_first_connections_in_parallel_share_a_backend(lab):
    """Of one address, before it has a cookie: by source, and the table remembers it although another backend
    would be the address's own again."""
    configure(lab, INSERT, {"type": "source", "prefix4": 32, "prefix6": 128}, table={"size": 1000, "expire": "1m"})
    def ask(family, client):
        answers = lab.python("client", PARALLEL, VIPS[family], client)
        chosen = {re.search(r"X-Backend: (\S+)", a)[1] for a in answers}
        assert len(answers) == 6 and len(chosen) == 1, (client, chosen)
        backend = chosen.pop()
        assert all(f"Set-Cookie: SRV={backend};" in a for a in answers), answers
        return backend
    home = {(f, c): ask(f, c) for f in (4, 6) for c in client_addresses(f)[:8]}
    assert "s1" in home.values() and len(set(home.values())) > 2, home
    lab.backend("kill", "s1")
    lab.wait_backend("s1", "down", DOWN_WITHIN)
    away = {(f, c): ask(f, c) for (f, c) in home}
    assert all((away[k] == home[k]) == (home[k] != "s1") for k in home), (home, away)
    lab.backend("start", "s1")
    lab.wait_backend("s1", "up", UP_WITHIN)
    assert {(f, c): ask(f, c) for (f, c) in home} == away


@cases(workers=(1, 2), start=False, full=(1,))
def test_wrk_ab_and_http_client(lab):
    configure(lab, INSERT)
    for family in (4, 6):
        url = f"http://{host(family)}/echo"
        for more in (("-H", "Cookie: SRV=s1"), ()):
            wrk = lab.script("wrk.sh", "-t2", "-c64", "-d1", *more, url).stdout
            assert "Socket errors" not in wrk and "Non-2xx" not in wrk, wrk
            assert int(re.search(r"(\d+) requests in", wrk)[1]) > 500, wrk
        for more in (("-k",), ()):
            ab = lab.run("client", "ab", "-q", "-n", 2000, "-c", 20, *more, "-C", "SRV=s2", url).stdout
            assert "Complete requests:      2000" in ab and "Failed requests:        0" in ab, ab
            assert "Non-2xx" not in ab, ab
        answers = lab.python("client", KEPT, VIPS[family], 300)
        assert len({a["backend"] for a in answers}) == 1, some(answers)
        assert [bool(a["cookie"]) for a in answers] == [True] + [False] * 299
        assert {a["seen"] for a in answers if "seen" in a} == {"cookie=a=b"}
        assert [a["whole"] for a in answers if "whole" in a] == [True] * 60, some(answers)
        assert {a["status"] for a in answers} <= {200, 201, 204}, some(answers)


# http.client, one connection: the cookie comes, is kept and sent beside another one. Some requests have a body;
# what a backend stores of it is asked for by the next request.
KEPT = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=10)
answers, jar, stored = [], "a=b", None
for i in range(int(sys.argv[2])):
    method, path, body = [("GET", "/echo", None), ("GET", "/echo", None), ("POST", "/echo", b"x" * 2000),
                          ("PUT", "/upload/kept", b"%d." % i * 500), ("GET", "/upload/kept", None)][i % 5]
    connection.request(method, path, body=body, headers={"Cookie": jar})
    response = connection.getresponse()
    content = response.read()
    cookie = response.getheader("Set-Cookie")
    if cookie:
        jar = "a=b; " + cookie.split(";")[0]
    answer = {"status": response.status, "backend": response.getheader("X-Backend"), "cookie": cookie}
    if path == "/echo":
        answer["seen"] = next(line for line in content.decode().splitlines() if line.startswith("cookie="))
    elif method == "PUT":
        stored = body
    else:
        answer["whole"] = content == stored
    answers.append(answer)
print(json.dumps(answers))
"""


@cases(workers=(1, 2), start=False, full=(1,))
def test_200_megabytes_down_and_up_arrive_whole(lab):
    """With a cookie to strip and one to set, and X-Forwarded-For: both streams are shifted."""
    configure(lab, INSERT, forwarded="x-forwarded-for")
    path = lab.random_file(200)
    for family in (4, 6):
        assert download(lab, family, 200) == sha256(path)
        assert upload(lab, family, path) == sha256(path)
