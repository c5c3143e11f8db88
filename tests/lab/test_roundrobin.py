"""scheduler = "roundrobin": who has no key takes turns, by weight; a cookie overrides."""
import collections

import labconfig
from lab import VIPS, cases
from test_cookie import APP_PORT, app
from test_haproxy import play

PORT, BACKENDS = 9000, 4
WEIGHTS = [1, 1, 2, 4]


def start(lab, **service):
    model = lab.model()
    pool = labconfig.pool(model, "web4")
    model["pools"] = [dict(pool, scheduler="roundrobin",
                           backends=[dict(b, port=APP_PORT, weight=w) for b, w in zip(pool["backends"], WEIGHTS)])]
    model["services"] = [{"name": "web", "vip": VIPS[4], "port": PORT, "protocol": "tcp", "pool": "web4", **service}]
    lab.write_config(model)
    lab.start_limpet()
    for n in range(BACKENDS):
        lab.wait_backend(f"web4/s{n}", "up", 10)


def asked(lab, lines, source=None):
    """Backend and cookie of each request, one after the other, each on its own connection."""
    result = []
    for line in lines:
        [[answer]] = play(lab, "client", [{"to": [VIPS[4], PORT], "source": source, "at_once": False, "requests":
                                           [f"GET / HTTP/1.1\r\nHost: lab\r\n{line}\r\n"]}])
        fields = dict(answer["headers"])
        result.append((fields["x-backend"], fields.get("set-cookie", "").split(";")[0]))
    return result


def turns(lab, mode):
    with app(lab):
        start(lab, mode=mode)
        backends = [b for b, _ in asked(lab, 24 * [""])]
        counts = collections.Counter(backends)
        assert [counts[f"s{n}"] for n in range(BACKENDS)] == [3 * w for w in WEIGHTS], backends
        assert all(a != b for a, b in zip(backends, backends[1:]) if a != "s3"), f"in a row: {backends}"
        lab.ctl("backend", "web4/s3", "drain")
        counts = collections.Counter(b for b, _ in asked(lab, 16 * [""]))
        assert counts["s3"] == 0 and abs(counts["s2"] - 8) <= 1, counts


@cases(backends=BACKENDS, start=False)
def test_new_clients_take_turns_by_weight_in_mode_nat(lab):
    turns(lab, "nat")


@cases(backends=BACKENDS, start=False)
def test_new_clients_take_turns_by_weight_in_mode_splice(lab):
    turns(lab, "splice")


@cases(backends=BACKENDS, start=False)
def test_round_robin_first_then_the_cookie(lab):
    with app(lab):
        start(lab, mode="splice", persistence=[{"type": "cookie", "name": "SRV", "value": "plain"}])
        first = asked(lab, 8 * [""], labconfig.client_addresses(4)[0])
        assert collections.Counter(b for b, _ in first) == {f"s{n}": w for n, w in enumerate(WEIGHTS)}, first
        assert all(cookie.startswith("SRV=") for _, cookie in first)
        for _ in range(3):
            again = asked(lab, [f"Cookie: {cookie}\r\n" for _, cookie in first], labconfig.client_addresses(4)[1])
            assert [b for b, _ in again] == [b for b, _ in first], "from another address too"
        reasons = next(iter(lab.show("services")))["reasons"]
        assert (reasons["cookie"], reasons["cookie_none"]) == (24, 8), reasons
