"""Clients of the lab: HTTP and datagram load from many source addresses, every request recorded.

Runs inside the client namespace. Each client address has its own sequence of connections (or several,
--parallel); each record says when, who, and which backend answered or what went wrong. Times are
seconds of CLOCK_MONOTONIC, the same in every process of the machine.

  client.py http  --target 10.1.0.100:80 [--target [fd00:1::100]:80] [--connections N | --duration S]
  client.py udp   --target 10.1.0.100:7000 ... [--sockets N] [--datagrams N]

Without --out a summary table is printed; with it, one JSON array a line goes to the file:
  [start, end, client, target, kind, backend or null, error or null]
kind: "new" for the first request of a connection, "kept" for later ones.
error: refused, reset, closed, timeout, unreachable, bad, or failed:<errno name>.
SIGTERM ends the load early; the records are still written and requests in flight are not errors.
"""
import argparse
import collections
import errno
import heapq
import json
import os
import select
import signal
import socket
import sys
import time

from labconfig import client_addresses

IP_BIND_ADDRESS_NO_PORT = 24
ERRORS = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EPIPE: "reset",
          errno.ETIMEDOUT: "timeout", errno.EHOSTUNREACH: "unreachable",
          errno.ENETUNREACH: "unreachable"}


def error_name(number):
    return ERRORS.get(number) or "failed:" + errno.errorcode.get(number, str(number))


def parse_target(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def bound_socket(kind, client):
    sock = socket.socket(family_of(client), kind)
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    except OSError:
        pass
    sock.bind((client, 0))
    return sock


class Sequence:
    """One client's connections, one after the other."""

    __slots__ = ("client", "target", "connections", "sock", "start", "deadline", "requests", "buffer",
                 "state", "token")

    def __init__(self, client, target, connections):
        self.client, self.target, self.connections = client, target, connections
        self.sock, self.state, self.token = None, "idle", 0


class HttpLoad:
    """An epoll loop over all sequences. A sequence is idle, connecting, waiting (for an answer), resting
    (between requests of one connection) or done."""

    def __init__(self, args, clients):
        self.args = args
        self.poll = select.epoll()
        self.by_fd = {}
        self.timers = []  # (when, order, sequence, token): stale when the token has moved on
        self.order = 0
        self.records = []
        self.stopping = False
        self.running = 0
        self.request = (f"{args.method} {args.path} HTTP/1.1\r\nHost: lab\r\n"
                        + ("Connection: close\r\n" if args.requests == 1 and args.client_closes else "")
                        + "\r\n").encode()
        now = time.monotonic()
        self.end = now + args.duration if args.duration else None
        sequences = [Sequence(client, target, 0 if args.duration else args.connections)
                     for target in args.target for client in clients(target) for _ in range(args.parallel)]
        for i, sequence in enumerate(sequences):  # spread over the first gap, not all at once
            self.arm(sequence, now + args.gap * i / len(sequences))
            self.running += 1

    def arm(self, sequence, when):
        sequence.token += 1
        self.order += 1
        heapq.heappush(self.timers, (when, self.order, sequence, sequence.token))

    def run(self):
        while self.running:
            now = time.monotonic()
            if not self.stopping and self.end is not None and now >= self.end:
                self.stopping = True
            if self.stopping:
                break
            while self.timers and self.timers[0][0] <= now:
                _, _, sequence, token = heapq.heappop(self.timers)
                if sequence.token == token:
                    self.timer(sequence, now)
            wait = 0.2 if not self.timers else min(0.2, max(0.0, self.timers[0][0] - time.monotonic()))
            for fd, events in self.poll.poll(wait):
                sequence = self.by_fd.get(fd)
                if sequence is not None:
                    self.ready(sequence, events)
        return self.records

    def timer(self, sequence, now):
        if sequence.state == "idle":
            self.connect(sequence)
        elif sequence.state == "resting":
            self.send(sequence)
        else:
            self.finish(sequence, None, "timeout")

    def connect(self, sequence):
        sequence.start = time.monotonic()
        sequence.requests = 0
        sequence.buffer = b""
        try:
            sequence.sock = bound_socket(socket.SOCK_STREAM, sequence.client)
            sequence.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as e:
            self.finish(sequence, None, error_name(e.errno))
            return
        sequence.state = "connecting"
        fd = sequence.sock.fileno()
        self.by_fd[fd] = sequence
        self.arm(sequence, sequence.start + self.args.timeout)
        code = sequence.sock.connect_ex(sequence.target)
        self.poll.register(fd, select.EPOLLOUT)
        if code not in (0, errno.EINPROGRESS):
            self.finish(sequence, None, error_name(code))

    def send(self, sequence):
        now = time.monotonic()
        if sequence.state == "resting":
            sequence.start = now
        sequence.state = "waiting"
        self.arm(sequence, now + self.args.timeout)
        try:
            sequence.sock.send(self.request)
        except OSError as e:
            self.finish(sequence, None, error_name(e.errno))

    def ready(self, sequence, events):
        if sequence.state == "connecting":
            code = sequence.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self.finish(sequence, None, error_name(code))
                return
            self.poll.modify(sequence.sock.fileno(), select.EPOLLIN)
            self.send(sequence)
            return
        try:
            data = sequence.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as e:
            self.finish(sequence, None, error_name(e.errno))
            return
        if sequence.state == "resting":  # between requests the server has nothing to say
            if self.args.server_may_close and not data:
                self.next_connection(sequence)
            else:
                sequence.start = time.monotonic()
                self.finish(sequence, None, "bad" if data else "closed")
            return
        sequence.buffer += data
        backend = self.response(sequence.buffer)
        if backend is not None:
            self.finish(sequence, backend or None, None if backend else "bad")
        elif not data:
            self.finish(sequence, None, "closed")

    @staticmethod
    def response(buffer):
        """The X-Backend of a complete response, "" for one that is no good, None for an incomplete one."""
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        lines = buffer[:head_end].split(b"\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines[1:])}
        length = int(fields.get(b"content-length", b"0"))
        if len(buffer) < head_end + 4 + length:
            return None
        if not lines[0].startswith(b"HTTP/1.1 200") or len(buffer) > head_end + 4 + length:
            return ""
        return fields.get(b"x-backend", b"").decode()

    def finish(self, sequence, backend, error):
        now = time.monotonic()
        self.records.append((sequence.start, now, sequence.client, sequence.target[0],
                             "kept" if sequence.requests else "new", backend, error))
        sequence.requests += 1
        sequence.buffer = b""
        if error is None and (self.args.requests == 0 or sequence.requests < self.args.requests):
            sequence.state = "resting"
            self.arm(sequence, now + self.args.gap)
            return
        self.next_connection(sequence, abort=error == "timeout")

    def next_connection(self, sequence, abort=False):
        if sequence.sock is not None:
            fd = sequence.sock.fileno()
            self.by_fd.pop(fd, None)
            try:
                self.poll.unregister(fd)
            except (OSError, ValueError):
                pass
            if abort or self.args.reset:
                sequence.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sequence.sock.close()
            sequence.sock = None
        if sequence.connections == 1 or self.stopping:
            sequence.state = "done"
            sequence.token += 1
            self.running -= 1
            return
        sequence.connections -= 1 if sequence.connections else 0
        sequence.state = "idle"
        self.arm(sequence, time.monotonic() + self.args.gap)


class UdpLoad:
    """Every client opens --sockets sockets; on each, --datagrams are sent one after the other and
    each has to be answered. A datagram is tried three times before it counts as a timeout."""

    TRIES = 3

    def __init__(self, args, clients):
        self.args = args
        self.poll = select.epoll()
        self.stopping = False
        self.records = []
        self.todo = collections.deque((client, target) for _ in range(args.sockets)
                                      for target in args.target for client in clients(target))
        self.open = {}
        self.serial = 0
        self.end = time.monotonic() + args.duration if args.duration else None

    def run(self):
        while (self.todo or self.open) and not self.stopping:
            if self.end is not None and time.monotonic() >= self.end:
                break
            while self.todo and len(self.open) < self.args.parallel * 64:
                self.start(*self.todo.popleft())
            for fd, _ in self.poll.poll(0.05):
                if fd in self.open:
                    self.ready(self.open[fd])
            now = time.monotonic()
            for one in [o for o in self.open.values() if o["deadline"] <= now]:
                self.late(one)
        return self.records

    def start(self, client, target):
        sock = bound_socket(socket.SOCK_DGRAM, client)
        sock.connect(target)
        one = {"sock": sock, "client": client, "target": target, "sent": 0}
        self.open[sock.fileno()] = one
        self.poll.register(sock.fileno(), select.EPOLLIN)
        self.send_next(one)

    def send_next(self, one):
        if one["sent"] == self.args.datagrams:
            self.close(one)
            return
        self.serial += 1
        one.update(sent=one["sent"] + 1, start=time.monotonic(), tries=0,
                   payload=f"{one['client']} {self.serial}".encode())
        self.transmit(one)

    def transmit(self, one):
        one["tries"] += 1
        one["deadline"] = time.monotonic() + self.args.timeout
        try:
            one["sock"].send(one["payload"])
        except OSError as e:
            self.record(one, None, error_name(e.errno))

    def late(self, one):
        if one["tries"] < self.TRIES:
            self.transmit(one)
        else:
            self.record(one, None, "timeout")

    def ready(self, one):
        try:
            data = one["sock"].recv(65536)
        except BlockingIOError:
            return
        except OSError as e:
            self.record(one, None, error_name(e.errno))
            return
        backend, _, payload = data.partition(b":")
        if payload == one["payload"]:  # else the late answer to an earlier try
            self.record(one, backend.decode(), None)

    def record(self, one, backend, error):
        self.records.append((one["start"], time.monotonic(), one["client"], one["target"][0],
                             "new" if one["sent"] == 1 else "kept", backend, error))
        self.send_next(one)

    def close(self, one):
        fd = one["sock"].fileno()
        self.poll.unregister(fd)
        del self.open[fd]
        one["sock"].close()


def summary(records):
    """client -> {backend: requests}, printed; errors last."""
    seen, errors = collections.defaultdict(collections.Counter), collections.Counter()
    for _, _, client, _, _, backend, error in records:
        if error:
            errors[error] += 1
        else:
            seen[client][backend] += 1
    for client, backends in seen.items():
        print(f"{client:16} " + ", ".join(f"{b} x {n}" for b, n in sorted(backends.items())))
    print(f"{len(records)} requests, {sum(errors.values())} errors {dict(errors) or ''}")
    return 1 if errors or any(len(b) > 1 for b in seen.values()) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=("http", "udp"))
    parser.add_argument("--target", action="append", required=True, type=parse_target,
                        help="ADDRESS:PORT, may be given for both families")
    parser.add_argument("--clients", type=int, default=64, help="use the first N client addresses")
    parser.add_argument("--source", action="append", help="use this address instead (repeatable)")
    parser.add_argument("--parallel", type=int, default=1, help="sequences a client")
    parser.add_argument("--duration", type=float, default=0.0, help="seconds; instead of --connections")
    parser.add_argument("--connections", type=int, default=1, help="connections a sequence")
    parser.add_argument("--requests", type=int, default=1, help="requests a connection, 0: never close")
    parser.add_argument("--sockets", type=int, default=4, help="udp: sockets a client")
    parser.add_argument("--datagrams", type=int, default=8, help="udp: datagrams a socket")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds between requests and connections")
    parser.add_argument("--timeout", type=float, default=5.0)
    parser.add_argument("--method", default="GET")
    parser.add_argument("--path", default="/")
    parser.add_argument("--client-closes", action="store_true", help="send Connection: close")
    parser.add_argument("--server-may-close", action="store_true", help="an idle connection's end is no error")
    parser.add_argument("--reset", action="store_true", help="end connections by RST instead of FIN")
    parser.add_argument("--out", help="write records here")
    args = parser.parse_args()

    def clients(target):
        family = 6 if ":" in target[0] else 4
        if args.source:
            return [s for s in args.source if (":" in s) == (family == 6)]
        return client_addresses(family)[: args.clients]

    load = (HttpLoad if args.protocol == "http" else UdpLoad)(args, clients)

    def stop(*_):
        load.stopping = True
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    records = load.run()
    if not args.out:
        sys.exit(summary(records))
    with open(args.out + ".tmp", "w") as out:
        for record in records:
            out.write(json.dumps(record) + "\n")
    os.rename(args.out + ".tmp", args.out)


if __name__ == "__main__":
    main()
