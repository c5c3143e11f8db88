"""Mode splice against real kernels: delayed binding, with persistence by source address."""

from lab import VIPS, cases
from test_bulk import download, lossy, sha256, upload

# Sends a request in two pieces, cut at each of the given offsets, with a pause, and prints the bodies.
PACED = """
import json, socket, sys, time
vip, source, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
head = b"GET / HTTP/1.1\\r\\nHost: lab\\r\\nConnection: close\\r\\n\\r\\n"
answers = []
for cut in map(int, sys.argv[4:]):
    with socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET) as s:
        s.settimeout(10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.bind((source, 0))
        s.connect((vip, 80))
        s.sendall(head[:cut])
        time.sleep(pause)
        s.sendall(head[cut:])
        text = b""
        while piece := s.recv(65536):
            text += piece
        answers.append(text.decode().split("\\r\\n")[0])
print(json.dumps(answers))
"""
HEAD = len("GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")


def spliced(lab):
    model = lab.model()
    for service in model["services"]:
        if service["name"] in ("web4", "web6"):
            service["mode"] = "splice"
    lab.write_config(model)
    lab.restart_limpet()


@cases(workers=(1, 2, 4))
def test_every_client_stays_with_one_backend(lab):
    spliced(lab)
    home = lab.clients("http", "--connections", 10, "--gap", 0.02).home()
    assert lab.clients("http", "--connections", 2, "--requests", 5, "--gap", 0.02).home() == home
    worker = lab.show("workers")[0]
    assert worker["splice_stateless_answers"] > 0
    assert {s["mode"] for s in lab.show("services") if s["name"].startswith("web")} == {"splice"}


@cases(workers=(1, 2))
def test_200_megabytes_down_and_up_arrive_whole(lab):
    spliced(lab)
    path = lab.random_file(200)
    for family in (4, 6):
        assert download(lab, family, 200) == sha256(path)
        assert upload(lab, family, path) == sha256(path)


@cases()
def test_20_megabytes_each_way_at_1_percent_loss_cubic(lab):
    spliced(lab)
    lossy(lab, "cubic", 10)


@cases()
def test_20_megabytes_each_way_at_5_percent_loss_bbr(lab):
    spliced(lab)
    lossy(lab, "bbr", 50)


@cases()
def test_a_head_cut_at_every_offset(lab):
    """At once, and with a pause that is longer than limpet's patience."""
    spliced(lab)
    for family, source in ((4, "10.1.0.5"), (6, "fd00:1::5")):
        cuts = [str(n) for n in range(1, HEAD)]
        assert set(lab.python("client", PACED, VIPS[family], source, "0", *cuts)) == {"HTTP/1.1 200 OK"}
        slow = lab.python("client", PACED, VIPS[family], source, "0.03", *cuts)
        assert set(slow) == {"HTTP/1.1 200 OK"}


@cases(backends=2)
def test_nobody_left_is_a_503(lab):
    spliced(lab)
    for name in ("s0", "s1"):
        lab.backend("kill", name)
    # The first try meets the kernel's reset or a backend known to be dead: either way it is answered.
    code = lab.run("client", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10",
                   "--interface", "10.1.0.6", f"http://{VIPS[4]}/").stdout
    assert code == "503", code
    for name in ("s0", "s1"):
        lab.backend("start", name)
