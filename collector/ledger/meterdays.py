"""A meter's readings in the store: per UTC day a blob of columns, in the order in which they came.

    msgpack [packed columns, texts of problems, names of agents]

Instants and registers are stored as differences: a meter read once a minute takes 6 to 10 KB a day. Nothing
is left out, not even what makes no sense: what a reading is worth is decided when half-hours are derived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from sqlalchemy import Connection, func, select

from collector.ledger.packing import pack, unpack
from collector.ledger.quantities import DAY_US, Ints
from collector.ledger.registers import COLUMNS, Registered, RegisterRow
from collector.store import schema, upsert

# Kinds of problems are few; texts that a device words differently each time would fill the day's blob.
PROBLEMS_MOST = 64
PROBLEM_CHARACTERS = 160
_OTHER_PROBLEM = "other: more problems than are kept of a day"
# Stored as the difference to the reading before.
_STEPS = ("at_us", "seq", "import_wh", "export_wh")
_SEQ, _ORDINAL, _PROBLEM, _AGENT = (COLUMNS.index(n) for n in ("seq", "ordinal", "problem", "agent"))


class _Day(msgspec.Struct, array_like=True):
    columns: bytes
    problems: list[str]
    agents: list[str]


_days = msgspec.msgpack.Decoder(_Day)


@dataclass(slots=True)
class _Columns:
    cells: Ints  # [column, reading]
    problems: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)


def append(connection: Connection, org: str, site: str, meter: str, rows: Sequence[RegisterRow]) -> None:
    """Add readings to their days, in the order in which they came."""
    by_day: dict[int, list[RegisterRow]] = {}
    for row in rows:
        by_day.setdefault(row.at_us // DAY_US, []).append(row)
    table, new = schema.meter_day, []
    for day, of_day in sorted(by_day.items()):
        key = {"org": org, "site": site, "meter": meter, "day": day}
        query = select(table.c.content, table.c.readings)
        known = connection.execute(query.where(*(table.c[name] == key[name] for name in key))).one_or_none()
        columns = _Columns(np.zeros((len(COLUMNS), 0), np.int64))
        if known is not None:
            columns = _unpack(known.content, known.readings)
        added = [_cells(row, columns) for row in of_day]
        columns.cells = np.concatenate([columns.cells, np.array(added, np.int64).T], axis=1)
        new.append(key | {"readings": columns.cells.shape[1], "content": _pack(columns)})
    upsert(connection, table, new)


def read(connection: Connection, org: str, site: str, meter: str, since_day: int | None = None) -> Registered:
    """What was read of a meter, ever or since a day (days since 1970), each agent's readings in its order."""
    c = schema.meter_day.c
    query = select(c.content, c.readings).where(c.org == org, c.site == site, c.meter == meter)
    if since_day is not None:
        query = query.where(c.day >= since_day)
    rows = connection.execute(query.order_by(c.day)).all()
    cells = np.zeros((len(COLUMNS), sum(row.readings for row in rows)), np.int64)
    problems, agents = _Index([""]), _Index()
    first = 0
    for row in rows:
        day = cells[:, first : first + row.readings]
        texts = _unpack_into(day, row.content)
        day[_PROBLEM] = problems.numbers(["", *texts.problems])[day[_PROBLEM]]
        day[_AGENT] = agents.numbers(texts.agents)[day[_AGENT]]
        first += row.readings
    ordered = (np.diff(cells[_AGENT]) == 0).all() and (np.diff(cells[_SEQ]) >= 0).all()
    if cells[_ORDINAL].any() or not ordered:
        cells = cells[:, np.lexsort((cells[_ORDINAL], cells[_SEQ], cells[_AGENT]))]
    columns = dict(zip(COLUMNS, cells, strict=True))
    return Registered(**columns, problems=tuple(problems.texts[1:]), agents=tuple(agents.texts))


def last_days(connection: Connection, org: str, site: str) -> Mapping[str, int]:
    """The newest day of each meter that was ever read."""
    c = schema.meter_day.c
    query = (
        select(c.meter, func.max(c.day).label("day")).where(c.org == org, c.site == site).group_by(c.meter)
    )
    return {row.meter: row.day for row in connection.execute(query)}


class _Index:
    """Texts by number, in the order in which they came up."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = list(texts)
        self._numbers = {text: n for n, text in enumerate(self.texts)}

    def numbers(self, texts: Sequence[str]) -> Ints:
        """The texts' numbers, new ones for those that have none yet."""
        for text in texts:
            if text not in self._numbers:
                self._numbers[text] = len(self.texts)
                self.texts.append(text)
        return np.array([self._numbers[text] for text in texts], np.int64)


def _cells(row: RegisterRow, day: _Columns) -> list[int]:
    problem = row.reading.problem[:PROBLEM_CHARACTERS]
    if problem and problem not in day.problems:
        problem = problem if len(day.problems) < PROBLEMS_MOST else _OTHER_PROBLEM
    if problem and problem not in day.problems:
        day.problems.append(problem)
    if row.agent not in day.agents:
        day.agents.append(row.agent)
    number = day.problems.index(problem) + 1 if problem else 0
    return [*row.numbers(), number, day.agents.index(row.agent)]


def _pack(day: _Columns) -> bytes:
    cells = dict(enumerate(day.cells))
    for name in _STEPS:
        number = COLUMNS.index(name)
        cells[number] = np.diff(cells[number], prepend=0)
    return msgspec.msgpack.encode(_Day(pack(COLUMNS, cells), day.problems, day.agents))


def _unpack(content: bytes, readings: int) -> _Columns:
    cells = np.zeros((len(COLUMNS), readings), np.int64)
    stored = _unpack_into(cells, content)
    return _Columns(cells, stored.problems, stored.agents)


def _unpack_into(cells: Ints, content: bytes) -> _Day:
    stored = _days.decode(content)
    for number, column in unpack(COLUMNS, stored.columns, (cells.shape[1],)).items():
        cells[number] = np.cumsum(column) if COLUMNS[number] in _STEPS else column
    return stored
