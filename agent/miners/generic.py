"""Whatever answers 4028 in cgminer's words and is nobody else's: cgminer, BFGMiner, sgminer and their kin.

Only what such a reply says by itself is read: a rate by the unit and window of its label, the uptime, the
pools, a name where one is given. No word of these programs tells where watts were taken, so power is none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from agent.miners import fields, rates
from agent.miners.hardware import nearest
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "cgminer"
SWEEP = ("summary", "pools")
RARE = ("version", "stats", "devdetails", "devs")

# Reply -> the section that its rows stand in, and a field that any program of the kind writes there.
_SECTIONS = {"summary": "SUMMARY", "stats": "STATS", "devs": "DEVS", "version": "VERSION"}
_PROOFS = {"summary": ("Elapsed",), "stats": ("STATS", "Elapsed"), "devs": ("Enabled",), "version": ("API",)}
_TELLING = ("summary", "stats", "devs")  # without all of these there is no reading
_NAME_KEYS = ("Type", "PROD", "Model")
_PATH = re.compile(r"[/:]|^\d*$")  # a device's path or its number is no model
_BRAIINS = re.compile(r"braiins-am\d-(\w+)")  # "braiins-am1-s9", Braiins OS before its own mining program


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where any reply has a section as cgminer writes it. Ask last: nearly all firmware does."""
    return any(
        any(proof in row for proof in _PROOFS[name])
        for name, key in _SECTIONS.items()
        for row in fields.rows(seen.get(name), key)
    )


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: two connections in a sweep, and those that a missing rate costs."""
    budget = Budget(access.network.poll_deadline_s)
    replies = await ask(address, access, budget, full=full)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


async def ask(
    address: str,
    access: Access,
    budget: Budget,
    *,
    full: bool,
    stats: bool = False,
    replies: Replies | None = None,
) -> Replies:
    """The replies of one poll; in a sweep `devs` and `stats` only where `summary` has no present rate.

    `stats`: asked in every sweep, for what a family has in it beside the rate.
    """

    def command(name: str) -> Ask:
        return lambda limit_s: access.ask(address, name, limit_s)

    replies = await collect([(name, command(name)) for name in SWEEP], [], budget, replies)
    present = rates.present(rates.by_window(fields.rows(replies.got.get("summary"), "SUMMARY")))[1]
    asked = {*replies.got, *replies.failed}
    short = ("stats", "devs") if not present else ("stats",) if stats else ()
    names = [name for name in (RARE if full else short) if name not in asked]
    await collect([(name, command(name)) for name in names], _TELLING, budget, replies)
    return replies


def parse(
    got: Mapping[str, Json],
    observed_us: int,
    *,
    full: bool = True,
    failed: Mapping[str, str] | None = None,
    family: str = FAMILY,
) -> Reading:
    """The reading of replies named by their commands."""
    values, unknown = read_values(got, full=full)
    return fields.build(family, observed_us, values, unknown, full=full, failed=failed)


def read_values(got: Mapping[str, Json], *, full: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """All that such replies tell, and the reasons for what they do not: the start of kindred drivers too."""
    summary, devs = fields.rows(got.get("summary"), "SUMMARY"), fields.rows(got.get("devs"), "DEVS")
    stats = fields.rows(got.get("stats"), "STATS")
    unknown = {"power_w": "this firmware reports no power"}
    values: dict[str, Any] = identity(got) if full else {}
    name = next((text for row in stats if (text := fields.text(row.get("Type")))), None)
    name = name or values.get("model")
    hashrate_hs, window, why = hashrate(summary, stats, devs, name)
    values |= {"hashrate_hs": hashrate_hs, "hashrate_window": window}
    if why:
        unknown["hashrate_hs"] = why
    values["uptime_s"] = next(
        (
            seconds
            for row in (*summary, *stats, *devs)
            if (seconds := fields.uptime(fields.first(row, "Elapsed", "Device Elapsed"))) is not None
        ),
        None,
    )
    state = State.UNKNOWN
    if window != rates.SINCE_START and hashrate_hs is not None:
        state = State.MINING if hashrate_hs else State.IDLE
    values["state"] = fields.warming(state, values["uptime_s"])
    if state is State.UNKNOWN:
        unknown["state"] = "no rate of this moment and no mode was read"
    values["pools"], pools_reason = fields.pools(got.get("pools"), full=full)
    if pools_reason and "pools" in got:
        unknown["pools"] = pools_reason
    elif state is State.MINING:
        values["pools"] = fields.only_source(values["pools"])
    values["chip_temps_c"] = fields.temperatures(row.get("Temperature") for row in devs)
    if full:
        values["boards_total"] = len(devs) or None
    return values, unknown


def hashrate(
    summary: Sequence[Json], stats: Sequence[Json], devs: Sequence[Json], name: str | None
) -> tuple[float | None, str | None, str | None]:
    """Hashrate, window and why there is none: of the device, else the sum of its parts.

    A mean since start only where nobody tells a shorter one, for a unit that stands still has a mean as well.
    """
    chains = [row for row in stats if "Chain ID" in row]
    if any(_computed(row) for row in chains):
        stats = chains = []
    on = [row for row in devs if row.get("Enabled", "Y") == "Y"]
    parts = (
        (summary, 1),
        (chains or stats, len(chains) or 1),
        (on, len(on)),
    )  # rows, rates that make a whole
    sources = [(rates.by_window(rows), count) for rows, count in parts]
    model, why = nearest(name), None
    for window in rates.WINDOWS:
        if window == rates.SINCE_START and any(rates.CURRENT in found for found, _ in sources):
            break
        for found, count in sources:
            written = found.get(window, [])
            if not written or len(written) != count:
                continue
            scaled = [rates.in_hs(rate, model, name or "") for rate in written]
            known = [value for value in scaled if value is not None]
            if len(known) == len(scaled):
                return sum(known), window, None
            why = why or f"the {window} rate is no number, or its unit cannot be told"
    return None, None, why


def _computed(row: Json) -> bool:
    """True where what is called a mean is the chain's nominal rate: a whole number for each of its cores."""
    mean, cores = fields.number(row.get("MHS av")), fields.whole(row.get("Num cores"))
    return bool(mean and cores and mean % cores == 0)


def identity(got: Mapping[str, Json]) -> dict[str, Any]:
    """Name, firmware and MAC of whichever reply has them."""
    versions, stats = fields.rows(got.get("version"), "VERSION"), fields.rows(got.get("stats"), "STATS")
    rows = [*versions, *stats, *fields.rows(got.get("summary"), "SUMMARY")]
    rows += fields.rows(got.get("devdetails"), "DEVDETAILS")
    named = (fields.text(row.get(key)) for row in rows for key in _NAME_KEYS)
    name = next((text for text in named if text and not _PATH.search(text)), None)
    make, model = fields.named(name)
    if name and (old := _BRAIINS.fullmatch(name)):
        make, model = fields.named(f"Antminer {old[1].upper()}")
    stamp = next((text for row in rows if (text := fields.text(row.get("CompileTime")))), None)
    mine = next((text for row in rows if (text := str(row.get("Miner", ""))).startswith("bOS_")), None)
    return {
        "make": make,
        "model": model,
        "firmware": stamp or mine,
        "mac": next((mac for row in rows if (mac := fields.mac(fields.first(row, "MAC", "mac")))), None),
    }
