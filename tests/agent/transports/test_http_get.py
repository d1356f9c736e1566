"""Plain pages over kept connections: what is reused, what is handed back, what the full client reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.readings import DeviceTimeout, ProtocolError, Unreachable
from agent.transports.http import Web
from agent.transports.http_get import Kept, NotPlain
from agent.transports.network import Network

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'


class Device:
    """A server that gives the same bytes to every request, `served` times a connection."""

    def __init__(self, reply: bytes, served: int = 100, close: bool = True) -> None:
        self.reply, self.served, self.close = reply, served, close
        self.connections = self.requests = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for _ in range(self.served):
            try:
                await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            self.requests += 1
            writer.write(self.reply)
        if not self.close:
            await reader.read()
        writer.close()


def run(device: Device, ask: Callable[[Kept, int], Awaitable[None]], **settings: float) -> None:
    async def talk() -> None:
        server = await asyncio.start_server(device.talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        kept = Kept(Network(http_port=port, **settings))  # type: ignore[arg-type]
        try:
            await ask(kept, port)
        finally:
            kept.close()
            server.close()
            await asyncio.sleep(0.02)

    asyncio.run(talk())


def test_one_connection_serves_many_sweeps() -> None:
    async def ask(kept: Kept, port: int) -> None:
        for _ in range(5):
            assert await kept.get("127.0.0.1", port, "/", 2.0) == (200, b'{"a":1}')

    device = Device(PAGE)
    run(device, ask)
    assert (device.connections, device.requests) == (1, 5)


@pytest.mark.parametrize("head", [b"Connection: close\r\n", b""], ids=["told", "untold"])
def test_a_connection_that_the_device_closed_is_made_anew(head: bytes) -> None:
    async def ask(kept: Kept, port: int) -> None:
        for _ in range(3):
            assert (await kept.get("127.0.0.1", port, "/", 2.0))[0] == 200
            await asyncio.sleep(0.02)  # the close arrives

    device = Device(PAGE.replace(b"Content", head + b"Content"), served=1)
    run(device, ask)
    assert (device.connections, device.requests) == (3, 3)


def test_an_idle_connection_is_handed_back() -> None:
    async def ask(kept: Kept, port: int) -> None:
        await kept.get("127.0.0.1", port, "/", 2.0)
        await asyncio.sleep(0.15)
        await kept.get("127.0.0.1", port, "/", 2.0)

    device = Device(PAGE)
    run(device, ask, keep_alive_s=0.05)
    assert device.connections == 2


def test_no_more_connections_are_kept_than_set_and_those_kept_stay() -> None:
    async def ask(kept: Kept, port: int) -> None:
        for address in ("127.0.0.1", "127.0.0.1", "localhost"):
            await kept.get(address, port, "/", 2.0)
        await kept.get("127.0.0.1", port, "/", 2.0)

    device = Device(PAGE)
    run(device, ask, max_kept_connections=1)
    assert device.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n" + b'{"a":1}' + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + b'{"a":1}',
    ],
    ids=["chunked", "until close"],
)
def test_another_framing_is_read_by_the_full_client(reply: bytes) -> None:
    device = Device(reply, served=1)

    async def ask(kept: Kept, port: int) -> None:
        with pytest.raises(NotPlain):
            await kept.get("127.0.0.1", port, "/", 2.0)
        async with Web(Network(http_port=port)) as web:
            for _ in range(2):
                assert await web.get("127.0.0.1", "/") == {"a": 1}

    run(device, ask)
    assert device.requests == 4  # one here; then the plain way is tried once a device, not once a sweep


@pytest.mark.parametrize("reply", [PAGE[:20], PAGE[:-2], b""], ids=["head", "body", "nothing"])
def test_half_a_reply_is_a_timeout(reply: bytes) -> None:
    async def ask(kept: Kept, port: int) -> None:
        with pytest.raises(DeviceTimeout):
            await kept.get("127.0.0.1", port, "/", 0.1)

    run(Device(reply, served=1, close=False), ask)


def test_the_bound_holds() -> None:
    async def ask(kept: Kept, port: int) -> None:
        with pytest.raises(ProtocolError, match="over 1000 bytes"):
            await kept.get("127.0.0.1", port, "/", 2.0)

    run(
        Device(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999), ask, max_reply_bytes=1000
    )


def test_nobody_listens() -> None:
    async def ask(kept: Kept, _port: int) -> None:
        with pytest.raises(Unreachable, match="refused"):
            await kept.get("127.0.0.1", 1, "/", 2.0)

    run(Device(PAGE), ask)
