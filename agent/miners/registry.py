"""Which driver reads which device: a family is a row, identification asks the cheapest first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.miners import (
    antminer,
    auradine,
    avalon,
    axeos,
    braiins,
    braiins_web,
    elphapex,
    epic,
    fluminer,
    foreign,
    generic,
    goldshell,
    hiveon,
    iceriver,
    innosilicon,
    ipollo,
    jasminer,
    luxos,
    marafw,
    proto,
    sealminer,
    spondoolies,
    strongu,
    vnish,
    whatsminer,
    whatsminer_v3,
)
from agent.miners.poll import Ask, Budget
from agent.readings import (
    AuthError,
    DeviceError,
    DeviceTimeout,
    ProtocolError,
    Reading,
    Unreachable,
    Unsupported,
)
from agent.transports import cgminer
from agent.transports import whatsminer_v3 as whatsminer_v3_tcp
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked


class Read(Protocol):
    """One poll of one device; raises DeviceError only."""

    def __call__(self, address: str, access: Access, *, full: bool) -> Awaitable[Reading]: ...


@dataclass(frozen=True, slots=True)
class Family:
    """One firmware family: its name, how its replies are told, how it is read."""

    name: str
    recognise: Callable[[Mapping[str, Json]], bool]
    read: Read


FAMILIES = (
    Family(jasminer.FAMILY, jasminer.recognise, jasminer.read),  # before whom its pages are copied from
    Family(antminer.FAMILY, antminer.recognise, antminer.read),
    Family(whatsminer.FAMILY, whatsminer.recognise, whatsminer.read),
    Family(whatsminer_v3.FAMILY, whatsminer_v3.recognise, whatsminer_v3.read),
    Family(avalon.FAMILY, avalon.recognise, avalon.read),
    Family(axeos.FAMILY, axeos.recognise, axeos.read),
    Family(braiins.FAMILY, braiins.recognise, braiins.read),
    Family(luxos.FAMILY, luxos.recognise, luxos.read),
    Family(vnish.FAMILY, vnish.recognise, vnish.read),
    Family(elphapex.FAMILY, elphapex.recognise, elphapex.read),
    Family(epic.FAMILY, epic.recognise, epic.read),
    Family(hiveon.FAMILY, hiveon.recognise, hiveon.read),
    Family(marafw.FAMILY, marafw.recognise, marafw.read),
    Family(sealminer.FAMILY, sealminer.recognise, sealminer.read),
    Family(auradine.FAMILY, auradine.recognise, auradine.read),
    Family(goldshell.FAMILY, goldshell.recognise, goldshell.read),
    Family(iceriver.FAMILY, iceriver.recognise, iceriver.read),
    Family(innosilicon.FAMILY, innosilicon.recognise, innosilicon.read),
    Family(ipollo.FAMILY, ipollo.recognise, ipollo.read),
    Family(spondoolies.FAMILY, spondoolies.recognise, spondoolies.read),
    Family(strongu.FAMILY, strongu.recognise, strongu.read),
    Family(proto.FAMILY, proto.recognise, proto.read),
    Family(fluminer.FAMILY, fluminer.recognise, fluminer.read),
)
# What the others leave, when all that identification asks was asked.
LAST = (
    Family(generic.FAMILY, generic.recognise, generic.read),
    Family(foreign.FAMILY, foreign.recognise, foreign.read),
)
BY_NAME: Mapping[str, Family] = {family.name: family for family in (*FAMILIES, *LAST)}

# In turn until a family knows the replies: nearly every device is told by the first.
COMMANDS = ("version", "get_version", "stats", "devdetails", "summary", "devs")
PAGES = {
    "info": axeos.SYSTEM_INFO,
    "vnish_info": vnish.INFO,
    "bos_version": braiins_web.VERSION,
    "proto_system": proto.SYSTEM,
    "goldshell_status": goldshell.STATUS,
    "fluminer_overview": fluminer.OVERVIEW,
}


def read(address: str, family: str, access: Access, *, full: bool = True) -> Awaitable[Reading]:
    """One poll within the family's deadline: all fields, or with `full=False` only those that change."""
    if family not in BY_NAME:
        raise Unsupported(f"no driver is called {family!r}")
    reading = BY_NAME[family].read(address, access, full=full)
    # Each of our own drivers has its budget for all that it asks.
    return _bounded(reading, access.network.foreign_deadline_s) if family == foreign.FAMILY else reading


async def _bounded(reading: Awaitable[Reading], limit_s: float) -> Reading:
    try:
        async with asyncio.timeout(limit_s):
            return await reading
    except TimeoutError as error:
        raise DeviceTimeout(f"no reading within {limit_s:g} s") from error


async def identify(address: str, access: Access) -> str:
    """The name of the family that answers at the address; DeviceError where none does."""
    budget = Budget(access.network.poll_deadline_s)
    problems: list[DeviceError] = []
    seen: dict[str, Json] = {}
    for probe in (_probe_cgminer, _probe_web, _probe_v3):
        try:
            await probe(address, access, budget, seen)
        except DeviceError as error:
            problems.append(error)
        if family := _known(seen):
            return family
    if not seen and all(isinstance(problem, Unreachable) for problem in problems):
        raise problems[0]
    # What kept silent or answered with garbage would hold pyasic as well, or break it.
    if problem := next((problem for problem in problems if isinstance(problem, DeviceTimeout)), None):
        raise problem
    if not seen and isinstance(problems[0], ProtocolError):
        raise problems[0]
    if generic.recognise(seen):
        return generic.FAMILY
    if await foreign.identify(address, access):
        return foreign.FAMILY
    raise _most_telling(problems)


def _known(seen: Mapping[str, Json]) -> str | None:
    return next((family.name for family in FAMILIES if family.recognise(seen)), None)


async def _probe_cgminer(address: str, access: Access, budget: Budget, seen: dict[str, Json]) -> None:
    """Ask 4028 in turn; a refusal is a reply too, for it may say who refuses."""
    for command in COMMANDS:
        limit_s = budget.left_s() / 2  # the other half is for the web
        try:
            reply = await cgminer.ask_unchecked(
                address, {"command": command}, access.network, deadline_s=max(limit_s, 0.1)
            )
        except Unsupported:  # a web server is at this port, as PowerPlay's is
            asked = Asked(port=access.network.cgminer_port)
            seen["epic_summary"] = await access.page(address, epic.SUMMARY, max(limit_s, 0.1), asked)
            return
        seen[command] = reply
        if _known(seen):
            return
    cgminer.checked(reply)


async def _probe_web(address: str, access: Access, budget: Budget, seen: dict[str, Json]) -> None:
    """Ask the pages that need no password, then those that do; last an Antminer's whose 4028 is closed."""
    problems: list[DeviceError] = []
    for name, path in PAGES.items():
        try:
            seen[name] = await access.get(address, path, max(budget.left_s() / 2, 0.1))
        except (AuthError, ProtocolError, Unsupported) as error:
            problems.append(error)  # a web that answers so may know the next page
        if _known(seen):
            return
    others: dict[str, Ask] = {
        "panel": lambda limit_s: iceriver.look(address, access, limit_s),
        "elphapex_stats": lambda limit_s: access.get(address, elphapex.STATS, limit_s),
        "web_root": lambda limit_s: access.text(address, "/", limit_s, Asked()),
        "mara_overview": lambda limit_s: access.get(
            address, marafw.OVERVIEW, limit_s, access.credentials.of(marafw.FAMILY)
        ),
        "jasminer_status": lambda limit_s: access.get(
            address, jasminer.STATUS, limit_s, access.credentials.of(jasminer.FAMILY)
        ),
    }
    for name, ask in others.items():
        try:
            seen[name] = await ask(max(budget.left_s() / 2, 0.1))
        except (AuthError, ProtocolError, Unsupported) as error:
            problems.append(error)
        if _known(seen):
            return
    digest = access.credentials.of(antminer.FAMILY)
    try:
        seen["system_info"] = await access.get(
            address, antminer.SYSTEM_INFO, max(budget.left_s(), 0.1), digest
        )
    except Unsupported as error:
        told = [problem for problem in problems if not isinstance(problem, Unsupported)]
        raise (told[0] if told else error) from error


async def _probe_v3(address: str, access: Access, budget: Budget, seen: dict[str, Json]) -> None:
    """Ask 4433, where WhatsMiner's API 3 is."""
    seen["v3_info"] = await whatsminer_v3_tcp.ask(
        address, whatsminer_v3.INFO, None, access.network, deadline_s=max(budget.left_s(), 0.1)
    )


def _most_telling(problems: list[DeviceError]) -> DeviceError:
    """A refusal says more than a closed port."""
    told = [problem for problem in problems if not isinstance(problem, Unreachable)]
    return next(
        (problem for problem in told if isinstance(problem, AuthError)),
        told[0] if told else Unsupported("answered, but no driver knows it"),
    )
