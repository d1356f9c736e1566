"""A silent address costs the connection's time and no more; a cancelled poll leaves no socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.readings import ProtocolError, Unreachable
from agent.transports import cgminer, loop
from agent.transports.network import Network


def _sockets() -> int:
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own is closed by now
            count += "socket" in str(path.readlink())
    return count


def test_an_address_that_drops_the_attempt_costs_the_connect_time_alone() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):  # a queue of length 0 takes one or two, and drops the rest
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        network = Network(cgminer_port=full.getsockname()[1], connect_timeout_s=0.1, deadline_s=30.0)
        began_s = time.monotonic()
        with pytest.raises(Unreachable, match="no answer to the connection"):
            asyncio.run(cgminer.ask("127.0.0.1", "summary", network))
        assert time.monotonic() - began_s < 10


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux tells them")
def test_a_cancelled_poll_leaves_no_socket() -> None:
    async def run() -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            network = Network(cgminer_port=silent.getsockname()[1])
            before = _sockets()
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(cgminer.ask("127.0.0.1", "summary", network), 0.02)
            assert _sockets() == before

    asyncio.run(run())


def _half_and_reset(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b'{"STATUS":[{"STATUS":"S"')
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()  # with no linger: a reset, on the heels of the data


@pytest.mark.parametrize("run", [asyncio.run, loop.run], ids=["asyncio", "the agent's loop"])
def test_a_reset_after_half_a_reply_is_told_at_once(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Data and reset may come as one event, which a loop tells once: a time-out would hide what it was."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        device = threading.Thread(target=_half_and_reset, args=(server,))
        device.start()
        network = Network(cgminer_port=server.getsockname()[1])
        with pytest.raises(ProtocolError):
            run(cgminer.ask("127.0.0.1", "summary", network))
        device.join()


def test_a_connection_ends_with_a_reset_once_the_reply_is_whole() -> None:
    """The device has its socket back at once, without a farewell that it must remember for a minute."""
    ends: list[str] = []

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b'{"STATUS":[{"STATUS":"S"}]}\0')
            try:
                ends.append(f"{len(connection.recv(1))} bytes")
            except ConnectionResetError:
                ends.append("reset")

    with socket.create_server(("127.0.0.1", 0)) as server:
        device = threading.Thread(target=answer, args=(server,))
        device.start()
        network = Network(cgminer_port=server.getsockname()[1])
        assert asyncio.run(cgminer.ask("127.0.0.1", "summary", network)) == {"STATUS": [{"STATUS": "S"}]}
        device.join(10)
    assert ends == ["reset"]
