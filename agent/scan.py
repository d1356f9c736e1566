"""Discovery: which addresses of the networks have a miner. Connect first, identify what accepts.

Devices are missed where much happens at once, so what gave no reading is tried once more, later and more
gently. The pace is that of the neighbour table: an address where nobody is costs the kernel an entry for
three seconds, and a table that is full (1,024 entries by default) loses the devices that are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import math
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import Enum, auto

from agent.pace import SILENT_PER_S, Pace
from agent.readings import AuthError, DeviceError, DeviceTimeout, Reading, Unsupported
from agent.sweep import Poll

# A /16 a network is the largest that one agent scans: more is a typing slip rather than a farm.
MAX_ADDRESSES = 65_536
# Identified at a time: a foreign device costs 20 ms of CPU, and none may time out for want of it.
MAX_IDENTIFYING = 64
MAX_KNOCKING = 500  # each holds a socket
# Accepted and waiting to be identified; beyond it connecting waits.
MAX_WAITING = 1024
# The second round identifies this many at a time; silence is the pace's matter, not the concurrency's.
GENTLY_IDENTIFYING = 16
# What the kernel says where nobody answers for an address.
_NOBODY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)

Result = Reading | DeviceError | None
Progress = Callable[[str, Result], None]


class Answer(Enum):
    """What an address did with a connection."""

    ACCEPTS = auto()
    REFUSES = auto()
    SILENT = auto()
    NOT_ASKED = auto()  # this machine had no socket or no neighbour entry left


# Of several ports' answers the one that says most.
_TELLING = (Answer.ACCEPTS, Answer.NOT_ASKED, Answer.SILENT, Answer.REFUSES)


def addresses(networks: Sequence[str], exclude: Sequence[str] = ()) -> Iterator[str]:
    """Every host address of the networks once, less the excluded; ValueError if too many.

    The networks take turns, so that no one switch of the site has all of a scan at once.
    """
    barred = covers(exclude)
    wanted = _separate(networks)
    if (total := sum(n.num_addresses for n in wanted)) > MAX_ADDRESSES:
        raise ValueError(f"{total} addresses to scan; at most {MAX_ADDRESSES}: name smaller networks")
    turns = [iter(network.hosts()) for network in wanted]
    while turns:
        for hosts in tuple(turns):
            host = next((h for h in map(str, hosts) if not barred(h)), None)
            if host is None:
                turns.remove(hosts)
            else:
                yield host


def covers(networks: Sequence[str], exclude: Sequence[str] = ()) -> Callable[[str], bool]:
    """Whether an address is in one of the networks and in none of the excluded."""
    inside, outside = _ranges(networks), _ranges(exclude)

    def covered(address: str) -> bool:
        try:
            number = int(ipaddress.IPv4Address(address))
        except ValueError:
            return False
        return _within(number, *inside) and not _within(number, *outside)

    return covered


async def scan(
    hosts: Sequence[str],
    ports: Sequence[int],
    poll: Poll,
    *,
    concurrency: int,
    connect_timeout_s: float,
    deadline_s: float,
    progress: Progress,
    silent_per_s: float = SILENT_PER_S,
) -> dict[str, Reading]:
    """Readings of all miners found at `hosts`; `progress` hears of each once: reading, failure or silence."""
    pace = Pace(silent_per_s)
    results: dict[str, Result] = {}
    doubtful: list[str] = []

    async def knock(host: str, patient: bool) -> Answer:
        await pace.turn()
        answer = await _knock(host, ports, connect_timeout_s, patient)
        if answer in (Answer.ACCEPTS, Answer.REFUSES):
            pace.give_back()  # somebody is there: no entry was wasted
        return answer

    def settle(host: str, result: Result) -> None:
        results[host] = result
        progress(host, result)

    def first(host: str, result: Result) -> None:
        # A device that says what it is, or asks for another password, says so again.
        if isinstance(result, Reading | AuthError | Unsupported):
            settle(host, result)
        else:
            doubtful.append(host)

    async def ask(host: str) -> Result:
        return await _identify(host, poll, deadline_s)

    # As many knock as the pace lets wait for silence: with fewer it is they who make a scan long.
    knocking = max(concurrency, min(MAX_KNOCKING, math.ceil(silent_per_s * connect_timeout_s)))
    await _round(hosts, lambda host: knock(host, False), ask, knocking, MAX_IDENTIFYING, first)
    await _round(doubtful, lambda host: knock(host, True), ask, knocking, GENTLY_IDENTIFYING, settle)
    return {host: r for host in hosts if isinstance(r := results.get(host), Reading)}


async def _round(
    hosts: Sequence[str],
    knock: Callable[[str], Awaitable[Answer]],
    identify: Callable[[str], Awaitable[Result]],
    knocking: int,
    identifying: int,
    done: Progress,
) -> None:
    """Both stages over `hosts`: connecting runs ahead of identification by a bounded queue."""
    waiting: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING)
    source = iter(hosts)

    async def connect() -> None:
        for host in source:
            answer = await knock(host)
            if answer is Answer.ACCEPTS:
                await waiting.put(host)
            elif answer is Answer.NOT_ASKED:
                done(host, DeviceError("not asked: this machine has no socket or neighbour entry left"))
            else:
                done(host, None)

    async def ask() -> None:
        while (host := await waiting.get()) is not None:
            done(host, await identify(host))

    async with asyncio.TaskGroup() as asking:
        askers = min(identifying, len(hosts))
        for _ in range(askers):
            asking.create_task(ask())
        async with asyncio.TaskGroup() as connecting:
            for _ in range(min(knocking, len(hosts))):
                connecting.create_task(connect())
        for _ in range(askers):
            await waiting.put(None)


async def _identify(host: str, poll: Poll, deadline_s: float) -> Reading | DeviceError:
    try:
        # Twice a poll's deadline: what is there must first be told apart from everything else.
        async with asyncio.timeout(2 * deadline_s):
            return await poll(host, None, True)
    except TimeoutError:
        return DeviceTimeout(f"no whole answer within {2 * deadline_s:g} s")
    except DeviceError as error:
        return error


async def _knock(host: str, ports: Sequence[int], timeout_s: float, patient: bool) -> Answer:
    """What the ports say: in turn until one is silent; patient: all at once, one may drop what it refuses."""
    if patient:
        answers = await asyncio.gather(*(_connect(host, port, timeout_s) for port in ports))
        return min(answers, key=_TELLING.index)
    answer = Answer.REFUSES
    for port in ports:
        answer = await _connect(host, port, timeout_s)
        if answer is not Answer.REFUSES:
            break
    return answer


async def _connect(host: str, port: int, timeout_s: float) -> Answer:
    writer = None
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:  # this one or the kernel's
        return Answer.SILENT
    except ConnectionError:
        return Answer.REFUSES
    except OSError as error:
        return Answer.SILENT if error.errno in _NOBODY else Answer.NOT_ASKED
    finally:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.transport.abort()
    return Answer.ACCEPTS


def _separate(networks: Sequence[str]) -> list[ipaddress.IPv4Network]:
    """The networks as given, less those that are a part of another: their own broadcast stays left out."""
    given = dict.fromkeys(ipaddress.IPv4Network(n, strict=False) for n in networks)
    return [n for n in given if not any(n != other and n.subnet_of(other) for other in given)]


def _ranges(networks: Sequence[str]) -> tuple[list[int], list[int]]:
    """First and last addresses of the networks, ascending and apart."""
    merged = list(ipaddress.collapse_addresses(ipaddress.IPv4Network(n, strict=False) for n in networks))
    return [int(n.network_address) for n in merged], [int(n.broadcast_address) for n in merged]


def _within(number: int, firsts: list[int], lasts: list[int]) -> bool:
    place = bisect_right(firsts, number) - 1
    return place >= 0 and number <= lasts[place]
