"""The devices of a measurement: a process of their own, replying as fast as it can.

The simulator serves one coroutine a connection and renders every reply, which costs more than the clients
that are measured. This is bare epoll over the fixed replies of `bench/replies/` (rendered once by the
simulator), so that figures of different days can be compared. A device listens at its own loopback address,
on the ports of its family. `hung` accepts and says nothing, `silent` drops the attempt to connect (a full
accept queue: the nearest that loopback has to an address where nobody is).

    python -m bench.replier CGMINER_PORT HTTP_PORT SECONDS < lines of "ADDRESS FAMILY", then END    says READY
"""

from __future__ import annotations

import json
import resource
import secrets
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from bench.digest import Digest

HUNG, SILENT = "hung", "silent"
REPLIES = Path(__file__).parent / "replies"
REAL_HTTP_PORT = 80
MAX_REQUEST_BYTES = 16_384
BACKLOG = 1024
CONNECT_WAIT_S = 10  # a client that connects and says nothing is not even accepted before that
BOOTED_S = 1_700_000_000
HEAD = (
    b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"
    b"%sContent-Length: %d\r\n\r\n"
)


class Model:
    """One family's device; replies are rendered once a second and shared, but for who says them."""

    def __init__(self, family: str) -> None:
        told: dict[str, dict[str, Any]] = json.loads((REPLIES / f"{family}.json").read_text(encoding="utf-8"))
        self.family = family
        self.tcp = {name: _text(reply) for name, reply in told["tcp"].items()}
        self.pages = {path.encode(): _text(page) for path, page in told["http"].items()}
        if family == "axeos":  # the peers know it by its front page
            self.pages[b"/"] = b"<!doctype html><html><head><title>AxeOS</title></head><body></body></html>"
        self.digest = Digest("antMiner Configuration", "root", "root", secrets.token_hex(16))
        self.second = 0
        self.ready: dict[bytes, bytes] = {}

    def cgminer(self, request: bytes) -> bytes:
        """The reply to a command, joined ones where the family joins them."""
        return self._now().get(request) or self._keep(request, self._command(request) + b"\0")

    def page(self, request: bytes) -> bytes:
        """The head and body of one page, over a connection that stays open as these firmwares leave it."""
        path = request.split(b" ", 2)[1]
        if self.family == "antminer" and not self.digest.holds(request):
            return HEAD % (401, self.digest.challenge(), 0)
        if self.family == "whatsminer":
            return HEAD % (307, b"Location: https://127.0.0.1:1/\r\n", 0)
        body = self._now().get(path) or self._keep(path, self.pages.get(path, b""))
        return HEAD % (200 if body else 404, b"", len(body)) + body

    def _now(self) -> dict[bytes, bytes]:
        if (second := int(time.time())) != self.second:
            self.second = second
            self.ready.clear()
        return self.ready

    def _keep(self, key: bytes, template: bytes) -> bytes:
        text = template.replace(b'"%UPTIME%"', b"%d" % (self.second - BOOTED_S))
        self.ready[key] = text.replace(b'"%NOW%"', b"%d" % self.second)
        return self.ready[key]

    def _command(self, request: bytes) -> bytes:
        try:
            asked = json.loads(request.rstrip(b"\0\r\n "))
        except ValueError:
            asked = {"command": request.decode("latin-1").strip()}
        name = str(asked.get("command", asked.get("cmd", "")))
        if name == "stats" and asked.get("new_api"):
            name = "stats new_api"
        names = name.split("+")
        if len(names) == 1 or self.family != "whatsminer" or not self.tcp.keys() >= set(names):
            return self.tcp.get(name, self.tcp[""])
        joined = b",".join(b'"%s":[%s]' % (part.encode(), self.tcp[part]) for part in names)
        return b'{%s,"id":1}' % joined


def _text(reply: object) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode()


class Peer:
    """One device at its address: a model with an identity of its own."""

    def __init__(self, address: str, model: Model) -> None:
        self.model = model
        numbers = tuple(int(part) for part in address.split("."))
        self.mac = b"02:00:%02X:%02X:%02X:%02X" % numbers
        self.serial = b"BN%03dQ%03dQ%03dQ%03d" % numbers

    def reply(self, request: bytes, is_http: bool) -> bytes:
        if not is_http:
            return self._named(self.model.cgminer(request))
        head, gap, body = self.model.page(request).partition(b"\r\n\r\n")
        named = self._named(body)
        resized = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(named))
        return resized + gap + named

    def _named(self, text: bytes) -> bytes:
        return text.replace(b"%MAC%", self.mac).replace(b"%SERIAL%", self.serial) if b"%" in text else text


class Replier:
    """All listeners and connections of the process."""

    def __init__(self, cgminer_port: int, http_port: int) -> None:
        self.ports = {False: cgminer_port, True: http_port}
        self.epoll = select.epoll()
        self.listeners: dict[int, tuple[socket.socket, Peer, bool]] = {}
        self.open: dict[int, tuple[socket.socket, Peer]] = {}
        self.kept: list[socket.socket] = []
        self.models = {path.stem: Model(path.stem) for path in REPLIES.glob("*.json")}

    def add(self, address: str, family: str) -> None:
        """Open the ports of one address."""
        if family in (HUNG, SILENT):
            for port in self.ports.values():
                self._stand(address, port, family == SILENT)
            return
        peer = Peer(address, self.models[family])
        # A WhatsMiner's web page is nothing that a sweep reads; the peers look for it at its real port.
        web = self.ports[True] == REAL_HTTP_PORT or family != "whatsminer"
        for is_http in [*([False] if family != "axeos" else []), *([True] if web else [])]:
            listener = _listener(address, self.ports[is_http], BACKLOG)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, CONNECT_WAIT_S)
            self.listeners[listener.fileno()] = listener, peer, is_http
            self.epoll.register(listener.fileno(), select.EPOLLIN)

    def _stand(self, address: str, port: int, silent: bool) -> None:
        """A listener that nobody accepts from."""
        self.kept.append(_listener(address, port, 0 if silent else BACKLOG))
        for _ in range(2 if silent else 0):  # what a queue of length 0 still takes
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((address, port))
            self.kept.append(filler)

    def serve(self, until_s: float) -> None:
        """Reply until the time is over, or until nobody holds our standard input any more."""
        self.epoll.register(0, select.EPOLLIN | select.EPOLLHUP)
        while time.monotonic() < until_s:
            for number, _ in self.epoll.poll(1.0, 256):
                if number == 0:
                    return
                if number in self.listeners:
                    self.accept(*self.listeners[number])
                else:
                    self.read(*self.open[number])

    def accept(self, listener: socket.socket, peer: Peer, is_http: bool) -> None:
        """A new connection; deferred until it has sent something, so its request is there."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone; out of files is another matter: devices that are well would look hung
        if self._answered(connection, peer, is_http) and is_http:
            self.open[connection.fileno()] = connection, peer
            self.epoll.register(connection.fileno(), select.EPOLLIN)
        else:
            connection.close()

    def read(self, connection: socket.socket, peer: Peer) -> None:
        """The next request on a kept connection, or its end."""
        if not self._answered(connection, peer, True):
            del self.open[connection.fileno()]
            connection.close()

    def _answered(self, connection: socket.socket, peer: Peer, is_http: bool) -> bool:
        try:
            request = connection.recv(MAX_REQUEST_BYTES, socket.MSG_DONTWAIT)
            if request:
                connection.send(peer.reply(request, is_http))
        except OSError:
            return False
        return bool(request)


def _listener(address: str, port: int, backlog: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


def main() -> None:
    """Serve what standard input lists."""
    cgminer_port, http_port, seconds = (int(argument) for argument in sys.argv[1:4])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    replier = Replier(cgminer_port, http_port)
    for line in iter(sys.stdin.readline, "END\n"):
        address, family = line.split()
        replier.add(address, family)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    replier.serve(time.monotonic() + seconds)


if __name__ == "__main__":
    main()
