"""A process that asks one trivial route over one connection, again and again, and prints its waits as JSON.

It asks at a fixed pace on a blocking socket, and where it may it takes a real-time priority: what it
measures is then the server's delay and not its own. Input: ``PORT SECONDS PAUSE``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time


def probe(port: int, seconds: float, pause: float, path: str = "/livez") -> list[tuple[float, float]]:
    """(monotonic time of the answer, wait) for each question, in seconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    seen: list[tuple[float, float]] = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        until = time.monotonic() + seconds
        while (start := time.monotonic()) < until:
            link.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                head += _some(link)
            top, _, body = head.partition(b"\r\n\r\n")
            if not top.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{path}: {top[:100]!r}")
            length = int(top.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            while len(body) < length:
                body += _some(link)
            now = time.monotonic()
            seen.append((now, now - start))
            time.sleep(max(0.0, pause - (now - start)))
    return seen


def _some(link: socket.socket) -> bytes:
    data = link.recv(65536)
    if not data:
        raise SystemExit("the server closed the probe's connection")
    return data


if __name__ == "__main__":
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print(json.dumps(probe(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
