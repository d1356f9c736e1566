"""What the ledger says of a site's meters: who they are, and the half-hours that their registers give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from sqlalchemy import Connection, select

from agent.wire import EARLIEST_US, Meter
from collector.ledger import meterdays
from collector.ledger.deductions import derive
from collector.ledger.meter_entries import MeterEntry, standing
from collector.ledger.quantities import DAY_US, HALF_HOUR_US, Ints
from collector.ledger.registers import NO_POWER, UNREAD, History, MeterProfile, Running
from collector.ledger.sequence import ClockStep
from collector.store import schema

# A meter that has not been read for longer is dead; its history has when.
_LAST_READ_DAYS = 31


@dataclass(frozen=True, slots=True)
class MeterNow:
    """A meter as it was last told and read; None is what there is none of, or was not read."""

    meter: str
    told: Meter | None
    last_us: int | None  # when its import was last read
    import_wh: int | None
    export_wh: int | None
    power_mw: int | None
    problem_us: int | None  # when reading it last failed, wholly or in part
    problem: str | None


def meter_profile(
    connection: Connection, org: str, site: str, meter: str, start_us: int, end_us: int,
    edges_us: Ints | None = None,
) -> MeterProfile:  # fmt: skip
    """A meter's half-hours between two instants, or its cells between rising edges of the caller's own.

    Sums of half-hours are exact either way; bounds of a day or a month are narrowest when asked for by its
    own edges. ValueError if the time is not made of half-hours.
    """
    if edges_us is None:
        if start_us % HALF_HOUR_US or end_us % HALF_HOUR_US or start_us >= end_us:
            raise ValueError(f"from {start_us} to {end_us} us is not a row of half-hours")
        edges_us = np.arange(start_us, end_us + 1, HALF_HOUR_US)
    return history(connection, org, site, meter).profile(edges_us)


def history(
    connection: Connection,
    org: str,
    site: str,
    meter: str,
    since_us: int | None = None,
    load: Running | None = None,
) -> History:
    """What all its readings amount to; with `since_us` a quick look at those of that day and later.

    Only the whole history is the ledger's word: what befell a meter shows in how it was before. `load`: what
    the devices behind it were seen to use, for a meter that tells no power.
    """
    since_day = None if since_us is None else since_us // DAY_US
    return derive(
        meterdays.read(connection, org, site, meter, since_day),
        told(connection, org, site, meter),
        entries(connection, org, site, meter),
        clock_steps(connection, org, site),
        load,
    )


def told(connection: Connection, org: str, site: str, meter: str) -> list[Meter]:
    """What was told of a meter, by the instant from which it held."""
    c = schema.meter_told.c
    query = select(c.content).where(c.org == org, c.site == site, c.meter == meter)
    rows = connection.execute(query.order_by(c.at_us, c.agent, c.seq, c.ordinal)).scalars()
    return [msgspec.convert(content, Meter) for content in rows]


def entries(connection: Connection, org: str, site: str, meter: str) -> list[MeterEntry]:
    """All that people said of a meter, superseded or not, by the instant that it is about."""
    c = schema.meter_entry.c
    query = select(c.content).where(c.org == org, c.site == site, c.meter == meter)
    rows = connection.execute(query.order_by(c.at_us, c.entered_us, c.id)).scalars()
    return [msgspec.convert(content, MeterEntry) for content in rows]


def clock_steps(connection: Connection, org: str, site: str) -> list[ClockStep]:
    """When a site's agents found out that they had misdated what they had read since some instant."""
    c = schema.event.c
    query = select(c.agent, c.seq, c.ordinal, c.detail).where(
        c.org == org, c.site == site, c.source == "agent", c.kind == "clock_step"
    )
    found: list[ClockStep] = []
    for row in connection.execute(query.order_by(c.agent, c.seq, c.ordinal)):
        try:
            since_us, old_us, step_us = (int(row.detail[name]) for name in ("since_us", "old_us", "step_us"))
        except (KeyError, ValueError):
            continue  # told otherwise than this program knows: nothing can be moved by it
        can_be = all(EARLIEST_US <= us < 2**62 for us in (since_us, old_us, old_us + step_us))
        if row.detail.get("misdated") == "true" and can_be:
            found.append(ClockStep(row.agent, row.seq, row.ordinal, since_us, old_us, step_us))
    return found


def meters(connection: Connection, org: str, site: str) -> list[MeterNow]:
    """Every meter of a site that was told, read or spoken of, by name."""
    c = schema.meter_told.c
    query = select(c.meter, c.content).where(c.org == org, c.site == site)
    newest = {
        row.meter: msgspec.convert(row.content, Meter)
        for row in connection.execute(query.order_by(c.at_us, c.agent, c.seq, c.ordinal))
    }
    days = meterdays.last_days(connection, org, site)
    c = schema.meter_entry.c
    spoken_of: dict[str, list[MeterEntry]] = {}
    for row in connection.execute(select(c.meter, c.content).where(c.org == org, c.site == site)):
        spoken_of.setdefault(row.meter, []).append(msgspec.convert(row.content, MeterEntry))
    return [
        _with_typed(
            _now(connection, org, site, meter, newest.get(meter), days.get(meter)), spoken_of.get(meter, [])
        )
        for meter in sorted({*newest, *days, *spoken_of})
    ]


def _with_typed(now: MeterNow, said: Sequence[MeterEntry]) -> MeterNow:
    """With the register that a person read later than the wire."""
    typed = [e for e in standing(said) if e.kind == "read" and e.at_us > (now.last_us or 0)]
    if not typed:
        return now
    last = typed[-1]
    return replace(now, last_us=last.at_us, import_wh=last.import_wh, export_wh=last.export_wh, power_mw=None)


def _now(
    connection: Connection, org: str, site: str, meter: str, described: Meter | None, day: int | None
) -> MeterNow:
    if day is None:
        return MeterNow(meter, described, None, None, None, None, None, None)
    found = meterdays.read(connection, org, site, meter, day)
    if not (found.import_wh != UNREAD).any():  # it fails, perhaps since long: what it last read is older
        found = meterdays.read(connection, org, site, meter, day - _LAST_READ_DAYS)
    read, failed = found.import_wh != UNREAD, found.problem > 0
    last = int(np.where(read, found.at_us, -1).argmax()) if read.any() else None
    wrong = int(np.where(failed, found.at_us, -1).argmax()) if failed.any() else None

    def of(column: Ints, unread: int) -> int | None:
        return None if last is None or column[last] == unread else int(column[last])

    return MeterNow(
        meter,
        described,
        of(found.at_us, UNREAD),
        of(found.import_wh, UNREAD),
        of(found.export_wh, UNREAD),
        of(found.power_mw, NO_POWER),
        None if wrong is None else int(found.at_us[wrong]),
        None if wrong is None else found.problems[int(found.problem[wrong]) - 1],
    )
