"""What limpet forgets it ends, and who is bound to a backend stays with it while that lives."""
import concurrent.futures

import labconfig
from lab import VIPS, cases
from test_cookie import APP_PORT, INSERT, app, configure

SPLICED, NATTED = 93, 94

# Asks for a slow answer, closes its side when told to, and prints what it heard and when.
ASK = """
import json, socket, sys, time
vip, port, source, seconds, closes = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5] == "close"
family = socket.AF_INET6 if ":" in vip else socket.AF_INET
with socket.socket(family) as s:
    s.settimeout(60)
    s.bind((source, 0))
    s.connect((vip, port))
    s.sendall(b"GET /slow?%s HTTP/1.1\\r\\nHost: lab\\r\\nConnection: close\\r\\n\\r\\n" % seconds.encode())
    if closes:
        s.shutdown(socket.SHUT_WR)
    began, text, end = time.monotonic(), b"", "eof"
    try:
        while piece := s.recv(65536):
            text += piece
    except OSError as e:
        end = type(e).__name__
print(json.dumps([text.decode().split("\\r\\n")[0], end, time.monotonic() - began]))
"""


def services(lab, spliced, natted):
    """The tests' own backends behind a service in each mode and family, with these time-outs."""
    model = lab.model()
    for family in (4, 6):
        template = labconfig.pool(model, f"web{family}")
        backends = [dict(b, port=APP_PORT) for b in template["backends"]]
        model["pools"].append(dict(template, name=f"slow{family}", backends=backends))
        for name, port, settings in (
                ("spliced", SPLICED, dict(spliced, mode="splice", forwarded="x-forwarded-for")),
                ("natted", NATTED, natted)):
            model["services"].append({"name": f"{name}{family}", "vip": VIPS[family], "port": port, "protocol": "tcp",
                                      "pool": f"slow{family}", **settings})
    lab.write_config(model)
    lab.restart_limpet()


def heard(lab, seconds, closes):
    """By port and family: first line, end, seconds."""
    def ask(port, family):
        source = {4: "10.1.0.5", 6: "fd00:1::5"}[family]
        return lab.python("client", ASK, VIPS[family], str(port), source, str(seconds), "close" if closes else "open",
                          timeout=90)
    asked = [(port, family) for port in (SPLICED, NATTED) for family in (4, 6)]
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        return dict(zip(asked, pool.map(lambda a: ask(*a), asked)))


@cases(start=False)
def test_a_slow_answer_reaches_a_client_that_has_closed(lab):
    """With the defaults: GET, FIN, an answer after 36 s."""
    with app(lab):
        services(lab, {}, {})
        for who, (line, end, took) in heard(lab, 36, True).items():
            assert line == "HTTP/1.1 200 OK" and end == "eof" and 35 < took < 45, (who, line, end, took)


@cases(start=False)
def test_who_waits_for_too_long_is_told(lab):
    with app(lab):
        services(lab, {"timeouts": {"response": "2s"}}, {"timeouts": {"idle": "2s", "half_closed": "2s"}})
        for closes in (False, True):
            for (port, family), (line, end, took) in heard(lab, 15, closes).items():
                assert 1.9 < took < 6, (port, family, line, end, took)
                if port == SPLICED:
                    assert line == "HTTP/1.1 504 Gateway Timeout" and end == "eof", (family, closes, line, end)
                else:
                    assert line == "" and end == "ConnectionResetError", (family, closes, line, end)
        told = {s["name"]: s for s in lab.show("services")}
        for family in (4, 6):
            reasons = told[f"spliced{family}"]["reasons"]
            assert reasons["response_timeout"] == 2, reasons


# Connections with a cookie, many at once; prints who answered each, and whether a cookie was set again.
RETURN = """
import concurrent.futures, json, re, socket, sys
vip, count, names = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
def come_back(i):
    name = names[i % len(names)]
    try:
        with socket.create_connection((vip, 80), timeout=60) as s:
            s.sendall(b"GET /echo HTTP/1.1\\r\\nHost: lab\\r\\nConnection: close\\r\\nCookie: SRV=%s\\r\\n\\r\\n" % name.encode())
            text = b""
            while piece := s.recv(65536):
                text += piece
    except OSError as e:
        return [name, repr(e), False]
    backend = re.search(rb"X-Backend: (\\S+)", text)
    return [name, backend[1].decode() if backend else text[:50].decode(), b"Set-Cookie" in text]
with concurrent.futures.ThreadPoolExecutor(24) as pool:
    print(json.dumps(list(pool.map(come_back, range(count)))))
"""


@cases(start=False)
def test_loss_moves_nobody_who_has_a_cookie(lab):
    """600 connections with good cookies, 8 % of all frames lost on both wires."""
    configure(lab, INSERT)
    lab.loss(80)
    try:
        names = ",".join(f"s{n}" for n in range(lab.backends))
        came = [c for family in (4, 6)
                for c in lab.python("client", RETURN, VIPS[family], "300", names, timeout=400)]
    finally:
        lab.loss("off")
    moved = [c for c in came if c[0] != c[1] or c[2]]
    retried = sum(w["splice_retried"] for w in lab.show("workers"))
    lab.notes.append(f"{len(came)} connections, {len(moved)} moved, {retried} tries of a backend again")
    assert len(came) == 600 and not moved, moved[:5]


@cases(start=False)
def test_a_backend_that_restarts_keeps_its_users(lab):
    """Its processes are gone for a second: who has its cookie waits for it."""
    configure(lab, INSERT)
    for family in (4, 6):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            lab.backend("kill", "s1")
            returning = pool.submit(lab.python, "client", RETURN, VIPS[family], "24", "s1", timeout=60)
            concurrent.futures.wait([returning], timeout=0.7)
            lab.backend("start", "s1")
            came = returning.result()
        moved = [c for c in came if c != ["s1", "s1", False]]
        assert not moved, moved[:5]
        lab.wait_backend("s1", "up", 20)
    assert sum(w["splice_retried"] for w in lab.show("workers")) > 0


# A connection every 0.1 s for some seconds, with a backend's cookie or none; of each how long it took, who answered it
# and with which cookie.
AFTER_DEATH = """
import concurrent.futures, json, re, socket, sys, time
vip, seconds, cookie = sys.argv[1], float(sys.argv[2]), sys.argv[3].encode()
def ask(_):
    began, text = time.monotonic(), b""
    try:
        with socket.create_connection((vip, 80), timeout=30) as s:
            s.sendall(b"GET /echo HTTP/1.1\\r\\nHost: lab\\r\\nConnection: close\\r\\n%s\\r\\n" % cookie)
            while piece := s.recv(65536):
                text += piece
    except OSError as e:
        text = repr(e).encode()
    backend = re.search(rb"X-Backend: (\\S+)", text)
    again = re.search(rb"Set-Cookie: SRV=(\\w+)", text)
    return [time.monotonic() - began, backend[1].decode() if backend else text[:50].decode(),
            again[1].decode() if again else ""]
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    asked = []
    for _ in range(int(seconds * 10)):
        asked.append(pool.submit(ask, 0))
        time.sleep(0.1)
    print(json.dumps([a.result() for a in asked]))
"""


@cases(start=False)
def test_a_killed_backend_s_users_are_answered_elsewhere(lab):
    """Its processes die, then its machine: who has its cookie waits for it and is moved, who has none is moved at once."""
    configure(lab, INSERT)
    for harm, heal in (("kill", "start"), ("blackhole", "restore")):
        asks = [(family, cookie) for family in (4, 6) for cookie in ("Cookie: SRV=s1\r\n", "")]
        with concurrent.futures.ThreadPoolExecutor(len(asks)) as pool:
            lab.backend(harm, "s1")
            running = [pool.submit(lab.python, "client", AFTER_DEATH, VIPS[family], "6", cookie, timeout=90)
                       for family, cookie in asks]
            came = dict(zip(asks, (r.result() for r in running)))
        for (family, cookie), answers in came.items():
            wrong = [a for a in answers if a[1] == "s1" or a[1] != a[2]]
            assert not wrong, (harm, family, cookie, wrong[:5])
            took = sorted(a[0] for a in answers)
            lab.notes.append(f"{harm}, IPv{family}, {'cookie' if cookie else 'new'}: median {took[len(took) // 2]:.2f} s, "
                             f"longest {took[-1]:.2f} s")
        lab.backend(heal, "s1")
        lab.wait_backend("s1", "up", 20)
