"""Every client address reaches one backend only."""
import collections
import concurrent.futures
import time

from lab import VIPS, cases, eventually, some
from labconfig import client_addresses

BUSY = True  # wrk and all clients at once (run.py)


@cases(workers=(1, 2, 4))
def test_every_tcp_client_stays_with_one_backend(lab):
    records = lab.clients("http", "--connections", 40, "--gap", 0.02)
    home = records.home()
    assert len(home) == 128 and len(records) == 128 * 40, (len(home), len(records))
    plausible(home, 4)


@cases(workers=(1, 2, 4))
def test_every_udp_client_stays_with_one_backend(lab):
    records = lab.clients("udp", "--sockets", 8, "--datagrams", 10, "--timeout", 1, port=7000)
    home = records.home()
    assert len(home) == 128 and len(records) == 128 * 80, (len(home), len(records))
    plausible(home, 4)


@cases()
def test_many_connections_at_once_of_one_client_share_its_backend(lab):
    records = lab.clients("http", "--clients", 8, "--parallel", 25, "--connections", 4, "--requests", 3)
    assert len(records.home()) == 16 and len(records) == 16 * 25 * 4 * 3, len(records)


@cases()
def test_curl_gets_what_every_other_client_gets(lab):
    home = lab.clients("http", "--connections", 3, "--gap", 0.02).home()

    def curl(client):
        host = f"[{VIPS[6]}]" if ":" in client else VIPS[4]
        return client, lab.run("client", "curl", "-sS", "--max-time", 5, "--interface", client,
                               f"http://{host}/").stdout.strip()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        by_curl = dict(pool.map(curl, client_addresses(4) + client_addresses(6)))
    assert by_curl == home, some({c: (by_curl[c], home.get(c)) for c in by_curl if by_curl[c] != home.get(c)})


@cases(workers=(1, 2))
def test_wrk_from_all_clients_and_the_flow_list_agree_with_the_clients(lab):
    """wrk cannot say which address it came from; limpet's flow list can."""
    home = lab.clients("http", "--connections", 2, "--gap", 0.02).home()
    for family in (4, 6):
        host = f"[{VIPS[6]}]" if family == 6 else VIPS[4]
        wrk = lab.popen_script("wrk.sh", "-t2", "-c128", "-d6", f"http://{host}/")

        def live():
            flows = [f for f in lab.show("flows", "--limit", "100000")
                     if f["service"] == f"web{family}" and f["state"] == "established"]
            clients = {f["client"] for f in flows}
            assert len(flows) >= 128 and len(clients) == 64, f"{len(flows)} flows of {len(clients)} clients"
            return flows
        flows = eventually(live, 20)  # wrk begins late on a busy machine
        text = wrk.communicate(timeout=60)[0]
        assert wrk.returncode == 0 and "Socket errors" not in text and "Non-2xx" not in text, text
        seen, sep = collections.defaultdict(set), ":" if family == 6 else "."
        for f in flows:
            seen[f["client"]].add(f"s{int(f['backend'].split(sep)[-1]) - 10}")  # 10.2.0.10 and fd00:2::10 are s0
        assert all(seen[c] == {home[c]} for c in seen), some({c: (seen[c], home[c]) for c in seen})


@cases()
def test_explain_says_where_clients_went(lab):
    home = lab.clients("http", "--connections", 2, "--gap", 0.02).home()
    for client in client_addresses(4)[:8] + client_addresses(6)[:8]:
        text = lab.ctl("explain", client, "web6" if ":" in client else "web4").stdout
        assert f"/{home[client]} " in text and "source" in text, (home[client], text)


@cases(workers=(1, 2, 4))
def test_a_restart_changes_nobody_s_backend(lab):
    before = lab.clients("http", "--connections", 3, "--gap", 0.02).home()
    before_udp = lab.clients("udp", "--sockets", 2, "--datagrams", 2, port=7000).home()
    lab.restart_limpet()
    assert lab.clients("http", "--connections", 3, "--gap", 0.02).home() == before
    assert lab.clients("udp", "--sockets", 2, "--datagrams", 2, port=7000).home() == before_udp


@cases(workers=(1, 2))
def test_weights_are_respected(lab):
    """Shares of the Maglev table within 2 % of the weights; a weight of 0 gets no client."""
    model = lab.model()
    weights = {"s0": 1, "s1": 2, "s2": 3, "s3": 0}
    for pool in model["pools"]:
        for backend in pool["backends"]:
            backend["weight"] = weights[backend["name"]]
    lab.write_config(model)
    lab.restart_limpet()
    for pool in ("web4", "web6"):
        entries = {b["name"]: b["maglev_entries"] for b in lab.show("backends") if b["pool"] == pool}
        total = sum(entries.values())
        for name, weight in weights.items():
            share = weight / sum(weights.values())
            assert abs(entries[name] / total - share) <= 0.02 * share, (pool, entries)
    home = lab.clients("http", "--connections", 5, "--gap", 0.02).home()
    clients = collections.Counter(home.values())
    assert set(clients) == {"s0", "s1", "s2"}, clients
    assert clients["s0"] < clients["s2"], clients  # 21 and 64 of 128 expected


@cases(workers=(1, 2))
def test_connections_on_their_own_come_by_weight(lab):
    """Without persistence each connection is balanced on its own: thousands of them, so that shares can be told."""
    model = lab.model()
    weights = {"s0": 1, "s1": 2, "s2": 3, "s3": 4}
    for service in model["services"]:
        del service["persistence"]
    for pool in model["pools"]:
        for backend in pool["backends"]:
            backend["weight"] = weights[backend["name"]]
    lab.write_config(model)
    lab.restart_limpet()
    records = lab.clients("http", "--connections", 60, "--gap", 0.02)
    assert not records.errors(), records.errors()[:3]
    came = collections.Counter(r.backend for r in records)
    for name, weight in weights.items():
        share, wanted = came[name] / len(records), weight / sum(weights.values())
        # 7,680 connections: four standard deviations, and the 2 % of the table
        assert abs(share - wanted) <= 4 * (wanted * (1 - wanted) / len(records)) ** 0.5 + 0.02 * wanted, came


@cases()
def test_workers_that_spin_do_the_same(lab):
    model = lab.model()
    model["poll"] = "spin"
    lab.write_config(model)
    lab.restart_limpet()
    home = lab.clients("http", "--connections", 5, "--gap", 0.02).home()
    plausible(home, 4)
    assert lab.clients("udp", "--sockets", 1, "--datagrams", 2, "--timeout", 2, port=7000).home().keys() == home.keys()
    workers = lab.show("workers")
    assert [w["poll"] for w in workers] == ["spin"], workers


@cases()
def test_a_prefix_makes_neighbours_share_a_backend(lab):
    model = lab.model()
    for service in model["services"]:
        service["persistence"] = [{"type": "source", "prefix4": 28, "prefix6": 64}]
    lab.write_config(model)
    lab.restart_limpet()
    home = lab.clients("http", "--connections", 4, "--gap", 0.02).home()
    for start in range(16, 64, 16):
        group = {home[c] for c in client_addresses(4)[start - 1:start + 15]}
        assert len(group) == 1, f"10.1.0.{start}/28: {group}"
    assert len({home[c] for c in client_addresses(6)}) == 1


@cases()
def test_counters_of_a_service_count_what_clients_did(lab):
    records = lab.clients("http", "--connections", 10, "--requests", 2, families=(4,))
    home = records.home()

    def check():
        service = next(s for s in lab.show("services") if s["name"] == "web4")
        assert service["connections_total"] == 640, service["connections_total"]
        backends = {b["name"]: b["connections_total"] for b in lab.show("backends") if b["pool"] == "web4"}
        wanted = collections.Counter(home[r.client] for r in records if r.kind == "new")
        assert backends == {b: wanted[b] for b in backends}, (backends, wanted)
        assert service["packets_in"] >= 640 * 5 and service["packets_out"] >= 640 * 4, service
        return True
    eventually(check, within=3)


def plausible(home, backends):
    """128 clients over equal backends: each within four standard deviations of its share."""
    clients = collections.Counter(home.values())
    share = len(home) / backends
    spread = 4 * (len(home) * (1 / backends) * (1 - 1 / backends)) ** 0.5
    assert len(clients) == backends and all(abs(n - share) <= spread for n in clients.values()), clients
