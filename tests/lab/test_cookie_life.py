"""What ends the life of a cookie, and what a client hears when there is nobody: keys, time, the application, 503."""
import base64
import email.utils
import json
import re
import time

from lab import VIPS, cases, eventually
from test_cookie import APP_PORT, APPLICATION, INSERT, Answer, Jar, app, configure, curl, host, persistence


def value_of(answer):
    assert len(answer.cookies) == 1, answer.fields
    return re.match(r"[^=]+=([^;]*)", answer.cookies[0])[1]


@cases(workers=(2,), start=False)
def test_sealed_cookies_live_as_long_as_their_key(lab):
    """A new key seals, the old one still opens; when that is retired its cookies are nothing any more."""
    model = lab.model()
    model["cookie_keys"] = {"file": str(lab.state / "life.keys")}
    configure(lab, dict(INSERT, value="sealed"), model=model)
    jars = {family: Jar(lab, family) for family in (4, 6)}
    first = {family: jar.get() for family, jar in jars.items()}
    lab.ctl("keys", "rotate")

    def sealed_anew():
        """new cookies are sealed by the new key"""
        return value_of(curl(lab, f"http://{host(4)}/echo"))[0] != value_of(first[4])[0]
    eventually(sealed_anew, 5)
    sealed = {}
    for family, jar in jars.items():
        again = jar.get()
        assert again.backend == first[family].backend and again.seen["cookie"] == "", (again.fields, first[family].fields)
        sealed[family] = value_of(again)  # at once by the new key, so that the old one can go
        assert sealed[family][0] != value_of(first[family])[0], (sealed, first[family].cookies)
    keys = json.loads(lab.ctl("keys", "list", "--json").stdout)["keys"]
    assert len(keys) == 2, keys
    lab.ctl("keys", "retire", next(k["id"] for k in keys if k["state"] == "listed"))

    def forgotten():
        """cookies of the retired key are balanced anew, and why is counted"""
        curl(lab, f"http://{host(4)}/echo", "-b", f"SRV={value_of(first[4])}")
        return persistence(lab, "web4")["invalid_detail"]["unknown_key"] > 0
    eventually(forgotten, 5)
    for family, jar in jars.items():
        again = jar.get()
        assert again.backend == first[family].backend and not again.cookies, again.fields


@cases(start=False, full=True)
def test_permanent_cookies_say_until_when_and_are_renewed_or_refused(lab):
    # The dates in plain values count units of four seconds, as HAProxy's.
    configure(lab, dict(INSERT, lifetime="permanent", idle_timeout="9s", absolute_timeout="30s"))
    born = time.monotonic()
    value, backend = {}, {}

    def get(family):
        return curl(lab, f"http://{host(family)}/echo", "-b", f"SRV={value[family]}")
    for family in (4, 6):
        first = Jar(lab, family).get()
        age = int(re.search(r"; Max-Age=(\d+)", first.cookies[0])[1])
        until = email.utils.parsedate_to_datetime(re.search(r"; Expires=([^;]+ GMT)", first.cookies[0])[1]).timestamp()
        assert 9 <= age <= 30 and abs(until - time.time() - age) < 3, (first.cookies, time.time())
        value[family], backend[family] = value_of(first), first.backend
    for _ in range(3):  # in use for longer than it may be idle
        time.sleep(5)
        for family in (4, 6):
            used = get(family)
            assert used.backend == backend[family] and used.seen["cookie"] == "", used.fields
            renewed = value_of(used)  # a later date of use
            assert renewed != value[family] and renewed.split("|")[0] == backend[family], (value, renewed)
            value[family] = renewed
    while time.monotonic() < born + 36:  # in use, but set too long ago
        time.sleep(4)
        for family in (4, 6):
            answer = get(family)
            value[family] = value_of(answer) if answer.cookies else value[family]
    for family in (4, 6):
        assert persistence(lab, f"web{family}")["request"]["old"] == 1
        assert persistence(lab, f"web{family}")["request"]["expired"] == 0
    time.sleep(14)  # not used
    for family in (4, 6):
        late = get(family)
        assert late.status == 200 and len(late.cookies) == 1, late.fields
        assert persistence(lab, f"web{family}")["request"]["expired"] == 1


@cases(workers=(2,), start=False)
def test_learned_sessions_end_with_the_application_s_cookie(lab):
    """Or when nobody has used them for as long as the table keeps them."""
    with app(lab):
        table = {"table": {"size": 1000, "expire": "3s"}}
        configure(lab, extra=[("learn", 93, APP_PORT, [dict(APPLICATION, mode="learn")], table)])

        def entries(family):
            return persistence(lab, f"learn{family}")["table"]["used"]

        def ask(family, cookie, reply):
            text = base64.b64encode(reply.encode()).decode()
            return curl(lab, f"http://{host(family)}:93/", "-H", f"X-Reply: {text}",
                        *(["-b", f"APP={cookie}"] if cookie else []))
        plain = "HTTP/1.1 200 OK\r\n"
        for family in (4, 6):
            first = ask(family, "", plain + f"Set-Cookie: APP=session{family}; path=/\r\n")
            assert entries(family) == 1
            for _ in range(4):  # used, it lives longer than 3 s
                time.sleep(1)
                again = ask(family, f"session{family}", plain)
                assert again.backend == first.backend and entries(family) == 1
            assert persistence(lab, f"learn{family}")["request"]["valid"] == 4
            gone = ask(family, f"session{family}", plain + "Set-Cookie: APP=x; Max-Age=0; path=/\r\n")
            assert gone.backend == first.backend and gone.cookies == ["APP=x; Max-Age=0; path=/"], gone.fields
            assert entries(family) == 0
            before = persistence(lab, f"learn{family}")["request"]
            ask(family, f"session{family}", plain)
            after = persistence(lab, f"learn{family}")["request"]
            assert after["valid"] == before["valid"], "what the application has deleted names nobody any more"
            ask(family, "", plain + f"Set-Cookie: APP=other{family}; path=/\r\n")
            time.sleep(5)
            before = persistence(lab, f"learn{family}")["request"]
            ask(family, f"other{family}", plain)
            after = persistence(lab, f"learn{family}")["request"]
            assert after["valid"] == before["valid"], "what nobody has used is forgotten"


@cases(start=False)
def test_when_nobody_is_left_the_operator_s_own_page_says_so(lab):
    configure(lab, INSERT, unavailable={"body": "closed for stocktaking\n", "content_type": "text/plain",
                                        "retry_after": "90s"})
    for family in (4, 6):
        for backend in range(lab.backends):
            lab.ctl("backend", f"web{family}/s{backend}", "down")
        url = f"http://{host(family)}/echo"
        closed = curl(lab, url)
        assert closed.status == 503 and closed.body == "closed for stocktaking\n", (closed.status, closed.body)
        assert closed.fields["retry-after"] == ["90"] and closed.fields["content-type"] == ["text/plain"], closed.fields
        assert not closed.cookies
        head = Answer(lab.run("client", "curl", "-sS", "-I", "--max-time", 20, url).stdout)
        assert head.status == 503 and head.body == "" and head.fields["content-length"] == ["23"], head.fields
        # A client that writes everything before it reads: 4 MB do not fit into anybody's buffers.
        said = lab.python("client", UPLOAD, VIPS[family], 4 << 20)
        assert said.startswith("HTTP/1.1 503 ") and said.endswith("closed for stocktaking\n"), said
        for backend in range(lab.backends):
            lab.ctl("backend", f"web{family}/s{backend}", "up")


UPLOAD = """
import json, socket, sys
vip, size = sys.argv[1], int(sys.argv[2])
with socket.create_connection((vip, 80), timeout=15) as s:
    s.sendall(b"POST /upload HTTP/1.1\\r\\nHost: lab\\r\\nContent-Length: %d\\r\\n\\r\\n" % size + b"x" * size)
    text = b""
    while piece := s.recv(65536):
        text += piece
print(json.dumps(text.decode()))
"""
