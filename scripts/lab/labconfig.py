"""The configuration of the lab's limpet: a plain model that tests may change, and its libconfig text.

As a program it prints the lab's standard configuration:
  labconfig.py NAME [--workers N] [--backends N] [--mtu-front N] [--mtu-back N] [--one-arm]
"""
import argparse
import os
import sys

VIP4, VIP6 = "10.1.0.100", "fd00:1::100"
CLIENTS = 64
PORT_WEB, PORT_CLOSE, PORT_ECHO = 80, 81, 7000


def client_addresses(family):
    """The addresses of the client namespace, in order."""
    if family == 4:
        return [f"10.1.0.{i}" for i in range(1, CLIENTS + 1)]
    return [f"fd00:1::{i:x}" for i in range(1, CLIENTS + 1)]


def backend_address(index, family, one_arm=False):
    if one_arm:  # in the clients' network
        return f"10.1.0.{110 + index}" if family == 4 else f"fd00:1::{110 + index}"
    return f"10.2.0.{10 + index}" if family == 4 else f"fd00:2::{10 + index}"


def lcores(workers):
    """Main lcore 0 for the control loop, workers from 1 on; they share the CPUs we may run on."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > workers:
        return ",".join(f"{lcore}@{cpu}" for lcore, cpu in enumerate(cpus[: workers + 1]))
    return f"(0-{workers})@({','.join(map(str, cpus))})"


def standard(name, workers=1, backends=4, mtu_front=1500, mtu_back=1500, one_arm=False):
    """Model of the standard configuration of lab `name`: per family a web, a close and an echo service,
    all sticky by source. With one arm there is one port only, "front"."""
    pools, services = [], []
    ports = [{"name": "front", "device": "net_af_packet0",
              "addresses": ["10.1.0.254/24", "fd00:1::254/64"], "mtu": mtu_front}]
    if not one_arm:
        ports.append({"name": "back", "device": "net_af_packet1",
                      "addresses": ["10.2.0.254/24", "fd00:2::254/64"], "mtu": mtu_back})
    for family in (4, 6):
        for what, port in (("web", PORT_WEB), ("close", PORT_CLOSE), ("echo", PORT_ECHO)):
            both = f"{what}{family}"
            # Datagrams have no health check of their own: the same machine's web server stands for it.
            health = {"type": "http", "uri": "/health", "expect": "200", "interval": "1s",
                      "timeout": "500ms", "rise": 2, "fall": 3, "port": PORT_WEB}
            pools.append({
                "name": both,
                "scheduler": "maglev",
                "health": health,
                "backends": [{"name": f"s{i}", "address": backend_address(i, family, one_arm),
                              "port": port, "weight": 1} for i in range(backends)],
            })
            services.append({
                "name": both,
                "vip": VIP4 if family == 4 else VIP6,
                "port": port,
                "protocol": "udp" if what == "echo" else "tcp",
                "mode": "nat",
                "pool": both,
                # All clients of the lab share one /64: each address is a client of its own.
                "persistence": [{"type": "source", "prefix4": 32, "prefix6": 128}],
            })
    return {
        "eal": ["--lcores", lcores(workers), "--no-huge", "-m",
                os.environ.get("LIMPET_LAB_MEMORY", "1024"), "--no-pci",
                "--file-prefix", f"limpet-{name}",
                *(f"--vdev=net_af_packet{i},iface=l{i},qpairs={workers}{_ring(port['mtu'])}"
                  for i, port in enumerate(ports))],
        "poll": "adaptive",
        "capacity": {"flows": 200000, "held_packets": 4096},
        "ports": ports,
        "pools": pools,
        "services": services,
    }


def _ring(mtu):
    """What net_af_packet needs for frames that are larger than its usual slots."""
    return ",blocksz=65536,framesz=16384,framecnt=512" if mtu > 1500 else ""


def pool(model, name):
    return next(p for p in model["pools"] if p["name"] == name)


def service(model, name):
    return next(s for s in model["services"] if s["name"] == name)


def render(model):
    """libconfig text of a model: a list of dicts is a list ( ), any other list an array [ ]."""
    return "".join(f"{name} = {_value(value, 0)};\n" for name, value in model.items())


def _value(value, depth):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        settings = [f"{k} = {_value(v, depth + 1)};" for k, v in value.items()]
        if len(" ".join(settings)) < 100:
            return "{ " + " ".join(settings) + " }"
        return _block("{", settings, "", "}", depth)
    if not value:
        return "[ ]"
    items = [_value(v, depth + 1) for v in value]
    if not isinstance(value[0], dict):
        return "[ " + ", ".join(items) + " ]"
    if len(items) == 1 and len(items[0]) < 100:
        return f"( {items[0]} )"
    return _block("(", items, ",", ")", depth)


def _block(first, lines, separator, last, depth):
    pad = "  " * depth
    return first + "\n" + (separator + "\n").join(f"{pad}  {line}" for line in lines) + f"\n{pad}{last}"


def main():
    parser = argparse.ArgumentParser(description="prints the configuration of the lab's limpet")
    parser.add_argument("name", metavar="NAME", help="the lab's")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--backends", type=int, default=4)
    parser.add_argument("--mtu-front", type=int, default=1500)
    parser.add_argument("--mtu-back", type=int, default=1500)
    parser.add_argument("--one-arm", action="store_true")
    args = parser.parse_args()
    sys.stdout.write(render(standard(args.name, args.workers, args.backends, args.mtu_front, args.mtu_back,
                                     args.one_arm)))


if __name__ == "__main__":
    main()
