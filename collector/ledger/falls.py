"""Why a register fell, or went on from elsewhere: misread, rolled over, reset, or another meter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from agent.wire import Meter
from collector.ledger import rules
from collector.ledger.meter_entries import MeterEntry
from collector.ledger.pairs import Pairs
from collector.ledger.plausible import Plausible, energy_wh, rate_mw
from collector.ledger.quantities import Mask
from collector.ledger.registers import Deduced
from collector.ledger.sequence import Reads

# A change told at an agent's start may come some readings before or after the registers show it.
_BREAK_READINGS = 3
_CLOCKS_US = 120_000_000
# When a person says that a meter was changed, to the hour or so.
_PERSON_SLACK_US = 6 * 3_600_000_000
# Where registers roll over: all digits of a display, or 32 bits, of Wh or of a decimal multiple.
_USUAL_MODULI = tuple(sorted({10**n for n in range(6, 16)} | {2**32 * 10**n for n in range(4)}))


@dataclass(frozen=True, slots=True)
class Break:
    """Another meter, or another scale of the same one, from about `at_us` on."""

    at_us: int
    kind: str  # replaced, ratio_changed
    detail: dict[str, str]
    entry: MeterEntry | None = None


def breaks(told: Sequence[Meter], entries: Sequence[MeterEntry]) -> list[Break]:
    """What was told or entered of changes of the meter itself; an entry takes the place of what was told."""
    entered = [entry for entry in entries if entry.kind == "replaced"]
    found = [
        Break(e.at_us, "replaced", {"serial": e.serial or "not stated", "entry": e.id, "by": e.by}, e)
        for e in entered
    ]
    for was, now in pairwise(meter for meter in told if meter.serial):
        by_hand = any(abs(e.at_us - now.at_us) <= 4 * _PERSON_SLACK_US for e in entered)
        if was.serial != now.serial and not by_hand:
            detail = {"serial_before": str(was.serial), "serial": str(now.serial)}
            found.append(Break(now.at_us, "replaced", detail))
    replaced_us = {change.at_us for change in found}
    for before, after in pairwise(told):
        if after.at_us not in replaced_us and (before.ct_ratio, before.vt_ratio) != (
            after.ct_ratio,
            after.vt_ratio,
        ):
            detail = {
                "ratios_before": f"{before.ct_ratio} x {before.vt_ratio}",
                "ratios": f"{after.ct_ratio} x {after.vt_ratio}",
            }
            found.append(Break(after.at_us, "ratio_changed", detail))
    return sorted(found, key=lambda b: b.at_us)


def places(reads: Reads, found: Sequence[Break]) -> dict[int, Break]:
    """Each break at the pair where it shows: at a fall of the register near it, else at its instant."""
    falls = np.flatnonzero(np.diff(reads.import_wh) < 0)
    placed: dict[int, Break] = {}
    for change in found:
        last = int(np.searchsorted(reads.at_us, change.at_us)) - 1
        if change.entry is None:
            near = falls[np.abs(falls - last) <= _BREAK_READINGS]
        else:
            near = falls[np.abs(reads.at_us[falls] - change.at_us) <= _PERSON_SLACK_US]
        pair = int(near[np.abs(near - last).argmin()]) if near.size else last
        if 0 <= pair < reads.at_us.size - 1:
            placed[pair] = change
    return placed


class Behind(NamedTuple):
    """From an instant on a register showed what it had been before: it is behind by some energy."""

    from_us: int
    wh: int


def misread(reads: Reads, plausible: Plausible, changed: dict[int, Break]) -> tuple[Mask, Mask, list[Behind]]:
    """Readings that were misread, those that showed what had been before, and when these began.

    Misread: it fell, or leapt, and was back where it had been within a few readings.
    """
    register, at_us = reads.import_wh, reads.at_us
    wrong, old = np.zeros(at_us.size, np.bool_), np.zeros(at_us.size, np.bool_)
    behind: list[Behind] = []
    upto = -1
    for before in np.flatnonzero(np.diff(register) < 0).tolist():
        after = before + 1
        if before <= upto or before in changed:
            continue
        few = rules.at(int(at_us[before])).registers.glitch_readings
        first = max(upto + 1, before - few)
        leapt = _leapt_from(reads, plausible, first, before)
        if leapt is not None:
            wrong[leapt + 1 : after] = True
            upto = before
            continue
        end = min(at_us.size, after + few)
        back = np.flatnonzero(register[after + 1 : end] >= register[before])
        again = after + 1 + int(back[0]) if back.size else 0
        leaps = again and _rate_mw(reads, again - 1) > plausible.most_mw(again)
        caught_up = 0 if leaps else _caught_up(reads, plausible, before)
        if caught_up:
            old[after:caught_up] = True
            behind.append(Behind(int(at_us[before]), int(register[before] - register[after])))
            upto = caught_up - 1
        elif again and _returns(reads, plausible, before, again):
            wrong[after:again] = True
            upto = again - 1
    return wrong, old, behind


def _returns(reads: Reads, plausible: Plausible, before: int, again: int) -> bool:
    """True if the register went on from where it had been, and not from where it fell to."""
    register, whole_us = reads.import_wh, int(reads.at_us[again] - reads.at_us[before])
    fits = int(register[again] - register[before]) <= plausible.most_wh(again, whole_us) + 1
    # From near 0 it may be a new register that has come as far; then it has not leapt there.
    leaps = _rate_mw(reads, again - 1) > plausible.most_mw(again)
    return bool(fits and (leaps or 2 * register[before + 1] > register[before]))


def _caught_up(reads: Reads, plausible: Plausible, before: int) -> int:
    """Where a register that fell by no more than an hour's energy had it again, at its own pace; or 0.

    A gateway's memory or a meter's mean does that; another meter with nearly the same register does not.
    """
    register, at_us = reads.import_wh, reads.at_us
    held_us = rules.at(int(at_us[before])).registers.jump_least_s * 1_000_000
    largest_mw, fell_wh = int(plausible.largest_mw(before)), int(register[before] - register[before + 1])
    near_0 = 2 * register[before + 1] <= register[before]
    # Less than two minutes' energy: two agents whose clocks differ a little.
    if near_0 or not energy_wh(largest_mw, _CLOCKS_US) < fell_wh <= energy_wh(largest_mw, held_us):
        return 0
    end = int(np.searchsorted(at_us, at_us[before] + 2 * held_us))
    back = np.flatnonzero(register[before + 1 : end] >= register[before])
    return before + 1 + int(back[0]) if back.size else 0


def lags(pairs: Pairs, plausible: Plausible, behind: Sequence[Behind]) -> Iterator[tuple[int, int, int]]:
    """(from, until, most Wh) of each time in which the register was behind; its end is where it leapt on."""
    at_us = pairs.reads.at_us
    rate = rate_mw(pairs.used, np.diff(at_us))
    seen_before = np.maximum(np.arange(rate.size) - 3, 0)
    leaps = np.flatnonzero(rate > plausible.most_mw(seen_before))
    for since in behind:
        nth = int(np.searchsorted(at_us[leaps], since.from_us, side="right"))
        last = int(leaps[nth]) + 1 if nth < leaps.size else at_us.size - 1
        caught_wh = int(pairs.used[leaps[nth]]) if nth < leaps.size else 0
        # How far it is behind goes with the load: twice what was seen holds a load that doubled.
        most_wh = 2 * max(since.wh, caught_wh)
        first = int(np.searchsorted(at_us, since.from_us))
        made = f"exact in sum; at any time up to {most_wh} Wh of it were not shown yet"
        pairs.tell("lagging", first, last, behind_wh=since.wh, made_of_it=made)
        yield since.from_us, int(at_us[last]), most_wh


def _rate_mw(reads: Reads, n: int) -> int:
    """The mean power from reading `n` to the next."""
    two = slice(n, n + 2)
    return int(rate_mw(np.diff(reads.import_wh[two]), np.diff(reads.at_us[two]))[0])


def _leapt_from(reads: Reads, plausible: Plausible, first: int, before: int) -> int | None:
    """The last reading before a leap that the fall after `before` took back."""
    register, at_us, after = reads.import_wh, reads.at_us, before + 1
    for n in range(before - 1, first - 1, -1):
        if register[n] <= register[after]:
            whole = int(register[after] - register[n]) <= plausible.most_wh(n, int(at_us[after] - at_us[n]))
            return n if whole and _rate_mw(reads, n) > plausible.most_mw(n) else None
    return None


def misreadings(reads: Reads, wrong: Mask) -> Iterator[Deduced]:
    """An event for each run of misread readings."""
    chosen = np.flatnonzero(wrong)
    for run in np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1) if chosen.size else []:
        detail = {
            "readings": str(run.size),
            "import_wh": str(reads.import_wh[run[0]]),
            "made_of_it": "set aside: the register was back where it had been",
        }
        yield Deduced("misread", int(reads.at_us[run[0]]), int(reads.at_us[run[-1]]), detail)


def settle(
    pairs: Pairs,
    plausible: Plausible,
    changed: dict[int, Break],
    moduli: Sequence[tuple[int, int]],
) -> None:
    """Say of every fall and every break what it was, and what was used meanwhile."""
    register, at_us = pairs.reads.import_wh, pairs.reads.at_us
    falls = set(np.flatnonzero(np.diff(register) < 0).tolist())
    for n in sorted(falls | changed.keys()):
        passed_us = int(at_us[n + 1] - at_us[n])
        most_wh = plausible.most_wh(n, passed_us)
        if n in changed:
            _changed(pairs, n, changed[n], most_wh, moduli)
            continue
        before, after = int(register[n]), int(register[n + 1])
        modulus, source = _modulus(moduli, int(at_us[n]), before)
        wrapped = None if modulus is None else after + modulus - before
        held = rules.at(int(at_us[n])).registers
        most_wrapped_wh = most_wh
        if modulus is not None and source == "told" and before * 100 >= modulus * held.modulus_near_percent:
            # Close below the modulus it rolled over, even if the load was never seen that large.
            most_wrapped_wh = max(most_wh, energy_wh(held.unknown_w * 1000, passed_us))
        if wrapped is not None and 0 <= wrapped <= most_wrapped_wh and not pairs.denied("rollover", n):
            pairs.put(n, n + 1, wrapped, wrapped, wrapped)
            pairs.tell(
                "rollover", n, n + 1, modulus_wh=modulus, modulus_is=source, before_wh=before, after_wh=after,
                made_of_it=f"{wrapped} Wh",
            )  # fmt: skip
        elif after <= most_wh:
            pairs.put(n, n + 1, after, after, max(after, most_wh))
            pairs.gap(n, n + 1, "reset")
            pairs.tell(
                "reset", n, n + 1, before_wh=before, after_wh=after,
                made_of_it=f"at least {after} Wh, at most {max(after, most_wh)} Wh",
            )  # fmt: skip
        else:
            pairs.put(n, n + 1, 0, 0, most_wh)
            pairs.gap(n, n + 1, "replaced")
            pairs.tell(
                "replaced", n, n + 1, before_wh=before, after_wh=after, serial="no change was told",
                made_of_it=f"a gap of at most {most_wh} Wh",
            )  # fmt: skip


def settle_exports(
    pairs: Pairs, plausible: Plausible, changed: dict[int, Break], moduli: Sequence[tuple[int, int]]
) -> None:
    """An export register that fell by itself rolled over, or began anew: then what it shows is the least."""
    export_wh, at_us = pairs.export_wh, pairs.reads.at_us
    fell = (np.diff(export_wh) < 0) & (np.diff(pairs.reads.import_wh) >= 0)
    for n in np.flatnonzero(fell).tolist():
        if n in changed:
            continue
        before, after = int(export_wh[n]), int(export_wh[n + 1])
        most_wh = plausible.most_wh(n, int(at_us[n + 1] - at_us[n]))
        modulus, source = _modulus(moduli, int(at_us[n]), before)
        wrapped = -1 if modulus is None else after + modulus - before
        rolled = 0 <= wrapped <= most_wh
        pairs.exported[n] = wrapped if rolled else min(after, most_wh)
        pairs.tell(
            "export_rollover" if rolled else "export_reset", n, n + 1, modulus_wh=modulus, modulus_is=source,
            before_wh=before, after_wh=after, made_of_it=f"{pairs.exported[n]} Wh of export",
        )  # fmt: skip


def _changed(pairs: Pairs, n: int, change: Break, most_wh: int, moduli: Sequence[tuple[int, int]]) -> None:
    """A replacement: the old register's rest and the new one's start if somebody read them, else a gap."""
    before, after = int(pairs.reads.import_wh[n]), int(pairs.reads.import_wh[n + 1])
    entry, detail = change.entry, {"before_wh": before, "after_wh": after, **change.detail}
    if entry is None or entry.end_import_wh is None or entry.start_import_wh is None:
        pairs.put(n, n + 1, 0, 0, most_wh)
        pairs.gap(n, n + 1, change.kind)
        pairs.tell(change.kind, n, n + 1, **detail, made_of_it=f"a gap of at most {most_wh} Wh")
        return
    rest, begun = entry.end_import_wh - before, after - entry.start_import_wh
    modulus = next((wh for since_us, wh in reversed(moduli) if since_us < change.at_us), None)
    if rest < 0 and modulus is not None and rest + modulus <= most_wh:
        rest += modulus
    detail |= {"end_wh": entry.end_import_wh, "start_wh": entry.start_import_wh}
    if rest < 0 or begun < 0:
        pairs.put(n, n + 1, 0, 0, most_wh)
        pairs.gap(n, n + 1, change.kind)
        wrong = "the end is below the last reading" if rest < 0 else "the start is above the first reading"
        pairs.tell(change.kind, n, n + 1, **detail, made_of_it=f"a gap of at most {most_wh} Wh: {wrong}")
        return
    used = rest + begun
    pairs.put(n, n + 1, used, used, used)
    exported = _exported(pairs, n, entry)
    if exported is not None:
        pairs.exported[n] = exported
    pairs.tell(change.kind, n, n + 1, **detail, made_of_it=f"{rest} Wh and {begun} Wh")
    last = pairs.findings[-1]
    pairs.findings[-1] = Deduced(last.kind, last.from_us, last.until_us, last.detail, True)


def _exported(pairs: Pairs, n: int, entry: MeterEntry) -> int | None:
    before, after = int(pairs.reads.export_wh[n]), int(pairs.reads.export_wh[n + 1])
    if entry.end_export_wh is None or entry.start_export_wh is None or min(before, after) < 0:
        return None
    return max(0, entry.end_export_wh - before) + max(0, after - entry.start_export_wh)


def moduli_of(told: Sequence[Meter], entries: Sequence[MeterEntry]) -> list[tuple[int, int]]:
    """(since, modulus) of a meter as it was told, or entered with its replacement."""
    by_wire = [(meter.at_us, meter.modulus_wh) for meter in told if meter.modulus_wh]
    return sorted([*by_wire, *((e.at_us, e.modulus_wh) for e in entries if e.modulus_wh)])


def _modulus(moduli: Sequence[tuple[int, int]], at_us: int, before: int) -> tuple[int | None, str]:
    """Where the register returns to 0, and how that is known."""
    if moduli:
        then = [modulus for since_us, modulus in moduli if since_us <= at_us]
        return (then[-1] if then else moduli[0][1]), "told"
    usual = next((m for m in _USUAL_MODULI if before < m), None)
    near_percent = rules.at(at_us).registers.modulus_near_percent
    if usual is None or before * 100 < usual * near_percent:
        return None, ""
    return usual, "not told: the next usual one"
