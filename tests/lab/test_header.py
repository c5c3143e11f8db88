"""Persistence by a request header: the same value to the same backend, beside HAProxy's `balance hdr()`.

Which backend a value goes to is each proxy's own; compared is which requests are of one user. So each shape is
asked with many users U, beside the plain header of the user whom it should mean: where both always meet, they
are one; where they part at least once, they are not.
"""
import contextlib
import json

import labconfig
from lab import VIPS, cases, eventually
from test_cookie import APP_PORT, app
from test_haproxy import play

PORT, USERS, BACKENDS = 9000, 12, 5
# Lines of the request -> the value of the user whom they mean.
SHAPES = {
    "X-User-ID: @": "@",
    "x-user-id:@": "@",
    "X-USER-ID: \t @ \t": "@",
    "X-User-ID: @, other": "@",
    "X-User-ID: @ ,other": "@",
    "X-User-ID: @\r\nX-User-ID: other": "@",
    "X-User-ID: @" + 80 * "\r\nX-User-ID: other": "@",
    "Cookie: a=b\r\nX-User-ID: @": "@",
    "X-User-ID: @ x": "@ x",
    "X-User-ID: @;x": "@;x",
    'X-User-ID: "@,x", y': '"@,x"',
    'X-User-ID: "@\\",x", y': '"@\\",x"',
    "X-User-ID: " + 256 * "v" + "@": 256 * "v" + "@",
    "X-User-ID: " + 8000 * "v" + "@": 8000 * "v" + "@",
    "X-User-ID: \xe9@": "\xe9@",
}
NOBODY = ["Accept: @", "Cookie: X-User-ID=@", "X-User-ID2: @", "X-User: @", "X-User-ID:", "X-User-ID: ",
          "X-User-ID: , @", "X-User-ID:\r\nX-User-ID: @"]


def request(lines, user):
    return "GET / HTTP/1.1\r\nHost: lab\r\n" + lines.replace("@", f"user{user}") + "\r\n\r\n"


def haproxy_configuration():
    lines = ["global", "  maxconn 2000", "  tune.bufsize 32768", "defaults", "  mode http", "  timeout connect 2s",
             "  timeout client 10s", "  timeout server 10s", "listen web", f"  bind 127.0.0.1:{PORT}",
             "  balance hdr(X-User-ID)", "  hash-type consistent"]
    lines += [f"  server s{n} {labconfig.backend_address(n, 4)}:{APP_PORT}" for n in range(BACKENDS)]
    return "\n".join(lines) + "\n"


def start_limpet(lab, persistence):
    model = lab.model()
    pool = labconfig.pool(model, "web4")
    model["pools"] = [dict(pool, backends=[dict(b, port=APP_PORT) for b in pool["backends"]])]
    model["services"] = [{"name": "web", "vip": VIPS[4], "port": PORT, "protocol": "tcp", "mode": "splice",
                          "pool": "web4", "persistence": persistence}]
    lab.write_config(model)
    lab.start_limpet()


def went(lab, where, to, lines, users=range(USERS)):
    """The backend of each user, each on a connection of his own."""
    answers = play(lab, where, [{"to": [to, PORT], "source": None, "at_once": False,
                                 "requests": [request(lines, u)]} for u in users])
    assert all(a[0]["status"] == 200 for a in answers), [a[0]["status"] for a in answers]
    return [dict(a[0]["headers"])["x-backend"] for a in answers]


@cases(backends=BACKENDS, start=False)
def test_a_header_names_the_users_that_haproxy_sees(lab):
    (lab.state / "haproxy.cfg").write_text(haproxy_configuration())
    haproxy = lab.popen("backend", "haproxy", "-db", "-f", lab.state / "haproxy.cfg",
                        stderr=open(lab.state / "haproxy.log", "w"))
    with app(lab), contextlib.ExitStack() as after:
        after.callback(haproxy.wait)
        after.callback(haproxy.kill)
        start_limpet(lab, [{"type": "header", "name": "X-User-ID"}])
        eventually(lambda: lab.run("backend", "ss", "-Hlnt", "src", f"127.0.0.1:{PORT}").stdout, 10)
        assert haproxy.poll() is None, (lab.state / "haproxy.log").read_text()[-1000:]
        for name, where, to in (("haproxy", "backend", "127.0.0.1"), ("limpet", "client", VIPS[4])):
            plain = went(lab, where, to, "X-User-ID: @")
            assert len(set(plain)) > 1, f"{name}: one backend for {USERS} users"
            for shape, key in SHAPES.items():
                assert went(lab, where, to, shape) == went(lab, where, to, f"X-User-ID: {key}"), (name, shape[:80])
                if key != "@":
                    assert went(lab, where, to, shape) != plain, (name, shape[:80])
            for shape in NOBODY:
                backends = went(lab, where, to, shape, [1] * USERS)
                assert len(set(backends)) > 1, (name, shape, "one user is at one backend without a key")
        lab.notes.append(f"{len(SHAPES) + len(NOBODY)} shapes, {USERS} users each")


@cases(backends=BACKENDS, start=False)
def test_users_stay_by_a_header_while_backends_go_and_come(lab):
    with app(lab):
        start_limpet(lab, [{"type": "cookie", "name": "SRV", "value": "plain"},
                           {"type": "header", "name": "X-User-ID"}, {"type": "source"}])
        users = range(40)
        before = went(lab, "client", VIPS[4], "X-User-ID: @", users)
        assert len(set(before)) == BACKENDS, before
        # What explain says is where they are.
        for user in (0, 1, 2):
            told = json.loads(lab.ctl("explain", "web", "--from", "10.1.0.77", "-H", f"X-User-ID: user{user}",
                                      "--json").stdout)
            assert told["backend"] == f"web4/{before[user]}" and told["reason"] == "header", told
        # A cookie in front of it wins.
        away = "s1" if before[0] == "s0" else "s0"
        assert went(lab, "client", VIPS[4], f"X-User-ID: @\r\nCookie: SRV={away}", [0]) == [away]
        gone = before[0]
        lab.ctl("backend", f"web4/{gone}", "down")
        during = went(lab, "client", VIPS[4], "X-User-ID: @", users)
        assert gone not in during
        moved = [(b, d) for b, d in zip(before, during) if b != d]
        assert all(b == gone for b, _ in moved), "only the users of the one that is gone move"
        lab.ctl("backend", f"web4/{gone}", "up")
        lab.wait_backend(f"web4/{gone}", "up", 10)
        assert went(lab, "client", VIPS[4], "X-User-ID: @", users) == before, "they return"
        # A restart moves nobody.
        lab.restart_limpet()
        assert went(lab, "client", VIPS[4], "X-User-ID: @", users) == before
        row = next(r for r in lab.show("persistence", "web") if r["entry"] == 1)
        assert (row["type"], row["name"], row["mode"]) == ("header", "X-User-ID", None), row
        assert row["request"]["valid"] == row["decided"] == len(users), row
        assert next(s for s in lab.show("services"))["reasons"]["header"] == len(users)
