"""The same requests and responses through HAProxy and through limpet.

Both have the same cookie and the same backends, app.py, which return what they received and answer as they
are told. Compared are, for each request: the status, the backend, what that one saw (request line, headers,
body) and what the client saw (headers in order). haproxy/shapes is what is sent, haproxy/differences each
difference with its reason; an unlisted one fails, and so does one that is listed and not there.

Not compared, because every proxy writes them its own way: upper and lower case of header names, space around
values, folded lines, the headers Connection and Keep-Alive, and what stands in responses that no backend has sent.
"""
import base64
import collections
import contextlib
import json
import re
import subprocess
import time

import labconfig
from lab import PYTHON, VIPS, cases, eventually
from test_cookie import APP_PORT, HERE, app

COOKIE = {"type": "cookie", "session_name": "SRV", "value": "plain"}
PLAIN = {"indirect": False, "no_cache": False, "http_only": False, "same_site": ""}
INDIRECT = {"no_cache": True, "indirect": True, "http_only": False, "same_site": ""}
# name -> HAProxy's words behind `cookie SRV`, ours, and more lines and settings of the service.
SETTINGS = {
    "insert": ("insert", {"mode": "insert", **PLAIN}, [], {}),
    "indirect": ("insert indirect nocache", {"mode": "insert", **INDIRECT}, [], {}),
    "preserve": ("insert indirect preserve", {"mode": "insert", **INDIRECT, "no_cache": False, "preserve": True}, [], {}),
    "postonly": ("insert indirect postonly", {"mode": "insert", **INDIRECT, "no_cache": False, "post_only": True}, [], {}),
    "dated": ("insert indirect nocache maxidle 30m maxlife 8h",
              {"mode": "insert", **INDIRECT, "idle_timeout": "30m", "absolute_timeout": "8h"}, [], {}),
    "attributes": ("insert indirect nocache httponly secure domain a.example domain b.example attr SameSite=Strict",
                   {"mode": "insert", "path": "/", "domain": ["a.example", "b.example"], "http_only": True,
                    "secure": True, "same_site": "Strict"}, [], {}),
    "rewrite": ("rewrite", {"mode": "rewrite"}, [], {}),
    "prefix": ("prefix", {"mode": "prefix"}, [], {}),
    "forward": ("insert indirect nocache", {"mode": "insert", **INDIRECT}, ["option forwardfor"],
                {"forwarded": "x-forwarded-for"}),
}
FIRST_PORT, BACKENDS = 9000, 5
DRAINING, DOWN = "s3", "s4"
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
Shape = collections.namedtuple("Shape", "kind context text settings")


def shapes():
    kind, context, settings = None, "", []
    for line in (HERE / "haproxy" / "shapes").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if header := re.fullmatch(r"\[(cookie|header|request|response|bare|sequence|pipeline)(?:: (.*))?\] ([a-z ]+)", line):
            kind, context, settings = header[1], header[2] or "", header[3].split()
            assert set(settings) <= set(SETTINGS), line
        else:
            for one in settings:
                yield Shape(kind, context, line, one)


def port_of(shape):
    return FIRST_PORT + list(SETTINGS).index(shape.settings)


def name_of(shape):
    """As haproxy/differences has it."""
    return f"{shape.kind}{': ' + shape.context if shape.context else ''} {shape.text}"


def date(ago, now):
    units = int(now - ago) >> 2
    return "".join(BASE64[units >> shift & 63] for shift in (24, 18, 12, 6, 0))


def requests_of(shape, now):
    text = re.sub(r"@T-(-?\d+)@", lambda m: date(int(m[1]), now), shape.text)
    text = re.sub(r"@(\d+)\*([^@]*)@", lambda m: int(m[1]) * m[2], text)
    text = text.encode("latin-1").decode("unicode_escape")

    def get(lines):
        head = "GET / HTTP/1.1\r\nHost: lab\r\n" + (shape.context + "\r\n" if shape.context else "")
        return head + (lines + "\r\n" if lines and lines != "-" else "") + "\r\n"
    match shape.kind:
        case "cookie":
            return [get(f"Cookie: {text}")]
        case "header":
            return [get(text)]
        case "request":
            return [text]
        case "response" | "bare":
            text += '\r\nETag: "x"' if shape.kind == "response" else ""
            reply = base64.b64encode(f"HTTP/1.1 {text}\r\n".encode("latin-1")).decode()
            return [get(f"X-Reply: {reply}")]
        case _:
            return [get(one.strip(" ")) for one in text.split(">>")]


def haproxy_configuration():
    lines = ["global", "  maxconn 2000", "defaults", "  mode http", "  timeout connect 2s", "  timeout client 10s",
             "  timeout server 10s", "  timeout http-request 5s", "  option redispatch"]
    for i, (name, (words, _, more, _)) in enumerate(SETTINGS.items()):
        lines += [f"listen {name}", f"  bind 127.0.0.1:{FIRST_PORT + i}", "  balance first", f"  cookie SRV {words}",
                  *(f"  {line}" for line in more)]
        for n in range(BACKENDS):
            state = {DRAINING: " weight 0", DOWN: " disabled"}.get(f"s{n}", "")
            lines.append(f"  server s{n} {labconfig.backend_address(n, 4)}:{APP_PORT} cookie s{n}{state}")
    return "\n".join(lines) + "\n"


def start_limpet(lab):
    model = lab.model()
    pool = labconfig.pool(model, "web4")
    model["pools"] = [dict(pool, backends=[dict(b, port=APP_PORT) for b in pool["backends"]])]
    model["services"] = [
        {"name": name, "vip": VIPS[4], "port": FIRST_PORT + i, "protocol": "tcp", "mode": "splice", "pool": "web4",
         "persistence": [{**COOKIE, **ours}, {"type": "source", "prefix4": 32, "prefix6": 128}], **more}
        for i, (name, (_, ours, _, more)) in enumerate(SETTINGS.items())]
    lab.write_config(model)
    lab.start_limpet()
    lab.ctl("backend", f"web4/{DRAINING}", "drain")
    lab.ctl("backend", f"web4/{DOWN}", "down")


def play(lab, where, jobs):
    done = subprocess.run(["ip", "netns", "exec", lab.namespace(where), PYTHON, str(HERE / "haproxy" / "exchange.py")],
                          input=json.dumps(jobs), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr[-1000:]
    return json.loads(done.stdout)


def job(to, source, shape, requests):
    return {"to": to, "source": source, "at_once": shape.kind == "pipeline", "requests": requests}


def client_of_s0(lab):
    """A client address that goes to s0 while it has no cookie, as every client of HAProxy's does."""
    clients = labconfig.client_addresses(4)
    probe = Shape("header", "", "-", "insert")
    answers = play(lab, "client", [job([VIPS[4], FIRST_PORT], c, probe, requests_of(probe, 0)) for c in clients])
    return next(c for c, a in zip(clients, answers) if dict(a[0]["headers"])["x-backend"] == "s0")


HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection"}


def told(answer, client, now):
    """What is compared of one answer: a dict of fields, in which only "status" is always there."""
    def plain(text):
        return re.sub(r"(?<=\|)[A-Za-z0-9+/]{5}(?=[|;, ]|$)", lambda m: age(m[0], now),
                      text.replace(client, "CLIENT"))
    if not isinstance(answer["status"], int):
        return {"status": answer["status"]}
    fields = dict(answer["headers"])
    if "x-backend" not in fields:
        return {"status": answer["status"]}
    result = {"status": answer["status"], "backend": fields["x-backend"], "interim": answer["interim"],
              "answer": [f"{n}: {plain(v)}" for n, v in answer["headers"]
                         if n not in HOP_BY_HOP | {"x-backend", "content-length"}]}
    if answer["body"]:
        seen = json.loads(answer["body"])
        line, *headers = re.split(r"\r?\n", re.sub(r"\r\n(?=[ \t])", "  ", seen["head"]))
        result["line"] = line
        result["headers"] = [f"{n.lower()}:{plain(v.strip())}" for n, _, v in
                             (h.partition(":") for h in headers if h) if n.lower() not in HOP_BY_HOP | {"x-reply"}]
        result["body"] = seen["body"]
    return result


def age(five, now):
    value = 0
    for c in five:
        value = value << 6 | BASE64.index(c)
    ago = (int(now) >> 2) - value
    return "NOW" if -5 <= ago <= 0 else f"T-{4 * ago}"


def differing(theirs, ours):
    """The names of the fields in which two lists of answers differ."""
    if [a["status"] for a in theirs] != [a["status"] for a in ours]:
        return {"status"}
    return {field for a, b in zip(theirs, ours) for field in a.keys() | b.keys() if a.get(field) != b.get(field)}


def listed():
    """(settings, name of the shape) -> the fields that differ."""
    result, reason = {}, None
    for number, line in enumerate((HERE / "haproxy" / "differences").read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("= "):
            reason = line[2:]
            continue
        settings, fields, name = line.split(" | ", 2)
        assert reason, f"differences:{number}: no reason in front"
        for one in settings.split():
            assert (one, name) not in result, f"differences:{number}: listed twice"
            result[one, name] = set(fields.split())
    return result


@cases(backends=BACKENDS, start=False)
def test_limpet_does_as_haproxy_does(lab):
    chosen = list(shapes())
    assert len({name_of(s) for s in chosen}) >= 200, len(chosen)
    (lab.state / "haproxy.cfg").write_text(haproxy_configuration())
    haproxy = lab.popen("backend", "haproxy", "-db", "-f", lab.state / "haproxy.cfg",
                        stderr=open(lab.state / "haproxy.log", "w"))
    with app(lab), contextlib.ExitStack() as after:
        after.callback(haproxy.wait)
        after.callback(haproxy.kill)
        start_limpet(lab)
        eventually(lambda: lab.run("backend", "ss", "-Hlnt", "src", f"127.0.0.1:{FIRST_PORT}").stdout, 10)
        assert haproxy.poll() is None, (lab.state / "haproxy.log").read_text()[-1000:]
        client, now = client_of_s0(lab), time.time()
        requests = [requests_of(s, now) for s in chosen]
        theirs = play(lab, "backend", [job(["127.0.0.1", port_of(s)], None, s, r) for s, r in zip(chosen, requests)])
        ours = play(lab, "client", [job([VIPS[4], port_of(s)], client, s, r) for s, r in zip(chosen, requests)])
    known, problems = listed(), []
    for shape, a, b in zip(chosen, theirs, ours):
        a, b = [told(x, "127.0.0.1", now) for x in a], [told(x, client, now) for x in b]
        fields = differing(a, b)
        if fields != known.pop((shape.settings, name_of(shape)), set()):
            problems.append(f"{shape.settings} | {' '.join(sorted(fields)) or '-'} | {name_of(shape)}\n"
                            f"  haproxy {[{f: x.get(f) for f in fields} for x in a]}\n"
                            f"  limpet  {[{f: x.get(f) for f in fields} for x in b]}\n")
    problems += [f"{settings} | no such shape | {name}\n" for settings, name in known]
    lab.notes.append(f"{len({name_of(s) for s in chosen})} shapes, {len(chosen)} exchanges, "
                     f"{len(listed())} of them differ as listed")
    assert not problems, f"{len(problems)} exchanges are not as haproxy/differences says:\n{''.join(problems[:200])}"
