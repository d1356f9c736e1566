"""A device between its start and its API: the port of the API refuses while the web answers."""

from __future__ import annotations

import asyncio
import errno
import socket

from agent.miners import (
    antminer,
    auradine,
    avalon,
    braiins,
    epic,
    goldshell,
    hiveon,
    innosilicon,
    ipollo,
    luxos,
    sealminer,
    spondoolies,
    strongu,
    vnish,
    whatsminer,
    whatsminer_v3,
)
from agent.readings import DeviceError, ProtocolError, Rebooting, Refused, Unsupported
from agent.transports.access import Access

# Those with an API beside their web; where there is one door alone, or any of several, nothing can be told.
_AT_4028 = frozenset(
    driver.FAMILY
    for driver in (
        antminer,
        auradine,
        avalon,
        braiins,
        epic,
        goldshell,
        hiveon,
        innosilicon,
        ipollo,
        luxos,
        sealminer,
        spondoolies,
        strongu,
        vnish,
        whatsminer,
    )
)
KNOCK_S = 0.5  # a device of the same site that has a port open says so at once


async def look_closer(address: str, family: str, access: Access, error: DeviceError) -> DeviceError:
    """What a failed poll of a known device means: Rebooting if it is so found, else the error itself.

    A program that is not up yet shows as a refusal, or as pages that are missing or make no sense.
    """
    network = access.network
    ports = dict.fromkeys(_AT_4028, network.cgminer_port) | {whatsminer_v3.FAMILY: network.whatsminer_v3_port}
    port = ports.get(family)
    if port is None or not isinstance(error, Refused | ProtocolError | Unsupported):
        return error
    knock_s = min(network.connect_timeout_s, KNOCK_S)
    if await _knock(address, port, knock_s) != errno.ECONNREFUSED:
        return error
    if await _knock(address, network.http_port, knock_s) != 0:
        return error
    return Rebooting(f"{port}/tcp refuses while the web at {network.http_port}/tcp answers ({error})")


async def _knock(address: str, port: int, limit_s: float) -> int:
    """0 where a connection is accepted, else the error's number."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno or errno.EIO
    return 0
