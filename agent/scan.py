"""Discovery: which addresses of the networks have a miner. Connect first, identify what accepts."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterator, Sequence

from agent.readings import DeviceError, Reading
from agent.sweep import Poll

# A /16 a network is the largest that one agent scans: more is a typing slip rather than a farm.
MAX_ADDRESSES = 65_536


def addresses(networks: Sequence[str], exclude: Sequence[str] = ()) -> Iterator[str]:
    """Every host address of the networks once, in order, less the excluded; ValueError if too many."""
    barred = [ipaddress.IPv4Network(n, strict=False) for n in exclude]
    wanted = list(ipaddress.collapse_addresses(ipaddress.IPv4Network(n, strict=False) for n in networks))
    if (total := sum(n.num_addresses for n in wanted)) > MAX_ADDRESSES:
        raise ValueError(f"{total} addresses to scan; at most {MAX_ADDRESSES}: name smaller networks")
    for network in wanted:
        for host in network.hosts():
            if not any(host in b for b in barred):
                yield str(host)


async def scan(
    hosts: Sequence[str],
    ports: Sequence[int],
    poll: Poll,
    *,
    concurrency: int,
    connect_timeout_s: float,
    deadline_s: float,
    progress: Callable[[str, Reading | DeviceError | None], None],
) -> dict[str, Reading]:
    """Readings of all miners found at `hosts`; `progress` hears of each: reading, failure or silence."""
    found: dict[str, Reading] = {}
    queue = iter(hosts)

    async def work() -> None:
        for host in queue:
            result: Reading | DeviceError | None = None
            if await _accepts(host, ports, connect_timeout_s):
                result = await _identify(host, poll, deadline_s)
            if isinstance(result, Reading):
                found[host] = result
            progress(host, result)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(hosts))):
            group.create_task(work())
    return found


async def _identify(host: str, poll: Poll, deadline_s: float) -> Reading | DeviceError:
    try:
        # Twice a poll's deadline: what is there must first be told apart from everything else.
        async with asyncio.timeout(2 * deadline_s):
            return await poll(host, None, True)
    except TimeoutError:
        return DeviceError(f"no whole answer within {2 * deadline_s:g} s")
    except DeviceError as error:
        return error


async def _accepts(host: str, ports: Sequence[int], timeout_s: float) -> bool:
    """True if any of the ports accepts a connection."""
    for port in ports:
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            continue
        writer.transport.abort()
        return True
    return False
