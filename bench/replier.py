"""The devices of a measurement: a process of their own, replying as the simulator renders and as fast as it can.

The simulator itself serves one coroutine a connection, which costs more than the clients that are measured.
This is bare epoll over ready-made replies. A device listens at its own loopback address, on the ports of its
family; what it says changes every second. `hung` accepts and says nothing, `silent` drops the connection
attempt (a full accept queue: the nearest that loopback has to an address where nobody is).

    python -m bench.replier CGMINER_PORT HTTP_PORT SECONDS < lines of "ADDRESS FAMILY"    says READY
"""

from __future__ import annotations

import json
import resource
import secrets
import select
import socket
import sys
import time
from dataclasses import replace

from agent.readings import State
from agent.simulator import dialects
from agent.simulator.farm import Snapshot
from agent.simulator.model import WIRES, Device
from agent.simulator.plan import plan

HUNG, SILENT = "hung", "silent"
MAX_REQUEST_BYTES = 16_384
BACKLOG = 1024
CONNECT_WAIT_S = 10  # a client that connects and says nothing is not even accepted before that
NONCE = secrets.token_hex(16)


class Model:
    """One model of a family; its replies are rendered once a second and shared by all its devices."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.second = 0
        self.replies: dict[bytes, bytes] = {}

    def now(self) -> Snapshot:
        model, wire = self.device.model, WIRES[self.device.model.family]
        uptime_s = int(time.time()) - 1_700_000_000
        hashrate = round(model.nameplate_hs / wire.hashrate_unit_hs * (0.98 + uptime_s % 5 / 100), 2)
        return Snapshot(
            time.time_ns() // 1000, State.MINING, model.nameplate_w, hashrate, uptime_s, uptime_s // 12, 0
        )

    def cgminer(self, request: bytes) -> bytes:
        if int(time.time()) != self.second:
            self.second = int(time.time())
            self.replies.clear()
        found = self.replies.get(request)
        if found is None:
            found = self.replies[request] = dialects.cgminer(self.device, self.now(), request)
        return found

    def page(self, address: str, request: bytes) -> bytes:
        """One page over a connection that stays open, as the servers of these firmwares leave it."""
        if b"/api/" in request:
            key = b"page"
            if int(time.time()) != self.second or key not in self.replies:
                self.second = int(time.time())
                self.replies[key] = dialects.http(self.device, self.now(), address, NONCE, request)
            reply = self.replies[key]
        else:
            reply = dialects.http(self.device, self.now(), address, NONCE, request)
        return reply.replace(b"Connection: close", b"Connection: keep-alive", 1)


class Peer:
    """One device at its address: a model with an identity of its own."""

    def __init__(self, address: str, model: Model) -> None:
        self.address, self.model = address, model
        _, second, third, fourth = (int(part) for part in address.split("."))
        self.mac = f"02:77:{second:02x}:{third:02x}:{fourth:02x}:01".upper().encode()
        self.serial = f"BN{address.replace('.', 'X')}".encode()

    def reply(self, request: bytes, is_http: bool) -> bytes:
        device = self.model.device
        text = self.model.page(self.address, request) if is_http else self.model.cgminer(request)
        text = text.replace(device.mac.upper().encode(), self.mac)
        if device.serial and b"erinum" in text:
            return _resized(text.replace(device.serial.encode(), self.serial))
        return text.replace(device.serial.encode(), self.serial) if device.serial else text


def _resized(page: bytes) -> bytes:
    """The page with its Content-Length as its body now is."""
    head, _, body = page.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body


class Replier:
    """All listeners and connections of the process."""

    def __init__(self, cgminer_port: int, http_port: int) -> None:
        self.ports = {False: cgminer_port, True: http_port}
        self.epoll = select.epoll()
        self.listeners: dict[int, tuple[socket.socket, Peer, bool]] = {}
        self.open: dict[int, tuple[socket.socket, Peer]] = {}
        self.kept: list[socket.socket] = []
        devices = plan(7, 30).devices
        self.models = {
            name: [
                Model(replace(device, installed_us=0))
                for device in {d.model.name: d for d in devices if d.model.family == name}.values()
            ]
            for name in WIRES
        }

    def add(self, address: str, family: str, number: int) -> None:
        """Open the ports of one address."""
        if family in (HUNG, SILENT):
            for port in self.ports.values():
                self._stand(address, port, family == SILENT)
            return
        models = self.models[family]
        peer = Peer(address, models[number % len(models)])
        for is_http in (False, True) if family != "axeos" else (True,):
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
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        try:  # deferred: what is accepted has sent something
            request = connection.recv(MAX_REQUEST_BYTES, socket.MSG_DONTWAIT)
            if request:
                connection.send(peer.reply(request, is_http))
        except OSError:
            connection.close()
            return
        if not is_http or not request:
            connection.close()
            return
        self.open[connection.fileno()] = connection, peer
        self.epoll.register(connection.fileno(), select.EPOLLIN)

    def read(self, connection: socket.socket, peer: Peer) -> None:
        """The next request on a kept connection."""
        try:
            request = connection.recv(MAX_REQUEST_BYTES, socket.MSG_DONTWAIT)
            if request:
                connection.send(peer.reply(request, True))
                return
        except OSError:
            pass
        del self.open[connection.fileno()]
        connection.close()


def _listener(address: str, port: int, backlog: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


def main() -> None:
    """Serve what standard input lists, up to a line END."""
    cgminer_port, http_port, seconds = (int(argument) for argument in sys.argv[1:4])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    replier = Replier(cgminer_port, http_port)
    for number, line in enumerate(iter(sys.stdin.readline, "END\n")):
        address, family = line.split()
        replier.add(address, family, number)
    print(json.dumps("READY"), flush=True)  # noqa: T201
    replier.serve(time.monotonic() + seconds)


if __name__ == "__main__":
    main()
