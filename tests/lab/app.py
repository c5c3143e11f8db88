"""The tests' own backends: they answer with what they received and as the request asks them to.

  app.py PORT NAME=ADDRESS,ADDRESS ...

A request may carry its answer, in base64: `X-Reply`, a status line and header lines, to which X-Backend and,
where a response may have a body, its length are added; or `X-Reply-Raw`, octet by octet what is sent, the
connection closed behind it. `X-Cut: N`: a pause after so many octets of the answer. The body is JSON: {"name",
"head", "body"}: head and body as they came, as Latin-1.

Apart from that: /page, a page with twelve assets, of which a script opens a WebSocket; /assets/N; /ws, its
echo; /hold, by which the page is not loaded before its script has asked for /done; /slow?N, answered after N s.
"""
import base64
import collections
import hashlib
import itertools
import json
import re
import socket
import sys
import threading
import time

ASSETS = 12
PAGE = """<!DOCTYPE html><title>page</title>
%s
<img src="/hold?@KEY@">
<div id="out">waiting</div>
<script>
const out = {cookie: document.cookie};
(async () => {
  try {
    const names = await SynAckOptions.all([...Array(%d).keys()].map(
      i => fetch("/assets/" + i + ".txt?again").then(r => r.text())));
    out.assets = [...new Set(names)];
    out.page = "@NAME@";
    const socket = new WebSocket("ws://" + location.host + "/ws");
    out.echo = await new SynAckOptions((yes, no) => {
      const got = [];
      socket.onopen = () => { for (let i = 0; i < 20; ++i) socket.send("message " + i + " x" + "x".repeat(i * 300)); };
      socket.onmessage = m => { got.push(m.data); if (got.length === 21) yes(got.map(t => t.split(" x")[0])); };
      socket.onerror = () => no("the socket failed");
    });
  } catch (e) { out.error = String(e); }
  document.getElementById("out").textContent = JSON.stringify(out);
  fetch("/done?@KEY@");
})();
</script>
"""

finished = collections.defaultdict(threading.Event)  # of each page
pages = itertools.count()


class Reader:
    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def until(self, pattern):
        """What comes up to and with the first match; None at the end of the stream."""
        while not (found := re.search(pattern, self.buffer)):
            if not self.more():
                return None
        taken, self.buffer = self.buffer[: found.end()], self.buffer[found.end():]
        return taken

    def exactly(self, size):
        while len(self.buffer) < size:
            if not self.more():
                return None
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def more(self):
        piece = self.sock.recv(65536)
        self.buffer += piece
        return bool(piece)


def fields_of(head):
    fields = {}
    for line in re.split(rb"\r?\n", head)[1:]:
        name, _, value = line.partition(b":")
        fields.setdefault(name.strip().lower(), value.strip())
    return fields


def body_of(reader, fields):
    if fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked"):
        body = b""
        while (line := reader.until(rb"\n")) is not None:
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while reader.until(rb"\n") not in (b"\r\n", b"\n", None):
                    pass
                return body
            body += reader.exactly(size) or b""
            reader.until(rb"\n")
        return body
    return reader.exactly(int(fields.get(b"content-length", b"0").split(b",")[0])) or b""


def websocket(sock, reader, name, key):
    """Text messages come back, after a first one with our name."""
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"X-Backend: " + name + b"\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def send(opcode, data):
        length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        sock.sendall(bytes([0x80 | opcode]) + length + data)
    send(1, name)
    while header := reader.exactly(2):
        length = header[1] & 0x7f
        if length == 126:
            length = int.from_bytes(reader.exactly(2), "big")
        mask = reader.exactly(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(reader.exactly(length)))
        send(header[0] & 15, data)
        if header[0] & 15 == 8:
            return


def one(sock, reader, name):
    """Answers one request; False when the connection ends."""
    head = reader.until(rb"[^\r\n][^\0]*?\r?\n\r?\n")  # blank lines in front are passed over
    if head is None:
        return False
    head = head.lstrip(b"\r\n")
    fields = fields_of(head)
    line = head.split(b"\n")[0].split()
    if fields.get(b"expect"):
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    method, path = line[0], line[1] if len(line) > 1 else b""
    if path.startswith(b"/ws"):
        websocket(sock, reader, name, fields[b"sec-websocket-key"])
        return False
    body = body_of(reader, fields)
    if path.startswith(b"/slow?"):
        time.sleep(float(path[6:]))
    if b"x-reply-raw" in fields:
        sock.sendall(base64.b64decode(fields[b"x-reply-raw"]).replace(b"@NAME@", name))
        return False
    if path.startswith(b"/page"):
        assets = "".join(f'<img src="/assets/{i}.svg">' for i in range(ASSETS))
        data = (PAGE % (assets, ASSETS)).replace("@NAME@", name.decode()).replace("@KEY@", str(next(pages))).encode()
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    elif path.startswith((b"/assets/", b"/hold", b"/done")):
        if path.startswith(b"/done"):
            finished[path[5:]].set()
        elif path.startswith(b"/hold"):
            finished[path[5:]].wait(30)
        else:
            time.sleep(0.1)  # so long that a browser uses all the connections that it opens to one host
        data = name
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
    else:
        data = json.dumps({"name": name.decode(), "head": head.decode("latin-1"),
                           "body": body.decode("latin-1")}).encode()
        reply = base64.b64decode(fields.get(b"x-reply", b"")) or b'HTTP/1.1 200 OK\r\nETag: "x"\r\n'
    status = int(reply.split()[1])
    if status < 200 or status in (204, 304):
        data = b""
    elif b"transfer-encoding" in reply.lower():
        data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
    elif b"until-close" in reply.lower():
        pass
    elif b"content-length" not in reply.lower():
        reply += b"Content-Length: %d\r\n" % len(data)
    text = reply + b"X-Backend: " + name + b"\r\n\r\n" + (b"" if method == b"HEAD" else data)
    cut = int(fields.get(b"x-cut", b"0"))
    sock.sendall(text[:cut])
    if cut:
        time.sleep(0.002)
    sock.sendall(text[cut:])
    closes = b"close" in fields.get(b"connection", b"").lower() or b"connection: close" in reply.lower() or \
        b"until-close" in reply.lower() or \
        (len(line) > 2 and line[2] == b"HTTP/1.0" and b"keep-alive" not in fields.get(b"connection", b"").lower())
    return not closes


def serve(sock, name):
    reader = Reader(sock)
    try:
        while one(sock, reader, name):
            pass
    except ConnectionError:
        pass
    except (OSError, ValueError, LookupError, TypeError) as e:
        print(f"{name.decode()}: {e!r}", file=sys.stderr, flush=True)
    finally:
        sock.close()


def accept(listener, name):
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock, name), daemon=True).start()


def main():
    port = int(sys.argv[1])
    threads = []
    for argument in sys.argv[2:]:
        name, _, addresses = argument.partition("=")
        for address in addresses.split(","):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, port), family=family, backlog=512)
            threads.append(threading.Thread(target=accept, args=(listener, name.encode()), daemon=True))
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
