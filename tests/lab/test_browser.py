"""A real browser: headless Chromium with a page, its assets, and a WebSocket."""
import html
import json
import re
import shutil
import subprocess

from lab import VIPS, Skip, cases, some
from test_cookie import APP_PORT, INSERT, app, configure

def browse(lab, profile, url):
    """What the page's script found, and the document."""
    done = subprocess.run(
        ["ip", "netns", "exec", lab.namespace("client"), "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
         "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--no-first-run",
         f"--user-data-dir={profile}", "--dump-dom", url],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=90)
    found = re.search(r'<div id="out">(.*?)</div>', done.stdout, re.DOTALL)
    assert found, (done.returncode, done.stdout[-500:], done.stderr[-1000:])
    return json.loads(html.unescape(found[1]))


@cases(workers=(1, 2), start=False, full=True)
def test_chromium_with_assets_and_a_websocket(lab):
    """Cookie set, connections in parallel, all at one backend; on the second visit that one is gone."""
    if not shutil.which("chromium"):
        raise Skip("no chromium: scripts/bootstrap.sh --full")
    with app(lab):
        table = {"table": {"size": 1000, "expire": "1m"}}
        cookie = dict(INSERT, http_only=False)  # so that the page's script can read it
        configure(lab, extra=[("app", 90, APP_PORT, [cookie, {"type": "source", "prefix4": 32, "prefix6": 128}], table)])
        for family, address in ((4, VIPS[4]), (6, f"[{VIPS[6]}]")):
            profile = lab.state / f"profile-{family}"
            before = connections(lab)
            seen = browse(lab, profile, f"http://{address}:90/page")
            assert "error" not in seen, seen
            backend = seen["page"]
            assert seen["cookie"] == f"SRV={backend}", seen
            assert seen["assets"] == [backend], seen
            assert seen["echo"] == [backend, *(f"message {i}" for i in range(20))], some(seen["echo"], 30)
            opened = connections(lab) - before
            assert opened >= 6, f"{opened} connections"
            lab.notes.append(f"IPv{family}: {opened} connections")
            # Again, with a cookie whose backend is gone: all of the page comes from another one, with its cookie.
            lab.ctl("backend", f"app{family}/{backend}", "down")
            moved = browse(lab, profile, f"http://{address}:90/page?moved")
            lab.ctl("backend", f"app{family}/{backend}", "up")
            assert "error" not in moved and moved["page"] != backend, moved
            assert moved["cookie"] == f"SRV={moved['page']}" and moved["assets"] == [moved["page"]], moved
            assert moved["echo"][0] == moved["page"], moved["echo"][:2]


def connections(lab):
    return sum(s["connections_total"] for s in lab.show("services") if s["name"].startswith("app"))
