"""One command, one connection: what ends a reply, what bounds it, how each failure is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.readings import AuthError, DeviceTimeout, Locked, ProtocolError, Unreachable, Unsupported
from agent.transports import cgminer
from agent.transports.network import Network

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = b'{"STATUS":[{"STATUS":"S"}],"SUMMARY":[{"Elapsed":5}],"id":1}'


def answers(*chunks: bytes, close: bool, pause_s: float = 0.0) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if not close:
            await reader.read()
        writer.close()

    return handle


def ask(handler: Handler, **settings: Any) -> cgminer.Json:
    async def run() -> cgminer.Json:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        network = Network(**{"cgminer_port": port, "deadline_s": 2.0} | settings)
        try:
            return await cgminer.ask("127.0.0.1", "summary", network)
        finally:
            server.close()
            await asyncio.sleep(0.01)  # lets the server's side see the end of its connections

    return asyncio.run(run())


@pytest.mark.parametrize("end", [b"\0", b"", b"\n", b"\0\0"])
@pytest.mark.parametrize("close", [True, False])
def test_nul_close_or_whole_json_end_a_reply(end: bytes, close: bool) -> None:
    assert ask(answers(GOOD + end, close=close))["SUMMARY"] == [{"Elapsed": 5}]


def test_a_reply_in_pieces() -> None:
    pieces = [GOOD[at : at + 7] for at in range(0, len(GOOD), 7)]
    assert ask(answers(*pieces, close=False, pause_s=0.001))["id"] == 1


def test_a_whole_reply_without_an_end_is_read_at_the_deadline() -> None:
    """One brace too many hides that the reply is whole, and the peer keeps the line open."""
    assert ask(answers(GOOD + b'"}', close=False), deadline_s=0.3)["id"] == 1


def test_half_a_reply_on_an_open_line_is_a_timeout() -> None:
    with pytest.raises(DeviceTimeout, match="40 bytes"):
        ask(answers(GOOD[:40], close=False), deadline_s=0.3)


@pytest.mark.parametrize("body", [b"", GOOD[:40], b"<html></html>", b"[]", b"\xff\xfe" * 30, b"[" * 100_000])
def test_garbage(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        ask(answers(body, close=True))


def test_a_web_server_on_the_port() -> None:
    with pytest.raises(Unsupported):
        ask(answers(b"HTTP/1.1 400 Bad Request\r\n\r\n", close=True))


def test_the_bound_holds_before_the_end_comes() -> None:
    with pytest.raises(ProtocolError, match="over 1000 bytes"):
        ask(answers(b"x" * 5000, close=False), max_reply_bytes=1000)


def test_junk_that_looks_whole_again_and_again_costs_few_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    parses = 0

    def counted(received: bytes) -> cgminer.Json:
        nonlocal parses
        parses += 1
        raise ProtocolError("junk")

    monkeypatch.setattr(cgminer, "parse", counted)
    with pytest.raises(ProtocolError):
        ask(answers(*[b"{}\0"] * 60, close=True, pause_s=0.001))
    assert parses <= cgminer.MAX_EARLY_PARSES + 1


def test_nobody_listens() -> None:
    async def run() -> None:
        server = await asyncio.start_server(answers(close=True), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await cgminer.ask("127.0.0.1", "summary", Network(cgminer_port=port))

    with pytest.raises(Unreachable):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied to 'x' command"}]}, Locked),
        ({"STATUS": "E", "Code": 23, "Msg": "API disabled"}, Locked),
        ({"STATUS": "E", "Code": 45, "Msg": "permission denied"}, Locked),
        ({"STATUS": "E", "Code": 135, "Msg": "check token err"}, AuthError),
        ({"STATUS": "E", "Code": 136, "Msg": "over max connect"}, AuthError),
        ({"STATUS": [{"STATUS": "E", "Code": 14, "Msg": "Invalid command"}]}, Unsupported),
        ({"STATUS": "E", "Code": 14, "Msg": "invalid cmd", "Description": "whatsminer v1.1"}, Unsupported),
        ({"STATUS": [{"STATUS": "F", "Code": 99, "Msg": "?"}]}, ProtocolError),
    ],
)
def test_refusals(reply: cgminer.Json, error: type[Exception]) -> None:
    with pytest.raises(error) as told:
        ask(answers(json.dumps(reply).encode() + b"\0", close=True))
    assert told.type is error


def test_the_other_dialect_is_tried_where_the_device_speaks_it() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.read(1000))
        refusal = {"STATUS": "E", "Code": 14, "Msg": "invalid cmd", "Description": "whatsminer v1.1"}
        writer.write(GOOD if "cmd" in request else json.dumps(refusal).encode())
        writer.close()

    assert ask(handle)["id"] == 1


def test_extra_words_stand_at_the_top_level() -> None:
    requests: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(json.loads(await reader.read(1000)))
        writer.write(GOOD)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        network = Network(cgminer_port=server.sockets[0].getsockname()[1])
        await cgminer.ask("127.0.0.1", "stats", network, new_api=True)
        server.close()

    asyncio.run(run())
    assert requests == [{"command": "stats", "new_api": True}]


TEXT = b"STATUS=S,Code=11,Msg=Summary|SUMMARY,Elapsed=5|"


@pytest.mark.parametrize(("end", "close"), [(b"\0", False), (b"\0", True), (b"", True)])
def test_the_text_form_ends_with_nul_or_close_and_with_no_section(end: bytes, close: bool) -> None:
    """Each of its sections looks like the last one."""
    pieces = [TEXT[:29], TEXT[29:] + end]
    assert pieces[0].endswith(b"|")
    assert ask(answers(*pieces, close=close, pause_s=0.01))["SUMMARY"] == [{"Elapsed": "5"}]
