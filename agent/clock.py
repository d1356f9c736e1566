"""The agent's time: the box's steady base, anchored to UTC; a jump of the wall clock does not move it.

Every instant the agent states is `base + anchor`, in microseconds since 1970 UTC (POSIX: days of 86,400 s). Time
zones and daylight saving do not exist here, and a leap second is a step of one second, which is slewed.

- **No anchor yet**: instants are the bare base, so they read as early 1970 and nobody can take them for dates.
  The records wait (`agent/held.py`) and are dated when there is an anchor. It is taken from the wall clock as
  soon as the kernel calls that synchronised, or a person vouches for it; without either only if it is
  plausible, and not before the box has been up for WAIT_US (a box that has had a time service: WAIT_SYNCED_US).
- **Anchored**: the wall clock is followed only while somebody vouches for it. Up to SLEW_LIMIT_US apart it is
  approached at SLEW_PPM; beyond that the anchor is taken anew, once, and the event `clock_step` says from when
  to when, by how much and on whose word. A step that nobody vouches for is told (`clock_not_followed`), not
  followed; `hashledger agent clock --take` is a person's word.
- **Which time was wrong?** If the old anchor was vouched for, a step forward means that the base stood still (a
  virtual machine frozen from outside): that time has passed unseen, and is a gap. If it was not, the readings
  before the step were dated wrong, and no time has passed (`Change.misdated`).
- **A restart** within the same boot goes on with the anchor in `clock.json`; another boot begins without one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.box_time import Box, Moment
from agent.identity import write_whole
from agent.wire import Event

# Who vouches for the time, as the envelope bears it.
KERNEL_SYNC = "kernel-sync"
OPERATOR = "operator"
HOLDOVER = "holdover"  # vouched for earlier in this boot; the base has carried it since
UNSYNCHRONISED = "unsynchronised"
SIMULATED = "simulated"

CLOCK_FILE = "clock.json"

# Before any agent existed; a box without a clock battery starts in 1970 or so.
EARLIEST_US = 1_577_836_800_000_000  # 2020-01-01
# A dead clock may also show the far future. Where nobody vouches for it: 2038, where 32 bits wrap, for a first
# start, and for a box with a past a year after its last batch: a farm that lay still for longer asks a person.
WRAP_US = (1 << 31) * 1_000_000
LONGEST_STILL_US = 366 * 86_400_000_000
FARTHEST_US = (1 << 32) * 1_000_000  # 2106; nobody's word is taken for more

# A time service answers within minutes of the network; a box that never had one need not wait for it longer.
WAIT_US = 900_000_000
# One that had: after a power cut the uplink may be down for hours, and the clock may have stood still.
WAIT_SYNCED_US = 86_400_000_000

# Larger than a leap second and than the steps of a daemon at work, small enough that what a slew adds to or
# takes from the energy of a device stays below 2 s of it (2 Wh at 3.6 kW); at the kernel's own rate.
SLEW_LIMIT_US = 2_000_000
SLEW_PPM = 500
# How far a quartz may run off in a box's heat while nobody disciplines it.
DRIFT_PPM = 100


def now_us() -> int:
    """Microseconds since 1970 UTC, as this box's wall clock tells it: for what is not evidence."""
    return time.time_ns() // 1000


class Stated(NamedTuple):
    """What an envelope says of the clock: on whose word, and the estimated error (None: nobody knows)."""

    source: str
    error_us: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a look has changed: the event that tells it, and by how much instants stated before are moved.

    `misdated`: what was dated before was wrong by `shift_us`; else that time has passed unseen.
    """

    event: Event
    shift_us: int = 0
    misdated: bool = False


class _Kept(msgspec.Struct, frozen=True):
    """`clock.json`: the anchor of one boot, and whether this box has ever had a time service."""

    boot: str
    base_us: int
    anchor_us: int | None
    vouched: bool
    synchronised_once: bool


@dataclass(frozen=True, slots=True)
class _Anchor:
    """UTC less base; from `since_us` of the base on it moves by `rest_us`, no faster than SLEW_PPM."""

    us: int
    since_us: int
    rest_us: int = 0

    def at(self, base_us: int) -> int:
        most_us = max(0, base_us - self.since_us) * SLEW_PPM // 1_000_000
        return self.us + max(-most_us, min(most_us, self.rest_us))


class Clock:
    """The agent's time; `now_us` at any moment, `look` once a sweep."""

    def __init__(self, box: Box, path: Path, newest_us: int | None, *, wait: bool = True) -> None:
        """`newest_us`: the last instant of an earlier session; `wait`: for a time service, after a start."""
        self._box, self._path, self._newest_us, self._wait = box, path, newest_us, wait
        self._anchor: _Anchor | None = None
        self._vouched_us: int | None = None  # base when somebody last vouched for the anchor
        self._synchronised_once = False
        self._told: str | None = None  # the source of which the last event spoke
        self._refused_us = 0  # the offset that was last told as not followed
        self.stated = Stated(UNSYNCHRONISED)
        self.wall_offset_us = 0  # the wall clock less this one, at the last look
        self._restore()

    @property
    def anchored(self) -> bool:
        """False while instants are the bare base."""
        return self._anchor is not None

    @property
    def boot(self) -> str:
        return self._box.boot

    @property
    def anchor_us(self) -> int:
        """What turns an instant of this boot's bare base into UTC; only once anchored."""
        assert self._anchor is not None
        return self._anchor.at(self._box.base_us())

    def now_us(self) -> int:
        """Microseconds UTC; the bare base while there is no anchor. Goes back in no case but a `look`."""
        return self._at(self._box.base_us())

    def look(self, by_hand: bool = False) -> Change | None:
        """Compare with the wall clock; `by_hand`: a person vouches for it. Returns what that changed."""
        moment = self._box.look()
        offset_us = moment.wall_us - self._at(moment.base_us)
        word = OPERATOR if by_hand else KERNEL_SYNC if moment.synchronised else None
        if not plausible(moment.wall_us, self._newest_us, vouched=word is not None):
            word = None
            if self._anchor is None:
                return None
        elif self._anchor is None:
            if word is None and moment.base_us < self._patience_us():
                return None
            return self._set(moment, word)
        self.wall_offset_us = offset_us
        if word is None:
            return self._carry(moment, offset_us)
        return self._follow(moment, offset_us, word)

    def _at(self, base_us: int) -> int:
        return base_us if self._anchor is None else base_us + self._anchor.at(base_us)

    def _patience_us(self) -> int:
        if not self._wait:
            return 0
        return WAIT_SYNCED_US if self._synchronised_once else WAIT_US

    def _set(self, moment: Moment, word: str | None) -> Change:
        anchor_us = moment.wall_us - moment.base_us
        self._take(moment, anchor_us, word)
        return Change(self._event(moment, "clock_set", moment.base_us), anchor_us, misdated=True)

    def _follow(self, moment: Moment, offset_us: int, word: str) -> Change | None:
        """Somebody vouches for the wall clock: slew towards it, or step."""
        assert self._anchor is not None
        before_us, was_vouched = self._at(moment.base_us), self._vouched_us is not None
        if abs(offset_us) <= SLEW_LIMIT_US:
            self._anchor = _Anchor(self._anchor.at(moment.base_us), moment.base_us, offset_us)
            self._vouch(moment, word, abs(offset_us))
            return self._tell_source(moment)
        self._take(moment, moment.wall_us - moment.base_us, word)
        misdated = not was_vouched or offset_us < 0
        return Change(self._event(moment, "clock_step", before_us, misdated), offset_us, misdated)

    def _carry(self, moment: Moment, offset_us: int) -> Change | None:
        """Nobody vouches for the wall clock: the base goes on, whatever the wall clock shows."""
        if self._vouched_us is None:
            self.stated = Stated(UNSYNCHRONISED)
        else:
            drift_us = (moment.base_us - self._vouched_us) * DRIFT_PPM // 1_000_000
            self.stated = Stated(HOLDOVER, drift_us)
        if abs(offset_us) <= SLEW_LIMIT_US:
            self._refused_us = 0
        elif abs(offset_us - self._refused_us) > SLEW_LIMIT_US:
            self._refused_us = offset_us
            return Change(self._event(moment, "clock_not_followed", self._at(moment.base_us)))
        return self._tell_source(moment)

    def _tell_source(self, moment: Moment) -> Change | None:
        if self.stated.source == self._told:
            return None
        return Change(self._event(moment, "clock_source", self._at(moment.base_us)))

    def _take(self, moment: Moment, anchor_us: int, word: str | None) -> None:
        self._anchor = _Anchor(anchor_us, moment.base_us)
        self.wall_offset_us = self._refused_us = 0
        if word is None:
            self._vouched_us, self.stated = None, Stated(UNSYNCHRONISED)
            self._keep(moment)
        else:
            self._vouch(moment, word, 0)

    def _vouch(self, moment: Moment, word: str, apart_us: int) -> None:
        self._vouched_us = moment.base_us
        error_us = None if word == OPERATOR else apart_us + (moment.error_us or 0)
        self.stated = Stated(word, error_us)
        if word != self._told:  # kept at each change of state; a slew is within the limit after a restart too
            self._synchronised_once = self._synchronised_once or word == KERNEL_SYNC
            self._keep(moment)

    def _event(self, moment: Moment, kind: str, before_us: int, misdated: bool = False) -> Event:
        self._told = self.stated.source
        error_us = self.stated.error_us
        detail = {
            "old_us": str(before_us), "new_us": str(moment.wall_us), "step_us": str(moment.wall_us - before_us),
            "source": self.stated.source, "error_us": "unknown" if error_us is None else str(error_us),
        }  # fmt: skip
        if kind == "clock_step":
            detail["before"] = "dated wrong" if misdated else "right; the box stood still"
        return Event(self._at(moment.base_us), kind, detail=detail)

    def _keep(self, moment: Moment) -> None:
        assert self._anchor is not None
        kept = _Kept(
            self.boot, moment.base_us, self._anchor.at(moment.base_us), self._vouched_us is not None,
            self._synchronised_once,
        )  # fmt: skip
        write_whole(self._path, msgspec.json.encode(kept))

    def _restore(self) -> None:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return  # a first start; or a file that says nothing: begin without an anchor
        self._synchronised_once = kept.synchronised_once
        base_us = self._box.base_us()
        # A base that is behind its own past is another one: a machine set back to a snapshot.
        if kept.boot == self.boot and kept.anchor_us is not None and base_us >= kept.base_us:
            self._anchor = _Anchor(kept.anchor_us, base_us)
            self._vouched_us = kept.base_us if kept.vouched else None
            self.stated = replace_source(kept.vouched)


def replace_source(vouched: bool) -> Stated:
    return Stated(HOLDOVER if vouched else UNSYNCHRONISED)


def plausible(wall_us: int, newest_us: int | None, *, vouched: bool) -> bool:
    """True for a wall clock that can be right; one that nobody vouches for must also fit the agent's past."""
    if vouched:
        return EARLIEST_US <= wall_us < FARTHEST_US
    if newest_us is None or newest_us < EARLIEST_US:
        return EARLIEST_US <= wall_us < WRAP_US
    return newest_us <= wall_us <= newest_us + LONGEST_STILL_US
