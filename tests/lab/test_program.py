"""The programs themselves: what they say when something is missing, and what they show."""
import json
import os
import re
import signal
import socket
import subprocess
import time

from lab import cases, eventually


def start(lab, config, *args, timeout=20):
    """Runs limpet to its end in the lab's namespace; (exit status, output)."""
    command = [lab.limpet, *args] + (["--config", config] if config else [])
    done = lab.run("lb", *command, check=False, timeout=timeout)
    return done.returncode, done.stdout


@cases(start=False)
def test_a_missing_device_is_named_with_a_cure(lab):
    model = lab.model()
    model["eal"] = [a.replace("iface=l1", "iface=nosuch") for a in model["eal"]]
    lab.write_config(model)
    code, text = start(lab, lab.state / "limpet.cfg")
    assert code == 1 and "nosuch" in text, (code, text)
    model = lab.model()
    model["ports"][1]["device"] = "net_af_packet7"
    lab.write_config(model)
    code, text = start(lab, lab.state / "limpet.cfg")
    assert code in (1, 2) and "net_af_packet7" in text, (code, text)
    assert not os.path.exists(f"/var/run/dpdk/limpet-{lab.name}/limpet.sock")


@cases(start=False)
def test_a_bad_configuration_ends_with_2_and_file_and_line(lab):
    model = lab.model()
    model["pools"][0]["backends"][1]["weight"] = -3
    model["services"][2]["pool"] = "nosuch"
    lab.write_config(model)
    path = lab.state / "limpet.cfg"
    for args in (["--check", path], ["--config", path]):
        code, text = start(lab, None, *args)
        lines = [line for line in text.splitlines() if line.startswith(f"{path}:")]
        assert code == 2 and len(lines) == 2, (code, text)
        numbers = [int(re.match(r".*?limpet\.cfg:(\d+):", line)[1]) for line in lines]
        assert numbers == sorted(numbers) and "weight" in lines[0] and "nosuch" in lines[1], text
    lab.write_config(lab.model())
    assert start(lab, None, "--check", path)[0] == 0
    assert start(lab, None, "--check", "/nonexistent.cfg")[0] == 2
    assert start(lab, None, "--nosuchoption")[0] == 2
    assert start(lab, None, "--version")[0] == 0 and start(lab, None, "--help")[0] == 0


@cases(start=False)
def test_eal_arguments_that_cannot_start_end_with_2_and_file_and_line(lab):
    path = lab.state / "limpet.cfg"
    lcores = lab.model()
    at = lcores["eal"].index("--lcores") + 1
    lcores["eal"][at] = "1-"
    device = lab.model()
    device["ports"][1]["device"] = "net_af_packet7"
    for model, setting, word in ((lcores, f"eal[{at}]", "'1-'"), (device, "ports[1].device", "net_af_packet7")):
        lab.write_config(model)
        for args in (["--check", path], ["--config", path]):
            code, text = start(lab, None, *args)
            assert code == 2 and "expected" in text and word in text, (code, text)
            assert re.match(rf"{re.escape(str(path))}:\d+: {re.escape(setting)}: ", text), text


@cases(start=False)
def test_what_the_eal_refuses_ends_with_1_and_what_the_eal_says(lab):
    path = lab.state / "limpet.cfg"
    for words, said in ((["--bogus"], "'--bogus'"), (["--iova-mode=dc"], "--iova-mode"),
                        (["--socket-mem", "64"], "-m and --socket-mem"), (["--proc-type=secondary"], "--proc-type")):
        model = lab.model()
        model["eal"] += words
        lab.write_config(model)
        assert start(lab, None, "--check", path)[0] == 0
        code, text = start(lab, path)
        assert code == 1 and said in text and f"`eal` is at {path}:" in text, (words, code, text)
        if words[0] == "--socket-mem":
            continue  # on the command line it replaces -m
        lab.write_config(lab.model())
        code, text = start(lab, path, *words, "--")
        assert code == 1 and said in text, (words, code, text)


@cases(start=False)
def test_limpetctl_without_a_daemon_ends_with_3(lab):
    done = lab.ctl("show", "services", check=False)
    assert done.returncode == 3 and done.stderr, (done.returncode, done.stderr)
    assert lab.ctl("show", "nonsense", check=False).returncode == 2


@cases()
def test_a_second_limpet_with_the_same_prefix_is_refused(lab):
    code, text = start(lab, lab.state / "limpet.cfg")
    assert code == 1 and text, (code, text)
    lab.clients("http", "--connections", 2, "--gap", 0.05).home()


@cases(start=False)
def test_command_line_eal_options_replace_configured_ones(lab):
    """--lcores on the command line: two workers although the configuration says one."""
    limpet = lab.popen("lb", lab.limpet, "--lcores", "(0-2)@(0-1)", "--",
                       "--config", lab.state / "limpet.cfg", stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: lab.ctl("show", "services", check=False).returncode == 0, 10)
        assert len(lab.show("workers")) == 2
    finally:
        limpet.send_signal(signal.SIGINT)
        assert limpet.wait(10) == 0


@cases()
def test_tables_and_json_show_the_same_things(lab):
    before = lab.connections()
    load = lab.load("http", "--duration", 120, "--requests", 0, "--gap", 0.5)  # flows that stay until they are shown
    lab.wait_connections(128, before)
    for what in ("flows", "services", "backends", "workers", "ports", "drops", "neighbors"):
        table = lab.ctl("show", what).stdout
        answer = json.loads(lab.ctl("show", what, "--json").stdout)
        assert answer["schema"] == 1 and answer["pid"] == lab.limpet_pid() and answer["uptime_s"] >= 0
        assert answer["truncated"] is False, what
        assert len(table.splitlines()) >= 2, table
        for row in answer[what][:20]:
            name = row.get("client") or row.get("name") or row.get("reason") or row.get("address")
            assert name is None or what == "drops" or str(name) in table, (name, table)
    names = {b["name"] for b in lab.show("backends")}
    assert names == {"s0", "s1", "s2", "s3"}
    backend = lab.show("backends")[0]
    for field in ("pool", "name", "address", "port", "state", "admin", "since_s", "reason", "check", "weight",
                  "effective_weight", "maglev_entries", "connections_active", "connections_total",
                  "connect_failures", "redispatched_total", "packets_in", "packets_out", "bytes_in", "bytes_out"):
        assert field in backend, field
    ports = {p["name"]: p for p in lab.show("ports")}
    assert set(ports) == {"front", "back"} and lab.show("ports", "back")[0]["mac"] == ports["back"]["mac"]
    assert all(p["link"] == "up" and p["rx_packets"] > 256 and p["tx_packets"] > 256 and p["imissed"] == 0
               for p in ports.values()), ports
    assert {d["port"] for d in lab.show("drops", "back")} == {"back"}
    assert {d["reason"] for d in lab.show("drops", "no_flow")} == {"no_flow"}
    assert lab.ctl("show", "drops", "nosuch", check=False).returncode == 1
    lab.clients("http", "--clients", 16, "--connections", 1).home()  # those of before may have ended
    assert len(lab.show("flows", "--limit", "5")) == 5
    assert json.loads(lab.ctl("show", "flows", "--limit", "5", "--json").stdout)["truncated"] is True
    neighbors = {n["address"]: n for n in lab.show("neighbors")}
    assert neighbors["10.2.0.10"]["mac"] == "02:00:0a:02:00:0a", neighbors
    assert neighbors["10.1.0.1"]["mac"] == "02:00:0a:01:00:01", neighbors
    assert load.stop().errors() == []


def telemetry(lab, *commands):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(5)
        sock.connect(f"/var/run/dpdk/limpet-{lab.name}/dpdk_telemetry.v2")
        sock.recv(16384)
        answers = []
        for command in commands:
            sock.send(command.encode())
            answers.append(json.loads(sock.recv(16384))[command.split(",")[0]])
        return answers


@cases()
def test_telemetry_mirrors_backends(lab):
    names, one = telemetry(lab, "/limpet/backends", "/limpet/backend,web4/s0")
    assert "web4/s0" in names, names
    shown = next(b for b in lab.show("backends") if (b["pool"], b["name"]) == ("web4", "s0"))
    assert one["state"] == shown["state"] == "up" and one["address"] == shown["address"], one
    assert all(not isinstance(v, (dict, list)) for v in one.values()), one


@cases()
def test_an_idle_limpet_sleeps(lab):
    """poll = "adaptive": without traffic the process takes well under a quarter of a core."""
    pid = lab.limpet_pid()

    def ticks():
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    time.sleep(1)
    before = ticks()
    time.sleep(4)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / 4
    assert used < 0.25, f"{used:.2f} of a core when idle"


@cases()
def test_sigterm_under_load_ends_cleanly_with_a_summary(lab):
    load = lab.load("http", "--duration", 20, "--timeout", 1)
    time.sleep(1.5)
    lab.stop_limpet()
    load.stop()
    assert "limpet ran " in lab.log() and "LEAKED" not in lab.log(), lab.log()[-500:]
    assert not os.path.exists(f"/var/run/dpdk/limpet-{lab.name}/limpet.sock")
