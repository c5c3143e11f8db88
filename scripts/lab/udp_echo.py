"""Answers each datagram with "NAME:payload" on the address it was sent to.
usage: udp_echo.py NAME PORT ADDRESS..."""
import selectors
import socket
import sys


def main():
    name, port, addresses = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    prefix = name.encode() + b":"
    selector = selectors.DefaultSelector()
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.setblocking(False)
        sock.bind((address, port))
        selector.register(sock, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            for _ in range(64):
                try:
                    payload, peer = sock.recvfrom(65535)
                except BlockingIOError:
                    break
                except ConnectionError:
                    continue
                try:
                    sock.sendto(prefix + payload, peer)
                except OSError:
                    pass  # a full buffer or an unreachable peer: the datagram is lost, as datagrams are


if __name__ == "__main__":
    main()
