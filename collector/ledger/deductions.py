"""From a meter's readings to its running totals: what fell, stood still or ran backwards, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.wire import Meter
from collector.ledger import rules
from collector.ledger.quantities import Ints
from collector.ledger.registers import UNREAD, History, Registered, Running


def derive(found: Registered, told: Sequence[Meter] = ()) -> History:
    """All that a meter's readings amount to."""
    imported = _plain(found.at_us, found.import_wh)
    exported = _plain(found.at_us, found.export_wh)
    at_us = imported.at_us
    passed_us = np.diff(at_us)
    covered_us = np.where(passed_us <= _max_gap_us(found, at_us), passed_us, 0)
    steps = [meter.step_wh for meter in told if meter.step_wh]
    return History(
        imported,
        exported,
        Running(at_us, covered_us, covered_us, covered_us),
        {},
        step_wh=max(steps, default=1),
        synthetic=bool(found.synthetic.any()),
    )


def _plain(at_us: Ints, register: Ints) -> Running:
    read = register != UNREAD
    times_us, first = np.unique(at_us[read], return_index=True)
    delta = np.maximum(np.diff(register[read][first]), 0)
    return Running(times_us, delta, delta, delta)


def _max_gap_us(found: Registered, at_us: Ints) -> Ints:
    order = np.argsort(found.at_us, kind="stable")
    interval_s = found.interval_s[order[np.searchsorted(found.at_us[order], at_us[1:])]]
    pairs = set(zip(interval_s.tolist(), at_us[1:].tolist(), strict=True)) if at_us.size else set()
    by_interval = {interval: rules.at(time_us).max_gap_us(interval) for interval, time_us in pairs}
    return np.array([by_interval[n] for n in interval_s.tolist()], np.int64)
