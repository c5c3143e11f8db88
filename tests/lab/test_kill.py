"""A backend dies: its clients move and come back, nobody else notices."""
import time

from lab import BOUND, DOWN_WITHIN, INTERVAL, UP_WITHIN, cases, eventually, some

BUSY = True  # what they measure has bounds of a second or less, under load (run.py)

VICTIM = "s2"


class Story:
    """New connections every 0.1 s and one kept connection, from every client, while `harm` is done to
    the victim and undone again. Into a black hole those connect once and wait; `probes` give up before a
    SYN would be sent again, and so begin evenly from 2.5 to 4.2 s after the death. With `after_check` the harm comes when the victim has just passed a
    check of that pool: no other moment leaves it unnoticed for longer.

    `dead` is when the victim gave its last answer (or became sick), by the clients' records: neither polling nor a slow
    script makes it later."""

    def __init__(self, lab, harm, heal, after_check=None):
        self.lab = lab
        before = lab.connections()
        self.fresh_load = lab.load("http", "--duration", 120, "--gap", 0.1, "--timeout", 10)
        self.kept_load = lab.load("http", "--duration", 120, "--requests", 0, "--gap", 0.1, "--timeout", 10)
        self.probe_load = lab.load("http", "--duration", 120, "--gap", 1.7, "--timeout", 0.8,
                                   "--parallel", 4)
        lab.wait_connections(8 * 128, before)
        time.sleep(2)
        if after_check:
            self.wait_for_check(after_check)
        began = time.monotonic()
        lab.backend(harm, VICTIM)
        harmed = time.monotonic()
        if harm == "sick":
            age = time.time() - (lab.state / VICTIM / "sick").stat().st_mtime
            sick_since = time.monotonic() - age
        lab.wait_backend(VICTIM, "down", DOWN_WITHIN + 1)
        # From the last check that passed to the state, by limpet's own clock; its last answer, and with
        # it the victim's death, came between the two.
        down = [self.check(pool) for pool in ("web4", "web6")]
        self.took = max(b["check"]["last_ok_s"] - b["since_s"] for b in down)
        time.sleep(max(0.0, harmed + DOWN_WITHIN + 2 - time.monotonic()))
        self.healing = time.monotonic()
        lab.backend(heal, VICTIM)
        self.healed = time.monotonic()
        lab.wait_backend(VICTIM, "up", UP_WITHIN + 1)
        time.sleep(max(0.0, self.healed + UP_WITHIN - time.monotonic()))
        before = lab.connections()
        time.sleep(2)
        lab.wait_connections(8 * 128, before)  # everybody came back, however slow the machine
        self.fresh, self.kept = self.fresh_load.stop(), self.kept_load.stop()
        self.probes = self.probe_load.stop()
        self.home = self.fresh.only(lambda r: r.end < began).home()
        assert len(self.home) == 128, len(self.home)
        self.victims = {c for c, b in self.home.items() if b == VICTIM}
        assert 8 <= len(self.victims) <= 60, len(self.victims)
        if harm == "sick":  # it goes on answering; its file says since when it is
            self.dead = sick_since
        else:
            answers = [r.end for records in (self.fresh, self.kept, self.probes) for r in records
                       if r.backend == VICTIM and r.end < self.healing]
            self.dead = min(max(answers), harmed)
            assert began - 0.2 < self.dead, f"no answer for {began - self.dead:.2f} s before the harm"

    def wait_for_check(self, pool):
        """Returns when a check of the victim has just passed; asking takes too long to look for that."""
        answers = []
        for _ in range(5):
            asked = time.monotonic()
            age = self.check(pool)["check"]["last_ok_s"]
            answers.append((time.monotonic() - asked, time.monotonic() - age))
        passed = min(answers)[1]  # at the latest, by the quickest answer
        time.sleep(INTERVAL - (time.monotonic() - passed) % INTERVAL)

    def check(self, pool):
        return self.lab.show("backends", f"{pool}/{VICTIM}")[0]

    def others_stay_where_they_were(self):
        for records, what in ((self.fresh, "new"), (self.kept, "kept")):
            others = records.only(lambda r: r.client not in self.victims)
            errors = others.errors()
            assert not errors, f"{what} connections to live backends: {len(errors)} failed, {errors[:3]}"
            home = others.home()
            moved = {c: (self.home[c], b) for c, b in home.items() if b != self.home[c]}
            assert not moved, f"{what} connections of clients with live backends moved: {some(moved)}"
        opened = self.kept.only(lambda r: r.client not in self.victims and r.kind == "new")
        assert len(opened) == 128 - len(self.victims), "a kept connection to a live backend was opened twice"

    def own_clients_move_in_time(self):
        """No connection that begins later than BOUND after the death goes there: by the moments at which
        clients began to connect. A SYN into a black hole shows by a probe's time-out."""
        def went_there(r):
            return r.client in self.victims and self.dead < r.start < self.healing and r.kind == "new" and \
                (r.error or r.backend == VICTIM)
        tried = [r for records in (self.fresh, self.kept, self.probes) for r in records if went_there(r)]
        assert tried, "the harm did none"
        last = max(tried, key=lambda r: r.start)
        self.lab.notes.append(f"last connection {last.start - self.dead:.3f} s after the death (bound {BOUND} s), "
                              f"passed check to DOWN {self.took:.3f} s")
        assert last.start - self.dead <= BOUND, f"{last.start - self.dead:.3f} s after the death: {last}"
        after = self.fresh.only(lambda r: r.client in self.victims and
                                self.dead + BOUND < r.start < self.healing)
        away = after.home()
        assert set(away) == self.victims, some(self.victims - set(away))
        assert VICTIM not in away.values(), some(away)
        assert len(set(away.values())) > 1, "all went to one backend"
        return away

    def own_clients_return(self):
        back = self.healed + UP_WITHIN
        after = self.fresh.only(lambda r: r.start > back)
        home = after.home()
        assert home == self.home, some({c: (self.home[c], b) for c, b in home.items() if b != self.home[c]})

    def nobody_flaps(self):
        """In order of time, a victim's client sees its backend, another one, its backend again."""
        for client in self.victims:
            seen = []
            for r in self.fresh.only(lambda r: r.client == client and not r.error):
                if not seen or seen[-1] != r.backend:
                    seen.append(r.backend)
            assert len(seen) == 3 and seen[0] == seen[2] == VICTIM, (client, seen)

    def flows_that_moved_stay(self, away):
        """Connections that clients opened elsewhere live on after their own backend has returned."""
        for client in self.victims:
            late = self.kept.only(lambda r: r.client == client and r.start > self.dead + BOUND)
            assert late and not late.errors(), (client, late.errors()[:2])
            assert {r.backend for r in late} == {away[client]}, (client, away[client])
            assert sum(r.kind == "new" for r in late) <= 1, client


@cases(workers=(1, 2, 4))
def test_a_killed_backend_s_clients_move_and_return(lab):
    story = Story(lab, "kill", "start")
    story.others_stay_where_they_were()
    away = story.own_clients_move_in_time()
    story.nobody_flaps()
    story.flows_that_moved_stay(away)
    story.own_clients_return()


@cases()
def test_a_backend_that_dies_right_after_a_check_is_out_in_time(lab):
    Story(lab, "kill", "start", after_check="web4").own_clients_move_in_time()


@cases(workers=(1, 2, 4), full={4})
def test_a_vanished_backend_s_flows_are_reset(lab):
    """The machine is gone without a FIN: clients must not wait for their own time-outs."""
    story = Story(lab, "blackhole", "restore")
    story.others_stay_where_they_were()
    away = story.own_clients_move_in_time()
    story.own_clients_return()
    story.flows_that_moved_stay(away)
    hung = story.fresh.only(lambda r: r.client in story.victims and r.error == "timeout")
    assert not hung, f"{len(hung)} new connections were left hanging, first {hung[0]}"
    for client in story.victims:
        errors = story.kept.only(lambda r: r.client == client and r.error)
        assert [e.error for e in errors] == ["reset"] or \
            {e.error for e in errors} <= {"reset", "refused"} and errors[0].error == "reset", errors
        assert errors[0].end <= story.dead + BOUND + 1, (errors[0], story.dead)


@cases(workers=(1, 2, 4), full={4})
def test_a_sick_backend_that_still_answers_gets_no_new_connection(lab):
    """Only /health says 503: whoever still sends clients there is caught by its answers."""
    story = Story(lab, "sick", "well")
    story.others_stay_where_they_were()
    away = story.own_clients_move_in_time()
    story.nobody_flaps()
    story.flows_that_moved_stay(away)
    story.own_clients_return()


@cases(workers=(1, 2, 4), full={4})
def test_udp_clients_move_and_return(lab):
    def home(timeout=0.5):
        return lab.clients("udp", "--sockets", 2, "--datagrams", 3, "--timeout", timeout, port=7000).home()
    before = home()
    victims = {c for c, b in before.items() if b == VICTIM}
    lab.backend("kill", VICTIM)
    lab.wait_backend(VICTIM, "down", DOWN_WITHIN)
    during = home()
    assert {c for c in before if before[c] != during[c]} == victims, some(during)
    assert VICTIM not in during.values()
    lab.backend("start", VICTIM)
    lab.wait_backend(VICTIM, "up", UP_WITHIN)
    assert home() == before


@cases()
def test_a_live_udp_flow_leaves_a_dead_backend(lab):
    """One socket that goes on sending: within the detection time its answers come from elsewhere."""
    known = lab.connections()
    load = lab.load("udp", "--sockets", 1, "--datagrams", 1000000, "--timeout", 0.3, "--duration", 14,
                    "--parallel", 4, port=7000)
    lab.wait_connections(128, known)
    began = time.monotonic()
    lab.backend("blackhole", VICTIM)
    harmed = time.monotonic()
    lab.wait_backend(VICTIM, "down", DOWN_WITHIN)
    records = load.wait()
    before = records.only(lambda r: r.end < began).home()
    victims = {c for c, b in before.items() if b == VICTIM}
    assert victims
    dead = min(harmed, max(r.end for r in records if r.backend == VICTIM))
    late = records.only(lambda r: r.start > dead + BOUND).home()
    assert set(late) == set(before), some(set(before) - set(late))
    assert {c for c in before if before[c] != late[c]} == victims
    lab.backend("restore", VICTIM)


@cases()
def test_killed_twice_under_heavy_load_leaks_nothing(lab):
    """Full speed, connections ended by FIN and by RST; the runner then checks counters and mbufs."""
    loads = [lab.load("http", "--duration", 60, "--parallel", 2, "--timeout", 10),
             lab.load("http", "--duration", 60, "--requests", 5, "--reset", "--timeout", 10)]
    for name in ("s1", "s3"):
        time.sleep(1)
        lab.backend("kill", name)
        lab.wait_backend(name, "down", DOWN_WITHIN)
        lab.backend("start", name)
        lab.wait_backend(name, "up", UP_WITHIN)
    time.sleep(1)
    counts = [len(load.stop()) for load in loads]
    assert min(counts) > 2000, counts
    lab.clients("http", "--connections", 5, "--gap", 0.05).home()


@cases(workers=(1, 2, 4), full={4})
def test_an_empty_pool_refuses_at_once(lab):
    for i in range(4):
        lab.backend("kill", f"s{i}")
    for i in range(4):
        lab.wait_backend(f"s{i}", "down", DOWN_WITHIN)
    assert all(s["state"] == "down" and s["backends_up"] == 0 for s in lab.show("services"))
    before = lab.drops()["no_backend"]
    tcp = lab.clients("http", "--connections", 2, "--gap", 0.1, "--timeout", 5)
    assert {r.error for r in tcp} == {"refused"}, some([r for r in tcp if r.error != "refused"])
    assert max(r.end - r.start for r in tcp) < 1.0, max(r.end - r.start for r in tcp)
    # ICMP unreachable becomes "connection refused" on a connected socket; errors may be rate limited.
    udp = lab.clients("udp", "--sockets", 1, "--datagrams", 1, "--timeout", 1, "--clients", 8, port=7000)
    assert {r.error for r in udp} == {"refused"}, some([r for r in udp if r.error != "refused"])
    counted = {s["name"]: s["no_backend_total"] for s in lab.show("services")}
    assert counted["web4"] >= 128 and counted["web6"] >= 128 and counted["echo4"] >= 8, counted
    assert lab.drops()["no_backend"] >= before + 2 * 128 + 8
    for i in range(4):
        lab.backend("start", f"s{i}")
    for i in range(4):
        lab.wait_backend(f"s{i}", "up", UP_WITHIN)
    lab.clients("http", "--connections", 2, "--gap", 0.05).home()


@cases()
def test_an_operator_drains_and_takes_out_a_backend(lab):
    """drain: no new client, kept connections go on. down: those are reset. up: as the checks say."""
    kept = lab.load("http", "--duration", 60, "--requests", 0, "--gap", 0.1)
    time.sleep(1)
    home = lab.clients("http", "--connections", 2, "--gap", 0.05).home()
    pools = [f"web{f}/{VICTIM}" for f in (4, 6)]
    for one in pools:
        lab.ctl("backend", one, "drain")
    drained = time.monotonic()
    during = lab.clients("http", "--connections", 2, "--gap", 0.05).home()
    victims = {c for c in home if home[c] == VICTIM}
    assert {c for c in home if home[c] != during[c]} == victims and VICTIM not in during.values()
    time.sleep(1)
    taken_out = time.monotonic()
    for one in pools:
        lab.ctl("backend", one, "down")
    time.sleep(2)
    for one in pools:
        lab.ctl("backend", one, "up")
    records = kept.stop()
    before = records.only(lambda r: r.end < taken_out)
    assert before.home() == home, "draining touched a kept connection"
    assert any(r.start > drained for r in before)
    errors = records.errors()
    assert {r.client for r in errors} == victims and {r.error for r in errors} == {"reset"}, errors[:3]
    assert max(r.end for r in errors) < taken_out + 1, max(r.end for r in errors) - taken_out
    lab.wait_backend(VICTIM, "up", UP_WITHIN)
    assert lab.clients("http", "--connections", 2, "--gap", 0.05).home() == home


@cases()
def test_log_has_one_line_per_state_change(lab):
    lab.backend("kill", VICTIM)
    lab.wait_backend(VICTIM, "down", DOWN_WITHIN)
    lab.backend("start", VICTIM)
    lab.wait_backend(VICTIM, "up", UP_WITHIN)

    def check():
        for pool in ("web4", "web6"):
            lines = [line for line in lab.log().splitlines() if f"pool {pool} backend {VICTIM} is" in line]
            states = [line.split(f"{VICTIM} is ")[1].split()[0] for line in lines]
            assert states == ["UP", "DOWN", "UP"], lines
        return True
    eventually(check, 2)
