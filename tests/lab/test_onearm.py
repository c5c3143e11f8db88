"""One port: clients, VIPs and backends share a network, and every frame leaves by where it came in."""
import concurrent.futures

from lab import VIPS, cases, some
from labconfig import backend_address, client_addresses
from test_bulk import download, sha256, upload


@cases(workers=(1, 2, 4), full={4}, one_arm=True)
def test_curl_from_many_addresses_stays_with_one_backend(lab):
    clients = client_addresses(4)[:12] + client_addresses(6)[:12]

    def curl(client):
        host = f"[{VIPS[6]}]" if ":" in client else VIPS[4]
        text = lab.run("client", "curl", "-sS", "--max-time", 5, "--interface", client,
                       *[f"http://{host}/"] * 3, "--next", "-sS", "--max-time", 5, "--interface", client,
                       f"http://{host}/").stdout
        return client, set(text.split()), len(text.split())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(curl, clients))
    assert all(n == 4 and len(backends) == 1 for _, backends, n in answers), some(answers)
    by_curl = {client: backends.pop() for client, backends, _ in answers}
    assert set(by_curl.values()) == {"s0", "s1", "s2", "s3"}, by_curl

    records = lab.clients("http", "--connections", 20, "--gap", 0.02)
    home = records.home()
    assert len(home) == 128 and len(records) == 128 * 20, (len(home), len(records))
    assert {c: home[c] for c in by_curl} == by_curl
    udp = lab.clients("udp", "--sockets", 4, "--datagrams", 5, "--timeout", 1, port=7000)
    assert len(udp.home()) == 128

    # The backends are neighbors of the clients and could have answered them directly: full NAT it was.
    assert lab.run("lb", "ls", "/sys/class/net").stdout.split() == ["l0", "lo"]
    flows = lab.show("flows", "--limit", "100000")
    ours = {4: "10.1.0.254", 6: "fd00:1::254"}
    known = {backend_address(i, f, True): ours[f] for f in (4, 6) for i in range(4)}
    assert len(flows) >= 128 and all(f["source"] == known[f["backend"]] for f in flows), some(flows)


@cases(workers=(1, 2, 4), full={4}, one_arm=True)
def test_bulk_transfers_over_one_port_arrive_whole(lab):
    path = lab.random_file(50)
    wanted = sha256(path)
    for family in (4, 6):
        assert download(lab, family, 50) == wanted
        assert upload(lab, family, path) == wanted


@cases(one_arm=True)
def test_a_killed_backend_s_clients_move_and_return_over_one_port(lab):
    home = lab.clients("http", "--connections", 3, "--gap", 0.05).home()
    lab.backend("kill", "s1")
    lab.wait_backend("s1", "down", 5)
    away = lab.clients("http", "--connections", 3, "--gap", 0.05).home()
    assert {c for c in home if home[c] != away[c]} == {c for c, b in home.items() if b == "s1"}
    assert "s1" not in away.values()
    lab.backend("start", "s1")
    lab.wait_backend("s1", "up", 5)
    assert lab.clients("http", "--connections", 3, "--gap", 0.05).home() == home
