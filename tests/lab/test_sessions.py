"""`limpetctl show sessions` and `clear sessions`: what the stick table remembers, and forgets when told so."""
import json

import labconfig
from lab import VIPS, cases
from test_cookie import APP_PORT, app
from test_haproxy import play

PORT, BACKENDS = 9000, 4


def start(lab):
    model = lab.model()
    pool = labconfig.pool(model, "web4")
    model["pools"] = [dict(pool, backends=[dict(b, port=APP_PORT) for b in pool["backends"]])]
    model["services"] = [{"name": "web", "vip": VIPS[4], "port": PORT, "protocol": "tcp", "mode": "splice",
                          "pool": "web4", "table": {"size": 1000},
                          "persistence": [{"type": "cookie", "mode": "learn", "name": "APP"}, {"type": "source"}]}]
    lab.write_config(model)
    lab.start_limpet()
    for n in range(BACKENDS):
        lab.wait_backend(f"web4/s{n}", "up", 10)


def ask(lab, source, lines=""):
    [[answer]] = play(lab, "client", [{"to": [VIPS[4], PORT], "source": source, "at_once": False, "requests":
                                       [f"GET / HTTP/1.1\r\nHost: lab\r\n{lines}\r\n"]}])
    return dict(answer["headers"])["x-backend"]


def sessions(lab, *args):
    return json.loads(lab.ctl("show", "sessions", "web", *args, "--json").stdout)["sessions"]


@cases(backends=BACKENDS, start=False)
def test_sessions_are_shown_and_cleared(lab):
    with app(lab):
        start(lab)
        clients = labconfig.client_addresses(4)
        pinned = {c: ask(lab, c) for c in clients}
        rows = sessions(lab)
        assert {r["key"]: r["backend"] for r in rows} == pinned, rows
        assert all(r["type"] == "source" and r["origin"] == "local" for r in rows), rows
        [one] = sessions(lab, clients[0])
        assert one["backend"] == pinned[clients[0]] and one["expires_s"] > 1000, one
        assert clients[0] in lab.ctl("show", "sessions", "web").stdout

        # A pin outlives that its backend was away; cleared, its client goes by the hash again.
        home, client = pinned[clients[0]], clients[0]
        lab.ctl("backend", f"web4/{home}", "down")
        away = ask(lab, client)
        lab.ctl("backend", f"web4/{home}", "up")
        lab.wait_backend(f"web4/{home}", "up", 10)
        assert away != home and ask(lab, client) == away, "he stays where he was moved to"
        text = lab.ctl("clear", "sessions", "web", client).stdout
        assert text.startswith("web: 1 session forgotten"), text
        assert sessions(lab, client) == []
        assert ask(lab, client) == home, "as if he had never been here"

        # All of one backend, then all.
        of_home = [c for c in clients if [r["backend"] for r in sessions(lab, c)] == [home]]
        told = json.loads(lab.ctl("clear", "sessions", "web", "--backend", home, "--json").stdout)
        assert told["cleared"] == len(of_home), (told, of_home)
        assert home not in {r["backend"] for r in sessions(lab)}
        lab.ctl("clear", "sessions", "web")
        assert sessions(lab) == []
        wrong = lab.ctl("clear", "sessions", "web", "--backend", "s9", check=False)
        assert wrong.returncode == 1 and "no backend" in wrong.stdout + (wrong.stderr or ""), wrong
