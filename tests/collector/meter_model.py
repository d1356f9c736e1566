"""A meter's truth for the tests: a load of straight steps, a register that counts it, its mishaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from agent.wire import RegisterReading
from collector.ledger.registers import COLUMNS, Registered, RegisterRow
from tests.collector.support import T0, S

MW_US_PER_WH = 3_600_000_000_000
HOUR_US = 3600 * S


@dataclass
class Load:
    """Power that holds from each instant to the next; `power_w` may be negative (energy given back)."""

    steps: Sequence[tuple[int, int]]  # (from_us, power_mw)

    def used(self, from_us: int, until_us: int) -> int:
        """The energy in mW us, exactly."""
        total = 0
        for (start_us, power_mw), (end_us, _) in pairwise([*self.steps, (2**62, 0)]):
            total += power_mw * max(0, min(until_us, end_us) - max(from_us, start_us))
        return total

    def power_mw(self, at_us: int) -> int:
        """The power at an instant."""
        return next(power_mw for from_us, power_mw in reversed(self.steps) if from_us <= at_us)


@dataclass
class Register:
    """A meter that counts a load; it is read in order of time."""

    load: Load
    step_wh: int = 1
    modulus_wh: int | None = None
    start_wh: int = 0
    begun_us: int = T0
    tells_power: bool = False
    reversed_us: tuple[int, int] = (0, 0)  # current transformers turned round
    frozen_us: tuple[int, int] = (0, 0)  # the interface gives the same answer again and again
    lost_us: tuple[int, int] = (0, 0)  # the register itself stands
    every_us: int = 0  # the register is renewed no more often
    seen: list[tuple[int, int, int, int | None]] = field(default_factory=list)

    def counted(self, at_us: int) -> tuple[int, int]:
        """(import, export) in mW us since it began."""
        if self.every_us:
            at_us -= at_us % self.every_us
        at_us = max(at_us, self.begun_us)
        back = self._during(self.reversed_us, at_us)
        lost = self._during(self.lost_us, at_us)
        return self.load.used(self.begun_us, at_us) - back - lost, back

    def _during(self, span_us: tuple[int, int], at_us: int) -> int:
        return self.load.used(span_us[0], min(at_us, span_us[1])) if at_us > span_us[0] else 0

    def read(self, at_us: int) -> RegisterReading:
        """What the meter says at an instant."""
        if self.frozen_us[0] <= at_us < self.frozen_us[1]:
            at_us = self.frozen_us[0]
        registers = [self.start_wh * MW_US_PER_WH + self.counted(at_us)[0], self.counted(at_us)[1]]
        shown = [total // MW_US_PER_WH // self.step_wh * self.step_wh for total in registers]
        if self.modulus_wh is not None:
            shown = [wh % self.modulus_wh for wh in shown]
        power_mw = self.load.power_mw(at_us) if self.tells_power else None
        if power_mw is not None and self.reversed_us[0] <= at_us < self.reversed_us[1]:
            power_mw = -power_mw
        return RegisterReading("main", 0, shown[0], shown[1], power_mw)


def rows(
    read: Callable[[int], RegisterReading],
    times_us: Iterable[int],
    interval_s: int = 60,
    agent: str = "box-1",
) -> list[RegisterRow]:
    """Readings at instants, one a batch."""
    return [
        RegisterRow(at_us, seq, agent, interval_s, False, read(at_us))
        for seq, at_us in enumerate(times_us, 1)
    ]


def registered(rows: Sequence[RegisterRow]) -> Registered:
    """The rows as the ledger gives them back."""
    problems, agents = [""], sorted({row.agent for row in rows})
    cells = []
    for row in sorted(rows, key=lambda row: row.agent):
        if row.reading.problem not in problems:
            problems.append(row.reading.problem)
        cells.append([*row.numbers(), problems.index(row.reading.problem), agents.index(row.agent)])
    columns = np.array(cells, np.int64).reshape(-1, len(COLUMNS)).T
    named = dict(zip(COLUMNS, columns, strict=True))
    return Registered(**named, problems=tuple(problems[1:]), agents=tuple(agents))


def polls(hours: float, every_s: int = 60, first_us: int = T0) -> list[int]:
    """Instants, evenly."""
    return list(range(first_us, first_us + round(hours * HOUR_US) + 1, every_s * S))
