"""The cgminer API: one command a connection, JSON both ways, the reply ends with a NUL or with the close."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from agent.readings import AuthError, DeviceError, DeviceTimeout, ProtocolError, Unreachable, Unsupported
from agent.transports import lenient
from agent.transports.network import Network

Json = dict[str, Any]

# A peer that keeps the line open gives no end to wait for, so a reply that looks whole is parsed at once.
# Junk that looks whole again and again must not cost a parse per packet.
MAX_EARLY_PARSES = 16

MAX_QUOTE = 120  # of a device's own words in an error of ours

ACCESS_DENIED = 45
INVALID_COMMAND = 14


async def ask(
    address: str, command: str, network: Network, *, deadline_s: float | None = None, **extra: Any
) -> Json:
    """The reply to one command, its status checked; `extra` stands beside the command at the top level.

    A command refused as unknown is repeated with `cmd`, the key of WhatsMiner's dialect.
    """
    reply = await ask_unchecked(address, {"command": command, **extra}, network, deadline_s=deadline_s)
    try:
        return checked(reply)
    except Unsupported:
        if not speaks_cmd(reply):
            raise
    return checked(await ask_unchecked(address, {"cmd": command, **extra}, network, deadline_s=deadline_s))


async def ask_unchecked(
    address: str, request: Json, network: Network, *, deadline_s: float | None = None
) -> Json:
    """The reply to one request as it came, an error reply included (its text may tell who answers)."""
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[Json] = loop.create_future()
    port = network.cgminer_port
    limit_s = network.deadline_s if deadline_s is None else min(deadline_s, network.deadline_s)
    ends_s = loop.time() + limit_s
    try:
        async with asyncio.timeout(min(network.connect_timeout_s, limit_s)):
            transport, exchange = await loop.create_connection(
                lambda: _Exchange(json.dumps(request).encode(), network.max_reply_bytes, reply), address, port
            )
    except TimeoutError as error:
        raise Unreachable(f"{port}/tcp: no answer to the connection") from error
    except OSError as error:
        raise Unreachable(f"{port}/tcp: {error.strerror or error}") from error
    try:
        async with asyncio.timeout_at(ends_s):
            return await reply
    except TimeoutError as error:
        try:  # the peer may have said everything and kept the line open
            return exchange.parse()
        except DeviceError:
            got = len(exchange.received)
            raise DeviceTimeout(f"{port}/tcp: {got} bytes and no end within {limit_s:g} s") from error
    finally:
        transport.abort()


class _Exchange(asyncio.Protocol):
    """Sends the request, collects the reply and settles the future."""

    def __init__(self, request: bytes, max_bytes: int, reply: asyncio.Future[Json]) -> None:
        self.request, self.max_bytes, self.reply = request, max_bytes, reply
        self.received = bytearray()
        self.open_braces = 0
        self.early_parses = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # not isinstance: an other event loop's transport need not be a subclass
        cast(asyncio.Transport, transport).write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.reply.done():
            return
        self.received += data
        self.open_braces += data.count(b"{") - data.count(b"}")
        if len(self.received) > self.max_bytes:
            self.reply.set_exception(ProtocolError(f"reply over {self.max_bytes} bytes"))
        elif data.endswith(b"\0") or self.open_braces == 0:
            self.parse_early()

    def parse_early(self) -> None:
        if self.early_parses == MAX_EARLY_PARSES:
            return
        self.early_parses += 1
        try:
            self.reply.set_result(self.parse())
        except DeviceError:
            return  # not whole yet: wait for more, the close or the deadline

    def connection_lost(self, exc: Exception | None) -> None:
        if self.reply.done():
            return
        try:
            self.reply.set_result(self.parse())
        except DeviceError as error:
            cause = f"connection lost ({exc}): " if exc else ""
            self.reply.set_exception(type(error)(f"{cause}{error}"))

    def parse(self) -> Json:
        return parse(bytes(self.received))


def parse(received: bytes) -> Json:
    """The object in a reply; a DeviceError where it is empty, cut off, or something else."""
    text = received.decode("utf-8", "replace").strip("\0 \r\n\t")
    if not text:
        raise ProtocolError("closed without an answer")
    if text.startswith("HTTP/"):
        raise Unsupported("a web server answers at the port of the cgminer API")
    try:
        reply = lenient.loads(text)
    except ValueError as error:
        raise ProtocolError(f"{len(received)} bytes that are no whole JSON: {error}") from error
    if not isinstance(reply, dict):
        raise ProtocolError("JSON, but no object")
    return reply


def status(reply: Json) -> Json:
    """The STATUS part, whichever of its two shapes it has (a list of one, or at the top level)."""
    found = reply.get("STATUS")
    if isinstance(found, list):
        found = found[0] if found else {}
    return found if isinstance(found, dict) else reply


def checked(reply: Json) -> Json:
    """The reply itself, if the device did not refuse; else AuthError, Unsupported or ProtocolError."""
    part = status(reply)
    if part.get("STATUS") not in ("E", "F"):
        return reply
    code, said = part.get("Code"), ascii(part.get("Msg", ""))[:MAX_QUOTE]
    lowered = said.lower()
    if code == ACCESS_DENIED or "access denied" in lowered or "api disabled" in lowered:
        raise AuthError(f"refused: {said} (code {ascii(code)[:8]})")
    if code == INVALID_COMMAND or "invalid" in lowered:
        raise Unsupported(f"refused: {said} (code {ascii(code)[:8]})")
    raise ProtocolError(f"error reply: {said} (code {ascii(code)[:8]})")


def speaks_cmd(reply: Json) -> bool:
    """True where an error reply names a program that takes `cmd` as the key."""
    said = f"{status(reply).get('Description', '')} {status(reply).get('Msg', '')}".lower()
    return "whatsminer" in said or "btminer" in said or "cmd" in said
