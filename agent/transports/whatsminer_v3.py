"""WhatsMiner's API 3 on 4433: four bytes of little-endian length, then JSON, in both directions."""

from __future__ import annotations

import asyncio
import json

from agent.readings import DeviceTimeout, Locked, ProtocolError, Refused, Unreachable, Unsupported
from agent.transports import cgminer
from agent.transports.network import Network

LENGTH_BYTES = 4
INVALID_COMMAND = -2
PERMISSION_DENIED = -4


async def ask(
    address: str, command: str, param: str | None, network: Network, *, deadline_s: float
) -> cgminer.Json:
    """The reply to one command on its own connection, its code checked."""
    port, limit_s = network.whatsminer_v3_port, min(deadline_s, network.deadline_s)
    request = json.dumps({"cmd": command} | ({"param": param} if param else {})).encode()
    ends_s = asyncio.get_running_loop().time() + limit_s
    try:
        async with asyncio.timeout(min(network.connect_timeout_s, limit_s)):
            reader, writer = await asyncio.open_connection(address, port)
    except TimeoutError as error:
        raise Unreachable(f"{port}/tcp: no answer to the connection") from error
    except OSError as error:
        kind = Refused if isinstance(error, ConnectionRefusedError) else Unreachable
        raise kind(f"{port}/tcp: {error.strerror or error}") from error
    try:
        async with asyncio.timeout_at(ends_s):
            writer.write(len(request).to_bytes(LENGTH_BYTES, "little") + request)
            return _checked(cgminer.parse(await _receive(reader, network.max_reply_bytes)))
    except TimeoutError as error:
        raise DeviceTimeout(f"{port}/tcp: no whole reply within {limit_s:g} s") from error
    except (asyncio.IncompleteReadError, OSError) as error:
        raise ProtocolError(f"{port}/tcp: cut off: {error}") from error
    finally:
        writer.transport.abort()


async def _receive(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "little")
    if length > max_bytes:
        raise ProtocolError(f"announces {length} bytes, more than {max_bytes}")
    return await reader.readexactly(length)


def _checked(reply: cgminer.Json) -> cgminer.Json:
    code, said = reply.get("code"), ascii(reply.get("msg", ""))[: cgminer.MAX_QUOTE]
    if code == PERMISSION_DENIED:
        raise Locked(f"refused: {said} (code {ascii(code)[:8]})")
    if code == INVALID_COMMAND:
        raise Unsupported(f"refused: {said} (code {ascii(code)[:8]})")
    if code != 0:
        raise ProtocolError(f"error reply: {said} (code {ascii(code)[:8]})")
    return reply
