"""Plays shapes to a proxy: jobs as JSON on stdin, what came of each on stdout.

A job: {"to": [address, port], "source": address or null, "at_once": bool, "requests": [text, ...]}. Of each
the answers, up to the last request or the end of the connection: {"status", "headers", "body", "interim"}, or
{"status": "closed" | "reset" | "silent" | "refused" | "bad"}. Text is Latin-1.
"""
import concurrent.futures
import json
import pathlib
import re
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from app import Reader  # noqa: E402  (found by the path above)


def answer(reader, head_only):
    interim = 0
    while True:
        head = reader.until(rb"\r?\n\r?\n")
        if head is None:
            return {"status": "bad" if reader.buffer else "closed"}
        lines = re.split(r"\r?\n", head.decode("latin-1"))[:-2]
        if not re.match(r"HTTP/1\.[01] \d\d\d", lines[0]):
            return {"status": "bad"}
        status = int(lines[0].split()[1])
        if status >= 200 or status == 101:
            break
        interim += 1
    headers = [[name.lower(), value.strip()] for name, _, value in (line.partition(":") for line in lines[1:])]
    fields = dict(headers)
    if head_only or status in (204, 304):
        body = b""
    elif "chunked" in fields.get("transfer-encoding", ""):
        body = b""
        while size := int(reader.until(rb"\n"), 16):
            body += reader.exactly(size)
            reader.until(rb"\n")
        reader.until(rb"\n")
    elif "content-length" in fields:
        body = reader.exactly(int(fields["content-length"]))
    else:
        while reader.more():
            pass
        body = reader.buffer
    return {"status": status, "headers": headers, "body": (body or b"").decode("latin-1"), "interim": interim}


def play(job):
    answers = []
    requests = [r.encode("latin-1") for r in job["requests"]]
    try:
        with socket.socket() as sock:
            sock.settimeout(3)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if job["source"]:
                sock.bind((job["source"], 0))
            sock.connect(tuple(job["to"]))
            reader = Reader(sock)
            if job["at_once"]:
                sock.sendall(b"".join(requests))
            for request in requests:
                if not job["at_once"]:
                    sock.sendall(request)
                answers.append(answer(reader, request.startswith(b"HEAD")))
                if not isinstance(answers[-1]["status"], int):
                    break
    except ConnectionRefusedError:
        answers.append({"status": "refused"})
    except (ConnectionResetError, BrokenPipeError):
        answers.append({"status": "reset"})
    except TimeoutError:
        answers.append({"status": "silent"})
    except (TypeError, ValueError):
        answers.append({"status": "bad"})
    return answers


def main():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        json.dump(list(pool.map(play, json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
