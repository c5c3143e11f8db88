"""What the lab's tests are made of: a lab of their own, its clients, and what must hold afterwards.

A test is a function test_*(lab) decorated with @cases(...). Each case gets a fresh lab; after it the
runner calls Lab.settle(), which checks the counter identity, the mbufs and the drops that may never
happen, and takes limpet down, which must succeed with exit status 0.
"""
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = REPO / "scripts" / "lab"
sys.path.insert(0, str(SCRIPTS))

import labconfig  # noqa: E402  (found by the path above)

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3"

# Health in the lab: interval 1 s, timeout 0.5 s, fall 3, rise 2.
INTERVAL, TIMEOUT, FALL, RISE = 1.0, 0.5, 3, 2
BOUND = FALL * INTERVAL + TIMEOUT  # from a backend's death to the last connection that goes there
SLACK = 1.0  # what the harness itself may be late on two shared cores: for waiting, never for a bound
DOWN_WITHIN = BOUND + SLACK
UP_WITHIN = RISE * INTERVAL + TIMEOUT + SLACK

VIPS = {4: labconfig.VIP4, 6: labconfig.VIP6}

# Reasons for which a packet of a healthy lab must never be dropped, whatever the test does.
NEVER = {"ip_checksum_bad", "tcp_checksum_bad", "udp_checksum_bad", "ip_header_bad", "ip_length_bad",
         "ip_version_bad", "ip_address_bad", "tcp_header_bad", "tcp_flags_bad", "udp_length_bad",
         "arp_bad", "nd_bad", "address_conflict", "icmp_bad", "mbuf_exhausted", "mbuf_segmented",
         "hairpin", "no_route", "flow_table_full", "vlan_unsupported", "port_zero"}


class Skip(Exception):
    """What the test is about does not exist on this machine."""


def cases(workers=(1,), backends=4, start=True, may_drop=(), full=False, alone=False, **options):
    """One case for each number of workers. `start`: limpet runs when the test begins. `may_drop`:
    reasons of NEVER that this test provokes. `full`: only with run.py --full, or the numbers of workers
    of which that is true. `alone`: beside no other test. Other options go to up.sh (mtu_front, mtu_back, one_arm)."""
    def decorate(function):
        function.cases = [dict(workers=w, backends=backends, start=start, may_drop=set(may_drop),
                               options=options) for w in workers]
        function.full = {w for w in workers if full is True or full and w in full}
        function.alone = alone
        return function
    return decorate


def eventually(check, within, every=0.1):
    """Calls check() until it returns something true; its last answer, or AssertionError after `within` s."""
    until = time.monotonic() + within
    while True:
        try:
            answer = check()
            if answer:
                return answer
            problem = f"{getattr(check, '__doc__', None) or check.__name__}: not within {within} s"
        except AssertionError as e:
            problem = f"not within {within} s: {e}"
        if time.monotonic() >= until:
            raise AssertionError(problem)
        time.sleep(every)


Record = collections.namedtuple("Record", "start end client target kind backend error")


class Records(list):
    """What clients saw, in order of starting."""

    def only(self, keep):
        return Records(r for r in self if keep(r))

    def errors(self):
        return self.only(lambda r: r.error)

    def backends(self):
        """client -> Counter of backends"""
        seen = collections.defaultdict(collections.Counter)
        for r in self:
            if not r.error:
                seen[r.client][r.backend] += 1
        return seen

    def home(self):
        """client -> its one backend; AssertionError for errors and for clients that saw two."""
        errors = self.errors()
        assert not errors, f"{len(errors)} of {len(self)} requests failed, first {errors[0]}"
        roamers = {c: dict(b) for c, b in self.backends().items() if len(b) != 1}
        assert not roamers, f"clients with more than one backend: {some(roamers)}"
        return {c: next(iter(b)) for c, b in self.backends().items()}


def some(what, n=5):
    """The first few of a dict or list, for messages."""
    items = list(what.items()) if isinstance(what, dict) else list(what)
    return f"{items[:n]}{' ...' if len(items) > n else ''} ({len(items)})"


class Load:
    """Clients at work in the background."""

    def __init__(self, lab, args):
        self.out = tempfile.NamedTemporaryFile(prefix="limpet-load-", delete=False).name
        self.process = lab.popen("client", PYTHON, str(SCRIPTS / "client.py"), *args, "--out", self.out)
        lab.loads.append(self)

    def wait(self, timeout=180):
        try:
            stderr = self.process.communicate(timeout=timeout)[1]
            assert self.process.returncode == 0, f"client.py: {stderr.decode()[-500:]}"
            with open(self.out) as lines:
                return Records(sorted((Record(*json.loads(line)) for line in lines),
                                      key=lambda r: r.start))
        finally:
            self.discard()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait(30)

    def discard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for name in (self.out, self.out + ".tmp"):
            if os.path.exists(name):
                os.unlink(name)


class Lab:
    def __init__(self, name, workers=1, backends=4, start=True, may_drop=(), options=None):
        self.name, self.workers, self.backends, self.start = name, workers, backends, start
        self.may_drop = set(may_drop)
        self.options = options or {}
        self.state = pathlib.Path("/run/limpet-lab") / name
        self.data = pathlib.Path("/var/tmp/limpet-lab") / name
        self.build = pathlib.Path(os.environ.get("LIMPET_BUILD", "build"))
        if not self.build.is_absolute():
            self.build = REPO / self.build
        self.limpet = self.build / "src" / "apps" / "limpet"
        self.limpetctl = self.build / "src" / "apps" / "limpetctl"
        self.loads = []
        self.extra_namespaces = []
        self.notes = []  # what a test measured; the runner prints it

    # --- the lab's own scripts ------------------------------------------------------------------

    def script(self, name, *args, check=True, timeout=90):
        done = subprocess.run([str(SCRIPTS / name), self.name, *map(str, args)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, text=True)
        if check and done.returncode:
            raise AssertionError(f"{name} {' '.join(map(str, args))}: {done.stdout.strip()[-2000:]}")
        return done

    def popen_script(self, name, *args):
        return subprocess.Popen([str(SCRIPTS / name), self.name, *map(str, args)], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def up(self):
        options = ["--workers", self.workers, "--backends", self.backends, "--no-limpet"]
        for option, value in self.options.items():
            options += ["--" + option.replace("_", "-")] + ([] if value is True else [value])
        self.script("up.sh", *options)
        if self.start:
            self.start_limpet()

    def down(self):
        for load in self.loads:
            load.discard()
        for ns in self.extra_namespaces:
            for pid in out("ip", "netns", "pids", ns).split():
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", ns], check=False)
        return self.script("down.sh", check=False)

    def backend(self, action, name):
        self.script("backend.sh", action, name)

    def loss(self, permille, *side):
        self.script("loss.sh", permille, *side)

    def congestion(self, algorithm):
        done = self.script("congestion.sh", algorithm, check=False)
        if done.returncode == 3:
            raise Skip(done.stdout.strip())
        assert done.returncode == 0, done.stdout

    def random_file(self, megabytes):
        """Path of a file that every backend serves as /data/random-N."""
        return self.script("data.sh", megabytes).stdout.strip()

    # --- limpet ---------------------------------------------------------------------------------

    def model(self):
        """The configuration limpet runs with, as labconfig's model, to be changed and written."""
        return labconfig.standard(self.name, self.workers, self.backends,
                                  self.options.get("mtu_front", 1500), self.options.get("mtu_back", 1500),
                                  self.options.get("one_arm", False))

    def write_config(self, model):
        text = model if isinstance(model, str) else labconfig.render(model)
        (self.state / "limpet.cfg").write_text(text)

    def start_limpet(self, wait=20):
        self.script("limpet.sh", "start", "--wait", wait)

    def stop_limpet(self):
        self.script("limpet.sh", "stop")

    def restart_limpet(self):
        self.stop_limpet()
        self.start_limpet()

    def limpet_pid(self):
        return int(self.script("limpet.sh", "status").stdout)

    def log(self):
        path = self.state / "limpet.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def ctl(self, *args, check=True):
        done = subprocess.run([str(self.limpetctl), "--file-prefix", f"limpet-{self.name}", *args],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=20, text=True)
        if check and done.returncode:
            raise AssertionError(f"limpetctl {' '.join(args)}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def show(self, what, *args):
        answer = json.loads(self.ctl("show", what, *args, "--json").stdout)
        assert answer["schema"] == 1, answer["schema"]
        return answer[what]

    def backend_states(self):
        """(pool, backend) -> "up", "down", ..."""
        return {(b["pool"], b["name"]): b["state"] for b in self.show("backends")}

    def wait_backend(self, name, state, within):
        def check():
            wrong = {k: v for k, v in self.backend_states().items() if k[1] == name and v != state}
            assert not wrong, f"backend {name} is not {state}: {some(wrong)}"
            return True
        eventually(check, within)

    def drops(self):
        """reason -> packets, over all workers and ports"""
        total = collections.Counter()
        for d in self.show("drops"):
            total[d["reason"]] += d["packets"]
        return total

    def mbufs_in_use(self):
        """Of the pool that all workers share."""
        return max(w["mbufs"]["in_use"] for w in self.show("workers"))

    # --- processes in the namespaces ------------------------------------------------------------

    def namespace(self, where):
        return f"limpet-{self.name}-{where}"

    def popen(self, where, *command, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.namespace(where), *map(str, command)],
                                stdin=subprocess.DEVNULL, stdout=kw.pop("stdout", subprocess.DEVNULL),
                                stderr=kw.pop("stderr", subprocess.PIPE), **kw)

    def run(self, where, *command, check=True, timeout=120, **kw):
        done = subprocess.run(["ip", "netns", "exec", self.namespace(where), *map(str, command)],
                              stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, text=True, **kw)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stdout[-1000:]}")
        return done

    @staticmethod
    def run_in(ns, *command):
        """The same in a namespace of the test's own."""
        return out("ip", "netns", "exec", ns, *map(str, command))

    def python_in(self, ns, source, *args):
        return json.loads(self.run_in(ns, PYTHON, "-c", source, *args))

    def python(self, where, source, *args, timeout=60):
        """Runs Python source in a namespace and returns what it printed as JSON."""
        return json.loads(self.run(where, PYTHON, "-c", source, *args, timeout=timeout).stdout)

    def load(self, protocol, *args, port=80, families=(4, 6)):
        """Starts clients in the background: see client.py for the arguments."""
        targets = []
        for family in families:
            targets += ["--target", f"[{VIPS[family]}]:{port}"]
        return Load(self, [protocol, *targets, *map(str, args)])

    def wait_connections(self, more, than, within=20):
        """Clients take their time to start on a busy machine: until `more` connections came."""
        eventually(lambda: self.connections() - than >= more, within)

    def connections(self):
        return sum(s["connections_total"] for s in self.show("services"))

    def clients(self, protocol, *args, port=80, families=(4, 6), timeout=180):
        """Runs clients to their end and returns their records."""
        return self.load(protocol, *args, port=port, families=families).wait(timeout)

    # --- what must hold afterwards --------------------------------------------------------------

    def check_identity(self):
        """Every packet ended exactly once (dataplane/counters.h). Read while a worker works, one answer
        may be torn, so a few tries."""
        def check():
            workers = self.show("workers")
            total = collections.Counter()
            for w in workers:
                for name in ("rx", "handed_in", "forwarded", "consumed", "handed_out", "punted",
                             "drops_total", "originated", "tx", "tx_failed"):
                    total[name] += w[name]
                total["held"] += w["held"]["packets"]
                came = w["rx"] + w["handed_in"]
                went = sum(w[n] for n in ("forwarded", "consumed", "handed_out", "punted", "drops_total"))
                assert came == went + w["held"]["packets"], f"worker {w['id']}: {came} came, {went} went: {w}"
                total["ring_dropped"] += w["rings"]["out_dropped"]
            came = total["rx"] + total["handed_in"]
            went = sum(total[n] for n in ("forwarded", "consumed", "handed_out", "punted", "drops_total",
                                          "held"))
            assert came == went, f"{came} packets came, {went} went: {dict(total)}"
            sent = total["forwarded"] + total["originated"] - total["tx_failed"]
            assert total["tx"] == sent, f"{total['tx']} packets sent, {sent} accounted for: {dict(total)}"
            assert total["handed_out"] == total["handed_in"] + total["ring_dropped"], \
                f"packets lost between workers: {dict(total)}"
            by_reason = sum(self.drops().values())  # between two readings of the workers' sums
            later = sum(w["drops_total"] for w in self.show("workers"))
            assert total["drops_total"] <= by_reason <= later, (total["drops_total"], by_reason, later)
            return True
        eventually(check, within=3)

    def check_mbufs(self):
        def check():
            now = self.mbufs_in_use()
            assert now == 0, f"mbufs in use: {now}"  # af_packet copies both ways and keeps none
            return True
        eventually(check, within=5)

    def check_drops(self):
        bad = {r: n for r, n in self.drops().items() if n and r in NEVER - self.may_drop}
        assert not bad, f"drops that must not happen: {bad}"

    def settle(self):
        """Checks that belong to no test in particular; limpet must be running, or have been stopped."""
        for load in self.loads:
            load.discard()
        if self.script("limpet.sh", "status", check=False).returncode == 0:
            self.check_identity()
            self.check_mbufs()
            self.check_drops()
        self.stop_limpet()
        log = self.log()
        for complaint in ("runtime error:", "AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "LEAKED"):
            assert complaint not in log, log[log.index(complaint) - 200:][:2000]


def out(*command, check=True):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout
