"""Checks of every kind, with real clients at work."""
import time

from lab import BOUND, DOWN_WITHIN, UP_WITHIN, VIPS, cases, eventually, some
from labconfig import pool
from test_kill import VICTIM, Story

BUSY = True  # what they measure has bounds of a second or less (run.py)

LIMITS = {"interval": "1s", "timeout": "500ms", "rise": 2, "fall": 3}


@cases(workers=(1, 4), full={4})
def test_a_death_is_seen_by_tcp_and_https_checks(lab):
    model = lab.model()
    pool(model, "web4")["health"] = {"type": "tcp", **LIMITS}
    pool(model, "web6")["health"] = {"type": "https", "uri": "/health", "host": "lab", "port": 443,
                                     "expect": "200", **LIMITS}
    lab.write_config(model)
    lab.restart_limpet()
    types = {b["pool"]: b["check"]["type"] for b in lab.show("backends")}
    assert (types["web4"], types["web6"], types["close4"]) == ("tcp", "https", "http"), types
    story = Story(lab, "kill", "start", after_check="web6")
    story.others_stay_where_they_were()
    story.own_clients_move_in_time()
    story.own_clients_return()
    story.nobody_flaps()


@cases()
def test_a_certificate_that_nobody_signed_fails_where_it_is_verified(lab):
    model = lab.model()
    health = {"type": "https", "uri": "/health", "host": "lab", "port": 443, "verify": True, **LIMITS}
    pool(model, "close4")["health"] = health
    lab.write_config(model)
    lab.ctl("reload")

    def all_down():
        rows = lab.show("backends", "close4")
        assert {r["state"] for r in rows} == {"down"}, [(r["name"], r["state"]) for r in rows]
        assert all("certificate" in r["check"]["last_error"] for r in rows), rows[0]["check"]
        return True
    eventually(all_down, DOWN_WITHIN + 1)
    health["verify"] = False
    lab.write_config(model)
    lab.ctl("reload")
    eventually(lambda: {r["state"] for r in lab.show("backends", "close4")} == {"up"}, UP_WITHIN + 1)


@cases()
def test_without_checks_only_the_operator_takes_a_backend_out(lab):
    model = lab.model()
    for name in ("web4", "web6"):
        pool(model, name)["health"] = {"type": "none"}
    lab.write_config(model)
    lab.restart_limpet()
    home = lab.clients("http", "--connections", 2, "--gap", 0.05).home()
    victims = {c for c, b in home.items() if b == VICTIM}
    lab.backend("kill", VICTIM)
    time.sleep(BOUND + 1)
    assert {b["state"] for f in (4, 6) for b in lab.show("backends", f"web{f}")} == {"up"}
    records = lab.clients("http", "--connections", 2, "--gap", 0.05)
    assert {r.client for r in records.errors()} == victims, some(records.errors())
    assert records.only(lambda r: r.client not in victims).home() == \
        {c: b for c, b in home.items() if c not in victims}
    for family in (4, 6):
        lab.ctl("backend", f"web{family}/{VICTIM}", "down")
    away = lab.clients("http", "--connections", 2, "--gap", 0.05).home()
    assert {c for c in home if home[c] != away[c]} == victims and VICTIM not in away.values()


@cases(workers=(1, 2), backends=5)
def test_connections_of_a_removed_backend_end_when_it_dies(lab):
    """A reload has taken it out; it goes on serving what it has, and is still checked."""
    kept = lab.load("http", "--duration", 60, "--requests", 0, "--gap", 0.1, "--timeout", 30)
    lab.wait_connections(128, 0)
    time.sleep(1)
    model = lab.model()
    for p in model["pools"]:
        p["backends"] = p["backends"][:4]
    lab.write_config(model)
    lab.ctl("reload")
    time.sleep(2)
    rows = [b for b in lab.show("backends", "--all") if b["name"] == "s4" and b["pool"] in ("web4", "web6")]
    assert len(rows) == 2 and all(not b["configured"] and b["state"] == "up" and b["check"]["type"] == "http"
                                  for b in rows), rows
    removed = time.monotonic()
    lab.backend("blackhole", "s4")
    dead = time.monotonic()
    time.sleep(DOWN_WITHIN + 2)
    records = kept.stop()
    before = records.only(lambda r: r.end < removed).home()
    victims = {c for c, b in before.items() if b == "s4"}
    assert victims, "nobody was at s4"
    assert records.only(lambda r: r.client not in victims).home() == \
        {c: b for c, b in before.items() if c not in victims}
    for client in victims:
        mine = records.only(lambda r: r.client == client)
        assert [r.error for r in mine.errors()] == ["reset"], mine.errors()
        assert mine.errors()[0].end <= dead + BOUND + 1, mine.errors()[0].end - dead
        assert mine[-1].backend not in (None, "s4"), mine[-1]  # it connected again, to somebody else
    lab.backend("restore", "s4")
    lines = [line for line in lab.log().splitlines() if "backend s4, no longer configured, is DOWN" in line]
    assert len(lines) == 2, lines

    def forgotten():
        return not [b for b in lab.show("backends", "--all") if b["name"] == "s4"]
    eventually(forgotten, 90)  # closed flows have their time-out


@cases(full=True)
def test_long_tables_of_flows_fail_no_check(lab):
    """An operator lists every flow all the time while every backend is checked five times a second."""
    model = lab.model()
    for p in model["pools"]:
        p["health"].update(interval="200ms", timeout="100ms", fall=1)
    for service in model["services"]:
        if service["name"].startswith("close"):
            service["timeouts"] = {"time_wait": "60s"}  # closed flows stay in the tables
    lab.write_config(model)
    lab.restart_limpet()
    for _ in range(5):
        for host in (VIPS[4], f"[{VIPS[6]}]"):
            lab.popen_script("wrk.sh", "-t1", "-c500", "-d2", f"http://{host}:81/").communicate(timeout=60)
        if len(lab.show("flows", "--limit", "65536")) > 5000:
            break
    said = len(lab.log())
    tables, until = [], time.monotonic() + 10
    while time.monotonic() < until:
        tables.append(len(lab.show("flows", "--limit", "65536")))
    assert min(tables) > 2000, tables
    lab.notes.append(f"{len(tables)} tables of up to {max(tables)} flows")
    down = [line for line in lab.log()[said:].splitlines() if " is DOWN" in line]
    assert not down, some(down)
