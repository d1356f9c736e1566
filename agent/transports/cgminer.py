"""The cgminer API: one command a connection, JSON both ways, the reply ends with a NUL or with the close."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from agent.readings import AuthError, DeviceError, DeviceTimeout, Locked, ProtocolError, Unsupported
from agent.transports import fast, lenient, plain
from agent.transports.exchange import Exchange
from agent.transports.network import Network

Json = dict[str, Any]

# A peer that keeps the line open gives no end to wait for, so a reply that looks whole is parsed at once.
# Junk that looks whole again and again must not cost a parse per packet.
MAX_EARLY_PARSES = 16

MAX_QUOTE = 120  # of a device's own words in an error of ours

ACCESS_DENIED = 45
TOKEN_REFUSED = (135, 136, 137)  # WhatsMiner: wrong, used up, not decodable
_CLOSED = ("access denied", "api disabled", "permission denied")
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


def ask_unchecked(
    address: str, request: Json, network: Network, *, deadline_s: float | None = None
) -> Awaitable[Json]:
    """The reply to one request as it came, an error reply included (its text may tell who answers).

    Await it at once: the connection is under way.
    """
    limit_s = network.deadline_s if deadline_s is None else min(deadline_s, network.deadline_s)
    encoded = msgspec.json.encode(request)
    return _Exchange(address, network.cgminer_port, encoded, network, limit_s).run()


class _Exchange(Exchange):
    """A reply ends with a NUL, with the close, or where its braces are balanced."""

    __slots__ = ("early_parses", "open_braces")

    def __init__(self, address: str, port: int, request: bytes, network: Network, limit_s: float) -> None:
        self.open_braces = self.early_parses = 0
        super().__init__(address, port, request, network, limit_s)

    def take(self, data: bytes) -> None:
        if data[-1] != 0:  # the NUL at the end spares the count
            self.open_braces += data.count(b"{") - data.count(b"}")
            if self.open_braces or self.received.startswith(plain.START.encode()):
                return  # text has no brace that closes: every section looks like its last
        if self.early_parses == MAX_EARLY_PARSES:
            return
        self.early_parses += 1
        try:
            self.settle(parse(bytes(self.received)))
        except DeviceError:
            return  # not whole yet: wait for more, the close or the deadline

    def end(self, cause: str) -> None:
        try:
            self.settle(parse(bytes(self.received)))
        except DeviceError as error:
            self.fail(type(error)(f"connection lost ({cause}): {error}" if cause else str(error)))

    def late(self) -> None:
        try:  # the peer may have said everything and kept the line open
            self.settle(parse(bytes(self.received)))
        except DeviceError as error:
            got = len(self.received)
            failure = DeviceTimeout(f"{self.port}/tcp: {got} bytes and no end within {self.limit_s:g} s")
            failure.__cause__ = error
            self.fail(failure)


def parse(received: bytes) -> Json:
    """The object in a reply; a DeviceError where it is empty, cut off, or something else."""
    if (strict := fast.loads(received)) is not None:
        return strict
    text = received.decode("utf-8", "replace").strip("\0 \r\n\t")
    if not text:
        raise ProtocolError("closed without an answer")
    if text.startswith("HTTP/"):
        raise Unsupported("a web server answers at the port of the cgminer API")
    try:
        reply = plain.loads(text) if text.startswith(plain.START) else lenient.loads(text)
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
    """The reply itself, if the device did not refuse; else a DeviceError of the kind of its refusal."""
    part = status(reply)
    if part.get("STATUS") not in ("E", "F"):
        return reply
    code, said = part.get("Code"), ascii(part.get("Msg", ""))[:MAX_QUOTE]
    lowered = said.lower()
    if code in TOKEN_REFUSED:
        raise AuthError(f"refused: {said} (code {ascii(code)[:8]})")
    if code == ACCESS_DENIED or any(words in lowered for words in _CLOSED):
        raise Locked(f"refused: {said} (code {ascii(code)[:8]})")
    if code == INVALID_COMMAND or "invalid" in lowered:
        raise Unsupported(f"refused: {said} (code {ascii(code)[:8]})")
    raise ProtocolError(f"error reply: {said} (code {ascii(code)[:8]})")


def speaks_cmd(reply: Json) -> bool:
    """True where an error reply names a program that takes `cmd` as the key."""
    said = f"{status(reply).get('Description', '')} {status(reply).get('Msg', '')}".lower()
    return "whatsminer" in said or "btminer" in said or "cmd" in said
