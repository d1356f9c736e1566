"""Everything without a driver of ours, through pyasic, within our deadline and with its guesses undone.

pyasic says "mining" of a device it could not read, sums boards it did not see, and drops where its watts come
from. Only what its raw data holds is kept. What nearly all of these firmwares answer on 4028 as well (rate,
uptime, pools) is read there, because it is nearer to the device. pyasic is imported when first needed
(58 MiB, 0.7 s) and is never asked to write anything.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import warnings
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from agent.miners import fields, rates
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import (
    AuthError,
    DeviceTimeout,
    Pool,
    ProtocolError,
    Reading,
    State,
    Unreachable,
    Unsupported,
)
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.network import Network

FAMILY = "foreign"

_MAKERS = {"AntMiner": "Bitmain", "WhatsMiner": "MicroBT"}
_NATIVE_MAKES = ("AntMiner", "WhatsMiner", "AvalonMiner", "BitAxe")
_FULL = ("wattage", "fans", "uptime", "hashrate", "pools", "mac", "serial_number", "fw_ver", "hostname")
_SWEEP = ("wattage", "fans", "uptime", "hashrate", "pools")


def recognise(_seen: Mapping[str, Json]) -> bool:
    """Never: no reply to us tells what pyasic knows, it must be asked (`identify`)."""
    return False


async def identify(address: str, access: Access) -> bool:
    """True where pyasic knows the device, and not as one that a driver of ours should have known."""
    try:
        miner = await _find(address, access.network)
    except Unsupported:
        return False
    return not (str(miner.firmware) == "Stock" and str(miner.make) in _NATIVE_MAKES)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: what the device answers on 4028, and pyasic's raw data."""

    def command(name: str) -> Ask:
        return lambda limit_s: access.ask(address, name, limit_s)

    budget = Budget(access.network.poll_deadline_s)
    replies = Replies()
    steps = [(name, command(name)) for name in ("summary", "pools")]
    try:
        await collect(steps, ["summary", "pools"], budget, replies)
    except Unsupported:
        pass  # 4028 serves something else
    except Unreachable:
        # Some have nothing on 4028, but something must be open: pyasic cannot tell the dead from the unknown.
        with suppress(AuthError, ProtocolError, Unsupported):
            await access.get(address, "/", max(budget.left_s(), 0.1))
    data = None
    try:
        miner = None if full else access.known.get(address)
        miner = miner or await _find(address, access.network)
        access.remember(address, miner)
        data = await _bounded(miner.get_data(include=list(_FULL if full else _SWEEP)), access.network)
    except (ProtocolError, Unsupported) as error:
        if not replies.got:
            raise
        replies.failed["pyasic"] = str(error)
    return parse(data, replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    data: Any | None,
    got: Mapping[str, Json],
    observed_us: int,
    *,
    full: bool = True,
    failed: Mapping[str, str] | None = None,
) -> Reading:
    """The reading of pyasic's MinerData, if it got any, and the replies summary and pools."""

    def raw(name: str) -> Any:
        return getattr(data, name, None)

    make = str(raw("make") or "")
    row = next(iter(fields.rows(got.get("summary"), "SUMMARY")), {})
    unknown: dict[str, str] = {}
    values: dict[str, Any] = {
        "make": _MAKERS.get(make, make) or None,
        "model": _model(make, fields.text(raw("model"))),
        "mac": fields.mac(raw("mac")),
        "serial": fields.serial(raw("serial_number")),
        "hostname": fields.text(raw("hostname")),
        "uptime_s": fields.uptime(row.get("Elapsed", raw("uptime"))),
        "fans_rpm": fields.speeds(fan.speed for fan in raw("fans") or ()),
        "pools": fields.pools(got.get("pools"))[0] or _pools(raw("pools")),
    }
    if version := fields.text(raw("fw_ver")):
        unknown["firmware"] = f"only a part of it was read: {version}"
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(row, raw("raw_hashrate"))
    if raw("wattage"):
        unknown["power_w"] = "a figure of unknown origin was given, it is not used"
    if all(values[name] in (None, ()) for name in ("hashrate_hs", "uptime_s", "mac", "pools")):
        raise ProtocolError("answered, but nothing could be read of it")
    values["state"] = State.MINING if values["hashrate_hs"] else State.UNKNOWN
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate above zero was read, and pyasic's own guess is none"
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _model(make: str, name: str | None) -> str | None:
    """The name a person would use: pyasic drops Bitmain's product name and keeps MicroBT's variant."""
    if name is None:
        return None
    if make == "AntMiner":
        return name if name.startswith("Antminer") else f"Antminer {name}"
    if make == "WhatsMiner":
        return name.split(" ")[0]
    return name


def _hashrate(row: Json, raw: Any | None) -> tuple[float | None, str | None]:
    hashrate_hs, window = rates.present(rates.by_window([row]))
    if hashrate_hs is not None or raw is None or not type(raw).__module__.endswith("sha256"):
        return hashrate_hs, window  # of other algorithms it guesses the unit
    # `float()` gives the figure in the unit it stands in; zero is also what pyasic makes of nothing
    value = fields.number(float(raw.into(type(raw.unit).H)))
    return (value, "not stated") if value and value > 0 else (None, None)


def _pools(listed: Any | None) -> tuple[Pool, ...]:
    return tuple(
        Pool(str(pool.url), pool.user, pool.active, pool.index, pool.accepted, pool.rejected)
        for pool in listed or ()
        if pool.url is not None and isinstance(pool.user, str)
    )


async def _find(address: str, network: Network) -> Any:
    """pyasic's object for the device; Unsupported where it knows none."""
    if (network.cgminer_port, network.http_port) != (4028, 80):
        raise Unsupported("no driver knows it (and pyasic cannot look behind moved ports)")
    miner = await _bounded(_pyasic().get_miner(address), network)
    if miner is None:
        raise Unsupported("answered, but no driver knows it")
    return miner


async def _bounded(work: Coroutine[Any, Any, Any], network: Network) -> Any:
    try:
        return await asyncio.wait_for(work, network.foreign_deadline_s)
    except TimeoutError as error:
        raise DeviceTimeout(f"pyasic: nothing within {network.foreign_deadline_s:g} s") from error
    except Exception as error:  # pyasic lets whatever a reply breaks in its parsers come through
        raise ProtocolError(f"pyasic: {type(error).__name__}: {error}") from error


@cache
def _pyasic() -> Any:
    """The library, its hands off our logging: it logs through the root logger and sets its level."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = import_module("pyasic")
    root.setLevel(level)
    root.handlers[:] = handlers
    quiet = logging.getLogger("pyasic")
    quiet.setLevel(logging.CRITICAL)
    for name, module in list(sys.modules.items()):
        if name.startswith("pyasic") and getattr(module, "logger", None) is root:
            vars(module)["logger"] = quiet  # every module keeps its own name for the root logger
    warnings.filterwarnings("ignore", module=r"pyasic\b")
    return library
