"""Large transfers arrive whole, on clean wires and on lossy ones."""
import concurrent.futures
import hashlib
import pathlib

from lab import VIPS, cases

BUSY = True  # they fill the wires (run.py)

CLIENT = {4: "10.1.0.3", 6: "fd00:1::3"}


@cases(workers=(1, 2, 4))
def test_200_megabytes_down_and_up_arrive_whole(lab):
    path = lab.random_file(200)
    wanted = sha256(path)
    for family in (4, 6):
        assert download(lab, family, 200) == wanted
        assert upload(lab, family, path) == wanted


@cases()
def test_8_transfers_at_once_arrive_whole(lab):
    path = lab.random_file(20)
    wanted = sha256(path)
    downs = [lab.popen("client", "bash", "-c", fetch(c, 20), stdout=-1, text=True)
             for i in range(1, 5) for c in (f"10.1.0.{i}", f"fd00:1::{i}")]
    sums = [d.communicate(timeout=120)[0].split()[:1] for d in downs]
    assert sums == [[wanted]] * 8, sums


@cases(workers=(1, 2, 4))
def test_20_megabytes_each_way_at_1_percent_loss_cubic(lab):
    lossy(lab, "cubic", 10)


@cases()
def test_20_megabytes_each_way_at_5_percent_loss_cubic(lab):
    lossy(lab, "cubic", 50)


@cases()
def test_20_megabytes_each_way_at_1_percent_loss_bbr(lab):
    lossy(lab, "bbr", 10)


@cases(workers=(1, 2, 4))
def test_20_megabytes_each_way_at_5_percent_loss_bbr(lab):
    lossy(lab, "bbr", 50)


@cases()
def test_short_connections_survive_loss(lab):
    """5 % on both wires: slow, but every request is answered, by the client's own backend."""
    lab.loss(50)
    home = lab.clients("http", "--connections", 5, "--gap", 0.2, "--timeout", 60, timeout=300).home()
    lab.loss("off")
    assert lab.clients("http", "--connections", 2, "--gap", 0.05).home() == home


def lossy(lab, algorithm, permille, *side, megabytes=20):
    """On both wires, or the one of `side`. Both directions and both families at once: with cubic each of them
    mostly waits for a timer."""
    lab.congestion(algorithm)
    path = lab.random_file(megabytes)
    wanted = sha256(path)
    lab.loss(permille, *side)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = {f"{what} over IPv{family}": pool.submit(run, lab, family, argument)
                for family in (4, 6) for what, run, argument in (("down", download, megabytes), ("up", upload, path))}
        sums = {what: run.result() for what, run in runs.items()}
    assert set(sums.values()) == {wanted}, sums
    lost = lab.run("wire", "nft", "list", "ruleset").stdout
    assert "counter packets 0 bytes 0 drop" not in lost.split("chain loss_front")[1], lost


def url(client, path):
    host = f"[{VIPS[6]}]" if ":" in client else VIPS[4]
    return f"http://{host}{path}"


def fetch(client, megabytes):
    return ("set -o pipefail; curl -sS --max-time 590 --interface "
            f"{client} '{url(client, f'/data/random-{megabytes}')}' | sha256sum")


def download(lab, family, megabytes):
    return lab.run("client", "bash", "-c", fetch(CLIENT[family], megabytes), timeout=600).stdout.split()[0]


def upload(lab, family, path):
    """SHA-256 of what the backend has on its disk."""
    client = CLIENT[family]
    name = f"/upload/from-{family}"
    head = lab.run("client", "curl", "-sS", "--max-time", 590, "--interface", client, "-T", path,
                   "-D", "-", "-o", "/dev/null", url(client, name), timeout=600).stdout
    backend = next(line.split(":")[1].strip() for line in head.splitlines()
                   if line.lower().startswith("x-backend:"))
    stored = pathlib.Path(f"{lab.data}/{backend}{name}")
    digest = sha256(stored)
    stored.unlink()
    return digest


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
