"""Registers that stand still, and what follows: at rest, frozen, lagging, turned round, or a leap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from collector.ledger import rules
from collector.ledger.pairs import Pairs
from collector.ledger.plausible import Plausible, rate_mw, told_mwh
from collector.ledger.quantities import Ints, Mask
from collector.ledger.registers import NO_POWER, Running
from collector.ledger.rules import RegisterRules, registers_columns

# The power that a meter tells is a moment's; a register that came back has what it missed to within a tenth.
_TOLD_PERCENT = 90
_S = 1_000_000


class Rise(NamedTuple):
    """The register stood from reading `still` to reading `before`, and was higher at the next."""

    still: int
    before: int


@dataclass(frozen=True, slots=True)
class Still:
    """What the deductions look at."""

    pairs: Pairs
    plausible: Plausible
    step_wh: int
    settled: frozenset[int]  # pairs that falls and breaks have explained
    told_mwh: Ints  # running sum, by reading
    load: Running | None  # what the devices behind the meter were seen to use

    @classmethod
    def of(
        cls,
        pairs: Pairs,
        plausible: Plausible,
        step_wh: int,
        settled: frozenset[int],
        load: Running | None = None,
    ) -> Still:
        """With the energy by the meter's own power summed up."""
        reads = pairs.reads
        told = told_mwh(reads.power_mw, reads.at_us, reads.max_gap_us)
        sums = np.concatenate([[0], np.cumsum(told)])
        return cls(pairs, plausible, step_wh, settled, sums, load)

    def _rules(self, n: int) -> RegisterRules:
        """What held at a reading's instant."""
        return rules.at(int(self.pairs.reads.at_us[n])).registers

    def told_wh(self, first: int, last: int) -> int:
        """The energy from one reading to another by the power that the meter told."""
        return int(self.told_mwh[last] - self.told_mwh[first]) // 1000

    def _elsewhere(self, first: int, last: int) -> tuple[int, int, str]:
        """(Wh, at most, who says so) of what was used between two readings by all but the register."""
        told_wh = self.told_wh(first, last)
        if told_wh or self.load is None:
            return told_wh, told_wh * 100 // _TOLD_PERCENT, "its power says"
        ends_us = self.pairs.reads.at_us[[first, last]]
        # Devices are not all that there is behind a meter: the most is the meter's own.
        most_wh = self.plausible.most_wh(first, int(ends_us[1] - ends_us[0]))
        used_wh = int(self.load.between(ends_us)[0])
        return used_wh, max(most_wh, used_wh), "the devices behind it used"

    def deduce(self) -> None:
        """Explain every rise that cannot have been used in its own time, and every long stillness."""
        delta = np.diff(self.pairs.reads.import_wh)
        delta[list(self.settled)] = 1  # a fall or a break ends a stillness as a rise does
        ends = np.flatnonzero(delta != 0)
        starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64) if ends.size else ends
        short = self._short(starts, ends)
        caught_up = [rise for rise in self._suspects(starts, ends) if self._rise(rise)]
        self._lagging(sorted([*short, *caught_up]))
        last = delta.size
        begun = int(ends[-1]) + 1 if ends.size else 0
        if begun < last:
            self._stood(Rise(begun, last), open_end=True)

    def _is_short(self, starts: Ints, ends: Ints) -> Mask:
        """Stillnesses in which nothing can have befallen the register but that it lags."""
        at_us = self.pairs.reads.at_us
        least_s = np.minimum(*registers_columns(at_us[ends], "frozen_s", "reversed_s"))
        open_pair = np.ones(self.pairs.used.size, np.bool_)
        open_pair[list(self.settled)] = False
        short: Mask = (starts < ends) & (at_us[ends] - at_us[starts] < least_s * _S) & open_pair[ends]
        return short & ~self._leaps_out(starts, ends)

    def _leaps_out(self, starts: Ints, ends: Ints) -> Mask:
        """Rises that may be leaps: far above the rises beside them, each taken over its own stillness."""
        pairs, at_us = self.pairs, self.pairs.reads.at_us
        used = pairs.used[ends]
        passed_us = at_us[ends + 1] - at_us[starts]
        rate = rate_mw(np.maximum(used - self.step_wh, 0), passed_us)
        most = rate_mw(used + self.step_wh, passed_us)
        beside = np.zeros_like(rate)
        beside[1:] = most[:-1]
        beside[:-1] = np.maximum(beside[:-1], most[1:])
        times, least_s = registers_columns(at_us[ends], "jump_times", "jump_least_s")
        seen_mw = self.plausible.largest_mw(np.maximum(ends - 3, 0))
        large: Mask = rate > times * beside
        return large & (used > seen_mw // 1000 * least_s // 3600)

    def _short(self, starts: Ints, ends: Ints) -> list[Rise]:
        """Settle all short stillnesses at once; returns those that a rise made up for by more than a step."""
        chosen = self._is_short(starts, ends)
        still, before = starts[chosen], ends[chosen]
        pairs, at_us = self.pairs, self.pairs.reads.at_us
        used, end = pairs.used[before], before + 1
        percent, unknown_w = registers_columns(at_us[before], "plausible_percent", "unknown_w")
        beyond = np.maximum(used - self.step_wh, 0)
        told_mw = np.abs(np.where(pairs.reads.power_mw == NO_POWER, 0, pairs.reads.power_mw))
        told_mw = np.maximum(told_mw[before], told_mw[end])
        seen_mw = self.plausible.largest_mw(before)
        likely_mw = np.where(told_mw > 0, told_mw, seen_mw)
        likely_mw = np.where(likely_mw > 0, likely_mw, unknown_w * 1000)
        possible_mw = np.maximum(self.plausible.most_mw(before), told_mw * percent // 100)
        caught_up = rate_mw(beyond, at_us[end] - at_us[before]) > likely_mw * percent // 100
        caught_up &= rate_mw(beyond, at_us[end] - at_us[still]) <= possible_mw
        told_wh = (self.told_mwh[end] - self.told_mwh[still]) // 1000
        lost_wh = np.where(used * 100 < told_wh * _TOLD_PERCENT, told_wh * 100 // _TOLD_PERCENT - used, 0)
        pairs.high[before] += np.where(caught_up, lost_wh, 0)
        # A register cannot show less than its step: a rise by one was used since the last.
        one = caught_up | (used <= self.step_wh)
        inside = np.zeros(pairs.edge.size + 1, np.int64)
        inside[still[one] + 1] += 1
        inside[end[one]] -= 1
        pairs.edge[np.cumsum(inside)[:-1] > 0] = False
        more = np.flatnonzero(caught_up & (used > self.step_wh))
        return [Rise(int(still[n]), int(before[n])) for n in more]

    def _suspects(self, starts: Ints, ends: Ints) -> list[Rise]:
        """Rises after a long stillness, and those that may be leaps; the others are plain."""
        chosen = np.flatnonzero(
            ((starts < ends) | self._leaps_out(starts, ends)) & ~self._is_short(starts, ends)
        )
        return [Rise(int(starts[n]), int(ends[n])) for n in chosen]

    def _rise(self, rise: Rise) -> bool:
        """Explain one; True if it made up for the time in which the register stood."""
        if rise.before in self.settled:
            self._stood(rise)
            return False
        pairs = self.pairs
        used, end = int(pairs.used[rise.before]), rise.before + 1
        rests = rise.still < rise.before
        if rests and self._turned_round(rise):
            return False
        if rests and used <= self.step_wh:
            self._stood(rise)
            return False
        alone_mw = self._mean_mw(used, rise.before, end)
        if (
            rests
            and alone_mw > self._likely_mw(rise.before) * self._rules(rise.before).plausible_percent // 100
        ):
            together_mw = self._mean_mw(used, rise.still, end)
            if together_mw <= self._possible_mw(rise.before):
                self._caught_up(rise, used)
                return True
        apart = pairs.reads.typed[end] or pairs.reads.doubtful[[rise.before, end]].any()
        if not apart and self._leaps(rise.before, used, alone_mw):
            self._leap(rise.before, used)
        elif rests:
            self._stood(rise)
        return False

    def _mean_mw(self, used: int, first: int, last: int) -> int:
        passed_us = self.pairs.reads.at_us[last] - self.pairs.reads.at_us[first]
        return int(rate_mw(np.array(max(used - self.step_wh, 0)), passed_us))

    def _told_mw(self, n: int) -> int:
        power_mw = self.pairs.reads.power_mw[n : n + 2]
        return int(np.abs(power_mw[power_mw != NO_POWER]).max(initial=0))

    def _likely_mw(self, n: int) -> int:
        """The power of a pair: as the meter told it, else the largest that it was seen at."""
        return self._told_mw(n) or int(self.plausible.largest_mw(n)) or self._rules(n).unknown_w * 1000

    def _possible_mw(self, n: int) -> int:
        return max(int(self.plausible.most_mw(n)), self._told_mw(n) * self._rules(n).plausible_percent // 100)

    def _caught_up(self, rise: Rise, used: int) -> None:
        """The register stood while energy was used, and has it now: exact, but for when it was."""
        pairs, end = self.pairs, rise.before + 1
        seen_wh, most_wh, _ = self._elsewhere(rise.still, end)
        lost_wh = max(0, most_wh - used) if used * 100 < seen_wh * _TOLD_PERCENT else 0
        pairs.put(rise.still, end, used, used, used + lost_wh)
        if self._stood_us(rise) < self._rules(rise.still).frozen_s * _S:
            return
        pairs.gap(rise.still, end, "frozen")
        made = f"{used} Wh over the whole time: what it stood for came with the reading after"
        if lost_wh:
            made = f"{used} Wh, and up to {lost_wh} Wh that the register has not"
        pairs.tell("frozen", rise.still, end, for_s=self._stood_us(rise) // _S, made_of_it=made)

    def _stood_us(self, rise: Rise) -> int:
        at_us = self.pairs.reads.at_us
        return int(at_us[rise.before] - at_us[rise.still])

    def _stood(self, rise: Rise, open_end: bool = False) -> None:
        """The register stood and did not make up for it: at rest, or lost while power says otherwise."""
        pairs, seconds = self.pairs, self._stood_us(rise) // _S
        if rise.still == rise.before or (open_end and self._turned_round(rise)):
            return
        seen_wh, most_wh, who = self._elsewhere(rise.still, rise.before)
        if seconds >= self._rules(rise.still).frozen_s and seen_wh > max(
            2 * self.step_wh, self._rest_wh(rise)
        ):
            if pairs.denied("frozen", rise.still):
                pairs.tell("frozen", rise.still, rise.before, for_s=seconds, made_of_it="at rest")
                return
            pairs.put(rise.still, rise.before, 0, 0, most_wh)
            pairs.gap(rise.still, rise.before, "frozen")
            pairs.tell(
                "frozen", rise.still, rise.before, for_s=seconds,
                made_of_it=f"a gap of at most {most_wh} Wh: {who} {seen_wh} Wh, the register has none of it",
            )  # fmt: skip
        elif seconds >= self._rules(rise.still).still_s and not seen_wh:
            made = "at rest, as the register says; nothing else tells of its power"
            pairs.tell("still", rise.still, rise.before, for_s=seconds, made_of_it=made)

    def _rest_wh(self, rise: Rise) -> int:
        # A meter's own draw and noise of its current input: a thousandth of the most it was seen at.
        return self.plausible.most_wh(rise.before, self._stood_us(rise)) // 1000

    def _leaps(self, n: int, used: int, alone_mw: int) -> bool:
        """True for a rise that neither its neighbours nor the meter's power can explain."""
        pairs = self.pairs
        after = n + 1
        if after >= pairs.used.size and not self._told_mw(n):
            return alone_mw > self._rules(n).unknown_w * 1000  # the next reading will tell
        # A register that shows whole steps may have counted one more than it shows.
        beside = [
            self._mean_mw(int(pairs.used[m]) + 2 * self.step_wh, m, m + 1)
            for m in (n - 1, after)
            if 0 <= m < pairs.used.size and pairs.used[m] > 0
        ]
        support_mw = max(int(self.plausible.largest_mw(max(0, n - 3))), self._told_mw(n), *beside)
        if not support_mw:  # nothing is known of this meter
            return alone_mw > self._rules(n).unknown_w * 1000
        passed_us = int(pairs.reads.at_us[after] - pairs.reads.at_us[n])
        held = self._rules(n)
        least_wh = support_mw * (passed_us + held.jump_least_s * _S) // (3_600_000 * _S)
        return alone_mw > support_mw * held.jump_times and used > least_wh

    def _leap(self, n: int, used: int) -> None:
        pairs = self.pairs
        most_wh = self.plausible.most_wh(n, int(np.diff(pairs.reads.at_us[n : n + 2])[0]))
        if pairs.denied("jump", n):
            pairs.tell("jump", n, n + 1, register_wh=used, made_of_it=f"{used} Wh")
            return
        pairs.put(n, n + 1, 0, 0, most_wh)
        pairs.gap(n, n + 1, "jump")
        pairs.tell("jump", n, n + 1, register_wh=used, made_of_it=f"a gap of at most {most_wh} Wh")

    def _turned_round(self, rise: Rise) -> bool:
        """True if the import stood because the current ran backwards through the meter: export is import."""
        pairs, first, last = self.pairs, max(rise.still - 1, 0), min(rise.before + 1, self.pairs.used.size)
        back_wh = int(pairs.exported[rise.still : rise.before].sum())
        if self._stood_us(rise) < self._rules(rise.still).reversed_s * _S or back_wh <= 2 * self.step_wh:
            return False
        so_far_wh, given_wh = (int(c[: rise.still].sum()) for c in (pairs.used, pairs.exported))
        if so_far_wh <= 2 * self.step_wh:  # nothing read yet: the registers know what was before
            so_far_wh, given_wh = (int(c[rise.still]) for c in (pairs.reads.import_wh, pairs.reads.export_wh))
        if so_far_wh < self._rules(rise.still).reversed_import_times * max(given_wh, 1):
            return False
        if pairs.denied("reversed", rise.still):
            pairs.tell("reversed", rise.still, rise.before, export_wh=back_wh, made_of_it="export")
            return True
        whole = slice(first, last)
        turned = pairs.exported[whole].copy()
        confirmed = pairs.answer("reversed", rise.still) is not None
        pairs.used[whole] += turned
        pairs.high[whole] += turned
        if confirmed:
            pairs.low[whole] += turned
        pairs.exported[whole] = 0
        pairs.tell(
            "reversed", rise.still, rise.before, export_wh=int(turned.sum()),
            made_of_it=f"{int(turned.sum())} Wh of import",
        )  # fmt: skip
        return True

    def _lagging(self, found: list[Rise]) -> None:
        """One event for each row of catch-ups that follow each other."""
        if not found:
            return
        at_us = self.pairs.reads.at_us
        still, before = np.array(found, np.int64).T
        cuts = np.flatnonzero(still[1:] != before[:-1] + 1) + 1
        for row in np.split(np.arange(still.size), cuts):
            first, last = int(still[row[0]]), int(before[row[-1]]) + 1
            if row.size >= self._rules(first).lagging_times:
                every_s = int(at_us[last] - at_us[first]) // row.size // _S
                self.pairs.tell(
                    "lagging", first, last, times=row.size, every_s=every_s,
                    made_of_it="exact in sum; when within each step is not known",
                )  # fmt: skip
