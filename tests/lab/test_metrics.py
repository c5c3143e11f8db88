"""Prometheus, Debian's own, scrapes limpet in the lab; what its dashboard asks for is there."""
import contextlib
import json
import pathlib
import subprocess
import urllib.parse

import labconfig
from lab import VIPS, cases, eventually
from test_cookie import APP_PORT, app
from test_haproxy import play
from test_program import start as run_to_its_end

PORT, BACKENDS, SCRAPED, PROMETHEUS = 9000, 4, "127.0.0.1:9817", "127.0.0.1:9090"
DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "config" / "grafana.json"


def start(lab, listen):
    model = lab.model()
    pool = labconfig.pool(model, "web4")
    model["pools"] = [dict(pool, backends=[dict(b, port=APP_PORT) for b in pool["backends"]])]
    model["services"] = [{"name": "web", "vip": VIPS[4], "port": PORT, "protocol": "tcp", "mode": "splice",
                          "pool": "web4", "persistence": [{"type": "cookie", "name": "SRV", "value": "plain"}]}]
    model["metrics"] = {"listen": listen}
    lab.write_config(model)
    lab.start_limpet()


def fetch(lab, *more, path="/metrics"):
    return lab.run("lb", "curl", "-sS", "--max-time", "10", *more, f"http://{SCRAPED}{path}").stdout


def ask(lab, query):
    """The samples of an instant query: (labels, value)."""
    text = lab.run("lb", "curl", "-sS", "--max-time", "10",
                   f"http://{PROMETHEUS}/api/v1/query?query={urllib.parse.quote(query)}").stdout
    answer = json.loads(text)
    assert answer["status"] == "success", (query, answer)
    return [(r["metric"], float(r["value"][1])) for r in answer["data"]["result"]]


def visits(lab, lines):
    for line in lines:
        [[answer]] = play(lab, "client", [{"to": [VIPS[4], PORT], "source": None, "at_once": False, "requests":
                                           [f"GET / HTTP/1.1\r\nHost: lab\r\n{line}\r\n"]}])
        assert answer["status"] == 200, answer


@contextlib.contextmanager
def prometheus(lab):
    config = lab.state / "prometheus.yml"
    config.write_text("global:\n  scrape_interval: 1s\nscrape_configs:\n"
                      f"  - job_name: limpet\n    static_configs: [ {{ targets: [ '{SCRAPED}' ] }} ]\n")
    lab.run("lb", "promtool", "check", "config", config)
    process = lab.popen("lb", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={lab.state}/tsdb",
                        f"--web.listen-address={PROMETHEUS}", stderr=open(lab.state / "prometheus.log", "w"))
    try:
        yield
    finally:
        process.kill()
        process.wait()


@cases(backends=BACKENDS, start=False)
def test_prometheus_scrapes_what_the_dashboard_asks_for(lab):
    with app(lab):
        start(lab, SCRAPED)
        with prometheus(lab):
            def scraped():
                return [v for _, v in ask(lab, "up")] == [1.0]
            eventually(lambda: "Server is ready" in (lab.state / "prometheus.log").read_text(), 30)
            eventually(scraped, 20)
            visits(lab, 5 * [""] + 7 * ["Cookie: SRV=s1\r\n"] + 2 * ["Cookie: SRV=nobody\r\n"])

            def counted():
                kept = dict((m["result"], v) for m, v in ask(lab, "limpet_persistence_decisions_total"))
                return kept == {"kept": 7, "new": 5, "invalid": 2, "expired": 0, "moved_down": 0, "moved_refused": 0,
                                "other_backend": 0}
            eventually(counted, 20)
            # The same numbers as `show`.
            for row in lab.show("backends"):
                [(_, total)] = ask(lab, f'limpet_backend_connections_total{{backend="{row["name"]}"}}')
                assert total == row["connections_total"], row
            queries = [t["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"]
                       for t in panel.get("targets", [])]
            assert len(queries) >= 10, queries

            def all_answered():
                for query in queries:
                    query = query.replace("$__rate_interval", "10s").replace("$service", "web").replace("$pool", "web4")
                    assert ask(lab, query), f"no data: {query}"
                return True
            eventually(all_answered, 30)
            lab.notes.append(f"{len(queries)} queries of the dashboard")

        # OpenMetrics by Accept, the older format else; promtool reads the text.
        text = fetch(lab)
        assert text.startswith("# HELP limpet_build_info ") and not text.endswith("# EOF\n")
        assert fetch(lab, "-H", "Accept: application/openmetrics-text").endswith("# EOF\n")
        checked = lab.state / "metrics.txt"
        checked.write_text(text)
        assert lab.run("lb", "sh", "-c", f"promtool check metrics < {checked} 2>&1").stdout == ""


@contextlib.contextmanager
def silent(lab, count):
    """As many connections that ask for nothing."""
    host, port = SCRAPED.split(":")
    process = lab.popen("lb", "python3", "-c", f"""
import socket, time
all = [socket.create_connection(("{host}", {port})) for _ in range({count})]
print("ready", flush=True)
time.sleep(60)
""", stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline().strip() == b"ready"
        yield
    finally:
        process.kill()
        process.wait()


@cases(start=False)
def test_a_place_that_cannot_be_is_a_start_error(lab):
    model = lab.model()
    model["metrics"] = {"listen": [SCRAPED, "192.0.2.1:9817"]}
    lab.write_config(model)
    code, text = run_to_its_end(lab, lab.state / "limpet.cfg")
    assert code == 1 and "metrics.listen 192.0.2.1:9817: " in text, (code, text)


@cases(start=False)
def test_a_reload_moves_where_metrics_are_told(lab):
    model = lab.model()
    lab.write_config(model)
    lab.start_limpet()
    socket = lab.state / "metrics.sock"

    def told(*where):
        return lab.run("lb", "curl", "-sS", "--max-time", "5", *where, check=False).stdout.startswith("# HELP")
    assert not told(f"http://{SCRAPED}/metrics")
    model["metrics"] = {"listen": [SCRAPED, "[::1]:9817", f"unix:{socket}"]}
    lab.write_config(model)
    lab.ctl("reload")
    assert told(f"http://{SCRAPED}/metrics") and told("http://[::1]:9817/metrics")
    assert told("--unix-socket", str(socket), "http://limpet/metrics")
    # The port is there once: it moves from one address to all, and back.
    for listen in ("0.0.0.0:9817", SCRAPED):
        model["metrics"] = {"listen": [listen, f"unix:{socket}"]}
        lab.write_config(model)
        lab.ctl("reload")
        assert told(f"http://{SCRAPED}/metrics"), listen
    # Sixteen and more that say nothing keep nobody out.
    with silent(lab, 40):
        assert told(f"http://{SCRAPED}/metrics")
    # One that cannot be: nothing changes, and the metrics say that the reload failed.
    model["metrics"] = {"listen": ["192.0.2.1:9817"]}
    lab.write_config(model)
    refused = lab.ctl("reload", check=False)
    said = refused.stdout + (refused.stderr or "")
    assert refused.returncode == 1 and "192.0.2.1:9817" in said, said
    assert "\nlimpet_config_last_reload_successful 0\n" in fetch(lab)
    del model["metrics"]
    lab.write_config(model)
    lab.ctl("reload")
    assert not told(f"http://{SCRAPED}/metrics") and not socket.exists()
