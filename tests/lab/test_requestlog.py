"""The log of requests and flows, with real clients and backends: `log = { to = "file:..."; }`."""
import json
import os
import re

import labconfig
from lab import VIPS, cases, eventually
from test_haproxy import play

PORT, NAT_PORT, BACKENDS = 9000, 9001, 2


def start(lab, path, fmt):
    model = lab.model()
    model["pools"] = [labconfig.pool(model, "web4")]
    service = {"vip": VIPS[4], "protocol": "tcp", "pool": "web4"}
    model["services"] = [
        dict(service, name="web", port=PORT, mode="splice",
             persistence=[{"type": "cookie", "mode": "insert", "session_name": "SRV", "value": "plain"}]),
        dict(service, name="plain", port=NAT_PORT, mode="nat", persistence=[{"type": "source"}],
             timeouts={"time_wait": "1s"})]
    model["log"] = {"to": f"file:{path}", "format": fmt}
    lab.write_config(model)
    lab.start_limpet()
    for n in range(BACKENDS):
        lab.wait_backend(f"web4/s{n}", "up", 10)


def ask(lab, port, head, source=None):
    [[answer]] = play(lab, "client", [{"to": [VIPS[4], port], "source": source or labconfig.client_addresses(4)[0],
                                       "at_once": False, "requests": [head]}])
    return answer


def lines(path, count):
    def found():
        with open(path, encoding="ascii") as f:
            return f.read().splitlines()
    assert eventually(lambda: len(found()) >= count, 10), (count, found())
    return found()


@cases(backends=BACKENDS, start=False)
def test_each_request_and_flow_has_a_line(lab):
    path = str(lab.state / "requests.log")
    start(lab, path, "json")
    answer = ask(lab, PORT, "GET /index.html?secret=1 HTTP/1.1\r\nHost: lab\r\n\r\n")
    [line] = lines(path, 1)
    got = json.loads(line)
    assert got["service"] == "web" and got["method"] == "GET" and got["path"] == "/index.html", got
    assert got["status"] == answer["status"] and got["end"] == "done" and got["state"] == "--", got
    assert got["backend"] == "web4/" + dict(answer["headers"])["x-backend"], (got, answer)
    assert got["client"] == labconfig.client_addresses(4)[0] and got["source_port"] > 1023, got
    assert "secret" not in line and got["out"] > 50 and got["connect_ms"] is not None, got

    ask(lab, PORT, "GET / HTTP/1.1\r\nHo st: lab\r\n\r\n")
    refused = json.loads(lines(path, 2)[1])
    assert (refused["status"], refused["state"], refused["end"]) == (400, "PR", "refused"), refused
    assert refused["backend"] is None and refused["own_response"] is True, refused

    # A file that was rotated is left at the next reload.
    os.rename(path, path + ".1")
    lab.ctl("reload")
    ask(lab, NAT_PORT, "GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
    flow = json.loads(lines(path, 1)[0])
    assert flow["service"] == "plain" and flow["protocol"] == "tcp" and "path" not in flow, flow
    assert flow["source_port"] > 1023 and flow["end"] == "done", flow

    for n in range(BACKENDS):
        lab.ctl("backend", f"web4/s{n}", "down")
    ask(lab, PORT, "GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    nobody = json.loads(lines(path, 2)[1])
    assert (nobody["status"], nobody["state"], nobody["end"]) == (503, "SC", "no_backend"), nobody


@cases(backends=BACKENDS, start=False)
def test_a_text_line_is_one_line_whatever_is_asked_for(lab):
    path = str(lab.state / "requests.log")
    start(lab, path, "text")
    ask(lab, PORT, "GET /%1b\"~ HTTP/1.1\r\nHost: lab\r\n\r\n")
    [line] = lines(path, 1)
    assert re.fullmatch(r"\S+Z web \S+ -> (web4/s\d \S+|nobody) via \S+ (GET|-) \S+ \d+ reason=\S+ entry=\S+ head_ms=\S+ "
                        r"connect_ms=\S+ first_byte_ms=\S+ total_ms=\S+ tries=\d in=\d+ out=\d+ end=\w+ ..", line), line
