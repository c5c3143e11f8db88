"""The configuration changes while clients work."""
import os
import signal
import time

from lab import cases, eventually, some


def loads(lab):
    return (lab.load("http", "--duration", 120, "--gap", 0.05),
            lab.load("http", "--duration", 120, "--requests", 0, "--gap", 0.05))


def pools_of(model, names):
    return [p for p in model["pools"] if p["name"] in names]


@cases(workers=(1, 2, 4))
def test_reload_under_load_fails_no_request_and_moves_nobody(lab):
    running = loads(lab)
    time.sleep(1)
    model = lab.model()
    for i in range(6):
        for pool in model["pools"]:
            pool["health"]["fall"] = 3 + i % 2  # a change that moves nobody
        lab.write_config(model)
        lab.ctl("reload")
        time.sleep(0.5)
    fresh, kept = (load.stop() for load in running)
    assert fresh.home() == kept.home()
    assert sum(r.kind == "new" for r in kept) == 128, "a kept connection was opened twice"


@cases(workers=(1, 2))
def test_every_kind_of_change_under_load_fails_no_request(lab):
    """By SIGHUP and by limpetctl in turn; kept connections stay where they are whatever is changed."""
    running = loads(lab)
    time.sleep(1)
    changes = (
        lambda m, i: [p["health"].update(interval="500ms", timeout="400ms", fall=2) for p in m["pools"]],
        lambda m, i: [p["health"].update(type="tcp") or [p["health"].pop(k) for k in ("uri", "expect")]
                      for p in pools_of(m, ("web4", "close6"))],
        lambda m, i: [p.update(health={"type": "none"}) for p in pools_of(m, ("web6", "echo4"))],
        lambda m, i: [b.update(weight=1 + n) for p in m["pools"] for n, b in enumerate(p["backends"])],
        lambda m, i: [s.update(timeouts={"idle": "90s"}) for s in m["services"]],
        lambda m, i: [p.update(source_addresses=["10.2.0.253", "10.2.0.254"]) for p in pools_of(m, ("web4",))],
        lambda m, i: [s.update(persistence=[{"type": "source", "prefix4": 24 if s["name"][-1] == "4" else 32}])
                      for s in m["services"]],
        lambda m, i: m["services"].append(dict(m["services"][0], name="extra", port=8888)),
        lambda m, i: m["services"].reverse() or m["pools"].reverse(),
        lambda m, i: [p["backends"].reverse() for p in m["pools"]],
        lambda m, i: m.update(routes=[{"to": "192.0.2.0/24", "via": "10.2.0.9"}]),
        lambda m, i: None,
    )
    for i, change in enumerate(changes):
        model = lab.model()
        change(model, i)
        lab.write_config(model)
        if i % 2:
            said = len(lab.log())
            os.kill(lab.limpet_pid(), signal.SIGHUP)
            eventually(lambda: "reloaded " in lab.log()[said:], 5)
        else:
            lab.ctl("reload")
        time.sleep(0.4)
    at_end = lab.connections()
    lab.wait_connections(256, at_end)
    fresh, kept = (load.stop() for load in running)
    assert not fresh.errors() and not kept.errors(), (fresh.errors()[:2], kept.errors()[:2])
    kept.home()
    assert sum(r.kind == "new" for r in kept) == 128, "a kept connection was opened twice"
    assert "refused" not in lab.log(), [line for line in lab.log().splitlines() if "refused" in line][:2]
    # The last reload was the first file again: so is where clients go.
    assert lab.clients("http", "--connections", 2, "--gap", 0.05).home() == kept.home()


@cases()
def test_sighup_reloads(lab):
    model = lab.model()
    for pool in pools_of(model, ("web4", "web6")):
        pool["backends"] = pool["backends"][:3]
    lab.write_config(model)
    os.kill(lab.limpet_pid(), signal.SIGHUP)

    def check():
        totals = {s["name"]: s["backends_total"] for s in lab.show("services")}
        assert totals["web4"] == totals["web6"] == 3, totals
        return True
    eventually(check, 3)


@cases()
def test_a_bad_file_changes_nothing_and_says_why(lab):
    running = loads(lab)
    time.sleep(0.5)
    before = strip(lab.show("services"))
    good = (lab.state / "limpet.cfg").read_text()
    model = lab.model()
    model["services"][0]["pool"] = "wbe4"
    del model["pools"][1]
    lab.write_config(model)
    done = lab.ctl("reload", check=False)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "limpet.cfg:" in text and "wbe4" in text, text
    lab.write_config(good + "\nthis is not libconfig\n")
    done = lab.ctl("reload", check=False)
    assert done.returncode != 0 and "limpet.cfg:" in done.stdout + done.stderr, done.stdout + done.stderr
    said = len(lab.log())
    os.kill(lab.limpet_pid(), signal.SIGHUP)
    eventually(lambda: "limpet.cfg:" in lab.log()[said:], 3)
    assert strip(lab.show("services")) == before
    lab.write_config(good)
    lab.ctl("reload")
    fresh, kept = (load.stop() for load in running)
    assert fresh.home() == kept.home()


def strip(services):
    """What does not count."""
    names = ("name", "vip", "port", "protocol", "mode", "pool", "state", "backends_up", "backends_total")
    return [{n: s[n] for n in names} for s in services]


@cases(workers=(1, 2), backends=5)
def test_a_backend_is_added_and_removed_by_reload(lab):
    """Existing flows stay; of the new connections about the share of the newcomer moves to it."""
    model = lab.model()
    four = [p["backends"][:4] for p in model["pools"]]
    five = [p["backends"] for p in model["pools"]]

    def use(lists):
        for pool, backends in zip(model["pools"], lists):
            pool["backends"] = backends
        lab.write_config(model)
    use(four)
    lab.restart_limpet()
    at_start = lab.connections()
    running = loads(lab)
    time.sleep(1.5)
    lab.wait_connections(512, at_start)  # everybody has been somewhere, however slow the machine
    added = time.monotonic()
    use(five)
    lab.ctl("reload")
    lab.wait_backend("s4", "up", 4)
    joined = time.monotonic()
    at_joined = lab.connections()
    kept_later = lab.load("http", "--duration", 120, "--requests", 0, "--gap", 0.05)
    time.sleep(2)
    lab.wait_connections(768, at_joined)
    removed = time.monotonic()
    use(four)
    lab.ctl("reload")
    reloaded = time.monotonic()
    at_reload = lab.connections()
    time.sleep(2)
    lab.wait_connections(512, at_reload)
    fresh, kept = (load.stop() for load in running)
    kept_later = kept_later.stop()

    assert not fresh.errors() and not kept.errors() and not kept_later.errors(), \
        (fresh.errors()[:2], kept.errors()[:2], kept_later.errors()[:2])
    before = fresh.only(lambda r: r.end < added).home()
    between = fresh.only(lambda r: joined < r.start and r.end < removed).home()
    after = fresh.only(lambda r: r.start > reloaded).home()
    movers = {c for c in before if before[c] != between[c]}
    assert 8 <= len(movers) <= 50, len(movers)  # 1/5 of 128 is 26
    to_old = {c for c in movers if between[c] != "s4"}
    assert len(to_old) <= 8, some(to_old)  # Maglev disturbs a few
    assert after == before
    assert kept.home() == before, "flows from before the change moved"
    assert kept_later.home() == between, "flows to the newcomer did not survive its removal"


@cases()
def test_what_needs_a_restart_is_refused(lab):
    model = lab.model()
    model["ports"][0]["addresses"] = ["10.1.0.253/24", "fd00:1::254/64"]
    lab.write_config(model)
    done = lab.ctl("reload", check=False)
    assert done.returncode != 0 and "restart" in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
    lab.clients("http", "--connections", 2, "--gap", 0.05).home()


@cases()
def test_a_service_is_added_and_removed_by_reload(lab):
    model = lab.model()
    extra = dict(model["services"][0], name="extra", port=8888)
    lab.write_config({**model, "services": model["services"] + [extra]})
    lab.ctl("reload")
    home = lab.clients("http", "--connections", 2, "--gap", 0.05, port=8888, families=(4,)).home()
    assert home == lab.clients("http", "--connections", 2, "--gap", 0.05, families=(4,)).home()
    lab.write_config(model)
    lab.ctl("reload")
    records = lab.clients("http", "--clients", 4, "--timeout", 1, port=8888, families=(4,))
    assert len(records.errors()) == 4, records
