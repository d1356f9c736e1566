"""Closed half-hours into the store: per day and chunk of devices a blob of columns, and the sums of the day.

A chunk is small enough to read a year of one device, and large enough that its columns compress; a half-hour
that is closed is never touched again, so what a commit brings is added to what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from sqlalchemy import Connection, select

from collector.ledger.energy import Closed
from collector.ledger.packing import pack, unpack
from collector.ledger.quantities import DAY_HALF_HOURS, DAY_US, HALF_HOUR_US, NAMES, Ints
from collector.store import schema, upsert

CHUNK = 64
_CHUNK_SHAPE = (CHUNK, DAY_HALF_HOURS)

Columns = dict[int, Ints]  # by the number of the quantity; one that is not there is zero


def add(connection: Connection, org: str, site: str, closed: Sequence[Closed]) -> None:
    """Write what was closed since the last commit."""
    by_day: dict[int, list[Closed]] = {}
    for part in closed:
        days = part.start_us // DAY_US
        for day in np.unique(days).tolist():
            of_day = np.flatnonzero(days == day)
            by_day.setdefault(day, []).append(
                Closed(part.places[of_day], part.start_us[of_day], part.quantities, part.row[:, of_day])
            )
    for day, parts in sorted(by_day.items()):
        _add_day(connection, org, site, day, parts)


def _add_day(connection: Connection, org: str, site: str, day: int, parts: list[Closed]) -> None:
    chunks = sorted({chunk for part in parts for chunk in np.unique(part.places // CHUNK).tolist()})
    nth = np.zeros(chunks[-1] + 1, np.int64)
    nth[chunks] = np.arange(len(chunks))
    new: Columns = {}
    for part in parts:
        where = nth[part.places // CHUNK] * CHUNK + part.places % CHUNK
        half_hour = part.start_us % DAY_US // HALF_HOUR_US
        for number, column in zip(part.quantities.tolist(), part.row, strict=True):
            if number not in new:
                new[number] = np.zeros((len(chunks) * CHUNK, DAY_HALF_HOURS), np.int64)
            new[number][where, half_hour] += column
    key = {"org": org, "site": site, "day": day}
    known = read_chunks(connection, org, site, [day], chunks)
    rows = []
    for n, chunk in enumerate(chunks):
        mine = {number: column[n * CHUNK : (n + 1) * CHUNK] for number, column in new.items()}
        content = pack(NAMES, _sum(mine, known.get((chunk, day), {})))
        rows.append(key | {"chunk": chunk, "content": content})
    upsert(connection, schema.interval, rows)
    by_device, by_half_hour = read_day_sums(connection, org, site, day, day + 1).get(day, ({}, {}))
    # By what the day holds, not by who is registered at the commit: the rows are the same however they came.
    size = max(1 + int(part.places.max()) for part in parts)
    size = max([size, *(column.size for column in by_device.values())])
    index = (np.array(chunks)[:, None] * CHUNK + np.arange(CHUNK)).reshape(-1)
    for number, column in new.items():
        total = np.zeros((chunks[-1] + 1) * CHUNK, np.int64)
        total[index] = column.sum(axis=1)
        by_device[number] = _grown(by_device.get(number), size) + _grown(total, size)
        by_half_hour[number] = by_half_hour.get(number, 0) + column.sum(axis=0)
    by_device = {number: _grown(column, size) for number, column in by_device.items()}
    sums = {"devices": pack(NAMES, by_device), "half_hours": pack(NAMES, by_half_hour)}
    upsert(connection, schema.day_sum, [{**key, "places": size, **sums}])


def read_chunks(
    connection: Connection, org: str, site: str, days: Iterable[int], chunks: Sequence[int]
) -> dict[tuple[int, int], Columns]:
    """(chunk, day) -> columns of [place in the chunk, half-hour of the day]."""
    c = schema.interval.c
    query = select(c.chunk, c.day, c.content).where(c.org == org, c.site == site)
    found = connection.execute(query.where(c.chunk.in_(chunks), c.day.in_(list(days))))
    return {(row.chunk, row.day): unpack(NAMES, row.content, _CHUNK_SHAPE) for row in found}


def read_place(
    connection: Connection, org: str, site: str, place: int, first_day: int, end_day: int
) -> Iterator[tuple[int, Columns]]:
    """(day, columns by half-hour of the day) of one device."""
    c = schema.interval.c
    query = select(c.day, c.content).where(c.org == org, c.site == site, c.chunk == place // CHUNK)
    nth = place % CHUNK
    cells = slice(nth * DAY_HALF_HOURS, (nth + 1) * DAY_HALF_HOURS)
    for row in connection.execute(query.where(c.day >= first_day, c.day < end_day)):
        yield row.day, unpack(NAMES, row.content, (DAY_HALF_HOURS,), cells)


def read_day_sums(
    connection: Connection, org: str, site: str, first_day: int, end_day: int
) -> dict[int, tuple[Columns, Columns]]:
    """day -> columns by place over the day, and by half-hour over the devices."""
    c = schema.day_sum.c
    query = select(schema.day_sum).where(c.org == org, c.site == site, c.day >= first_day, c.day < end_day)
    return {
        row.day: (unpack(NAMES, row.devices, (row.places,)), unpack(NAMES, row.half_hours, (DAY_HALF_HOURS,)))
        for row in connection.execute(query)
    }


def _sum(a: Columns, b: Columns) -> Columns:
    # The missing side is a plain 0, which an array takes and its type does not name.
    return {number: a.get(number, 0) + b.get(number, 0) for number in a.keys() | b.keys()}  # type: ignore[misc]


def _grown(column: Ints | None, size: int) -> Ints:
    grown: Ints = np.zeros(size, np.int64)
    if column is not None:
        grown[: min(size, column.size)] = column[:size]
    return grown
