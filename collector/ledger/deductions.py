"""From a meter's readings to its running totals: what fell, stood still or ran backwards, and why."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from agent.wire import Meter
from collector.ledger import falls, sequence
from collector.ledger.meter_entries import MeterEntry, standing
from collector.ledger.pairs import Pairs
from collector.ledger.plausible import Plausible
from collector.ledger.quantities import Ints
from collector.ledger.registers import MOST_WH, Deduced, History, Registered, Running
from collector.ledger.sequence import ClockStep, Reads
from collector.ledger.stills import Still

# So many rises share their greatest common divisor by chance no more.
_RISES_FOR_STEP = 20
# A counter that begins anew every day falls so often in fifty years.
_MOST_FALLS = 20_000


def derive(
    found: Registered,
    told: Sequence[Meter] = (),
    entries: Sequence[MeterEntry] = (),
    clock_steps: Sequence[ClockStep] = (),
    load: Running | None = None,
) -> History:
    """All that a meter's readings, what was told of it and what people said amount to.

    `load`: what the devices behind it were seen to use, to tell a frozen register from one at rest.
    """
    valid, told = standing(entries), [_possible(meter) for meter in told]
    at_us = sequence.redated(found, clock_steps)
    reads, findings = sequence.in_order(found, at_us, valid)
    fell = int(np.count_nonzero(np.diff(reads.import_wh) < 0))
    if fell > _MOST_FALLS:
        whole = (int(reads.at_us[0]), int(reads.at_us[-1]))
        made = "nothing: what falls so often is no cumulative register"
        unusable = Deduced("unusable", *whole, {"falls": str(fell), "made_of_it": made})
        return _nothing(reads.pick(slice(0)), found, (unusable,))
    if reads.at_us.size < 2:
        return _nothing(reads, found, tuple(findings))
    plausible = Plausible(reads)
    changes = falls.breaks(told, valid)
    wrong, old, behind = falls.misread(reads, plausible, falls.places(reads, changes))
    findings += falls.misreadings(reads, wrong)
    if wrong.any() or old.any():
        reads = reads.pick(~(wrong | old))
        plausible = Plausible(reads)
    pairs = Pairs.of(reads, sequence.by_event(valid))
    changed = falls.places(reads, changes)
    moduli = falls.moduli_of(told, valid)
    falls.settle(pairs, plausible, changed, moduli)
    falls.settle_exports(pairs, plausible, changed, moduli)
    settled = frozenset({*changed, *np.flatnonzero(np.diff(reads.import_wh) < 0).tolist()})
    pairs.untangle(plausible.most_mw(np.arange(reads.at_us.size - 1)))
    step_wh = _step_wh(reads, told)
    Still.of(pairs, plausible, step_wh, settled, load).deduce()
    lags = tuple(falls.lags(pairs, plausible, behind))
    findings = sorted([*findings, *pairs.findings], key=lambda f: (f.from_us, f.kind))
    covered, gaps = _time(pairs, found, at_us)
    return History(
        pairs.imported(),
        Running(reads.at_us, pairs.exported, pairs.exported, pairs.exported),
        covered,
        gaps,
        step_wh=step_wh,
        open_mw=int(plausible.most_mw(reads.at_us.size)),
        lags=lags,
        findings=tuple(findings),
        synthetic=bool(found.synthetic.any()),
    )


def _possible(meter: Meter) -> Meter:
    """What was told of a meter, without a step or a modulus that no register has."""
    step_wh, modulus_wh = (
        wh if wh is not None and 0 < wh <= MOST_WH else None for wh in (meter.step_wh, meter.modulus_wh)
    )
    return msgspec.structs.replace(meter, step_wh=step_wh, modulus_wh=modulus_wh)


def _nothing(reads: Reads, found: Registered, findings: tuple[Deduced, ...]) -> History:
    none = np.zeros(0, np.int64)
    running = Running(reads.at_us, none, none, none)
    synthetic = bool(found.synthetic.any())
    return History(running, running, running, {}, step_wh=1, findings=findings, synthetic=synthetic)


def _step_wh(reads: Reads, told: Sequence[Meter]) -> int:
    """The coarsest step that the register was told to have; else what all its rises have in common."""
    steps = [meter.step_wh for meter in told if meter.step_wh]
    if steps:
        return max(steps)
    rises = np.diff(reads.import_wh)
    rises = rises[rises > 0]
    return int(np.gcd.reduce(rises)) if rises.size >= _RISES_FOR_STEP else 1


def _time(pairs: Pairs, found: Registered, at_us: Ints) -> tuple[Running, dict[str, Running]]:
    """How much of each pair's time is covered by its readings, and why the rest is not."""
    reads = pairs.reads
    passed_us = np.diff(reads.at_us)
    gap = passed_us > reads.max_gap_us[1:]
    causes: dict[int, str] = dict.fromkeys(np.flatnonzero(gap).tolist(), "agent_down")
    failed_us, kinds = sequence.failures(found, at_us)
    for n in causes:
        first = int(np.searchsorted(failed_us, reads.at_us[n], side="right"))
        if first < failed_us.size and failed_us[first] < reads.at_us[n + 1]:
            causes[n] = kinds[first]
        elif reads.typed[n + 1]:
            causes[n] = "typed"
    causes |= pairs.cause
    by_cause: dict[str, list[int]] = {}
    for n, cause in causes.items():
        by_cause.setdefault(cause, []).append(n)
    covered_us = passed_us.copy()
    covered_us[list(causes)] = 0
    gaps: dict[str, Running] = {}
    for cause, places in sorted(by_cause.items()):
        gap_us = np.zeros_like(passed_us)
        gap_us[places] = passed_us[places]
        gaps[cause] = Running(reads.at_us, gap_us, gap_us, gap_us)
    return Running(reads.at_us, covered_us, covered_us, covered_us), gaps
