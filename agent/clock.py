"""The agent's time: the box's steady base, anchored to UTC; a jump of the wall clock does not move it.

Every instant the agent states is `base + anchor`, in microseconds since 1970 UTC (POSIX: days of 86,400 s).
Time zones and daylight saving do not exist here, and a leap second is a step of one second, which is
slewed.

- **No anchor yet**: instants are the bare base, so they read as early 1970 and nobody can take them for
  dates. Records wait in memory (`agent/intake.py`) and are dated when there is an anchor. It is taken from
  the wall clock as soon as the kernel calls that synchronised. Without that only if it is plausible, and
  after another boot not before the box has been up for WAIT_US (one that has had a time service:
  WAIT_SYNCED_US).
- **Anchored**: where the kernel vouches for the wall clock it is followed. Up to SLEW_LIMIT_US apart it is
  approached at SLEW_PPM; beyond that the anchor is taken anew, once, and the event `clock_step` says from
  when to when. Where it has vouched in this boot and does so no longer, a step is told
  (`clock_not_followed`) and not followed. Where it never has, the wall clock is all there is: a plausible
  step of it is taken for a correction.
- **Which time was wrong?** A step forward of a time that was vouched for means that the base stood still (a
  virtual machine frozen from outside): that time has passed unseen, and is a gap. Any other step means that
  what was dated since `since_us` was dated wrong and no time has passed (`misdated`): the ledger goes on
  from there without a gap and without a second of energy made or lost.
- **A restart** within the same boot goes on with the anchor in `clock.json`; another boot begins without
  one.

"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.box_time import Box, Moment
from agent.identity import write_whole
from agent.wire import EARLIEST_US, Event

# Who vouches for the time, as the envelope bears it.
KERNEL_SYNC = "kernel-sync"
HOLDOVER = "holdover"  # vouched for earlier in this boot; the base has carried it since
UNSYNCHRONISED = "unsynchronised"
SIMULATED = "simulated"

CLOCK_FILE = "clock.json"

# A dead clock may also show the far future. Where nobody vouches for it: 2038, where 32 bits wrap, for a
# first start, and for a box with a past a year after its last batch: a farm that lay still for longer needs a
# time service, or its spool begun anew.
WRAP_US = (1 << 31) * 1_000_000
LONGEST_STILL_US = 366 * 86_400_000_000
FARTHEST_US = (1 << 32) * 1_000_000  # 2106; nobody's word is taken for more

# After another boot the wall clock may have stood still with the box. A time service answers within minutes
# of the network; where there never was one, waiting longer changes nothing.
WAIT_US = 900_000_000
# After a power cut the uplink is down for longer than the box.
WAIT_SYNCED_US = 3_600_000_000

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
    """What is said of the clock: on whose word, and the estimated error (None: nobody knows)."""

    source: str
    error_us: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a look has changed: the event that tells it, and by how much instants stated before are moved."""

    event: Event
    shift_us: int = 0


class _Kept(msgspec.Struct, frozen=True):
    """`clock.json`: the anchor of one boot, and whether this box has ever had a time service."""

    boot: str
    base_us: int
    anchor_us: int
    since_us: int
    vouched: bool
    synchronised_once: bool


@dataclass(frozen=True, slots=True)
class _Anchor:
    """UTC less base; from `since_us` of the base on it moves by `rest_us`, no faster than SLEW_PPM."""

    us: int
    since_us: int
    rest_us: int = 0

    def at(self, base_us: int) -> int:
        if not self.rest_us:
            return self.us
        most_us = max(0, base_us - self.since_us) * SLEW_PPM // 1_000_000
        return self.us + max(-most_us, min(most_us, self.rest_us))


class Clock:
    """The agent's time; `now_us` at any moment, `look` once a sweep."""

    def __init__(self, box: Box, path: Path, newest_us: int | None = None) -> None:
        """`newest_us`: when the last batch of an earlier session was made."""
        self._box, self._path, self._newest_us = box, path, newest_us
        self._anchor: _Anchor | None = None
        self._since_us = 0  # from when on instants are dated by this anchor
        self._vouched_us: int | None = None  # base when somebody last vouched for the anchor
        self._synchronised_once = False
        self._patience_us = 0
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
    def offset_us(self) -> int | None:
        """UTC less this clock, as the wall clock tells it; None if nobody vouches for that."""
        return self.wall_offset_us if self.stated.source == KERNEL_SYNC else None

    def now_us(self) -> int:
        """Microseconds UTC; the bare base while there is no anchor. Goes back in no case but a `look`."""
        return self._at(self._box.base_us())

    def look(self) -> Change | None:
        """Compare with the wall clock; returns what that changed."""
        moment = self._box.look()
        if self._anchor is None:
            return self._set(moment) if self._may_set(moment) else None
        offset_us = self.wall_offset_us = moment.wall_us - self._at(moment.base_us)
        known_us = self._newest_us if self._vouched_us is None else None
        follow = moment.synchronised or self._vouched_us is None
        if not (follow and plausible(moment.wall_us, known_us, vouched=moment.synchronised)):
            return self._carry(moment, offset_us)
        if abs(offset_us) > SLEW_LIMIT_US:
            return self._step(moment, offset_us)
        self._anchor = _Anchor(self._anchor.at(moment.base_us), moment.base_us, offset_us)
        self._refused_us = 0
        self._state(moment, abs(offset_us))
        return self._tell_source(moment)

    def _at(self, base_us: int) -> int:
        return base_us if self._anchor is None else base_us + self._anchor.at(base_us)

    def _may_set(self, moment: Moment) -> bool:
        patient = moment.synchronised or moment.base_us >= self._patience_us
        return patient and plausible(moment.wall_us, self._newest_us, vouched=moment.synchronised)

    def _set(self, moment: Moment) -> Change:
        self._take(moment)
        return Change(self._event(moment, "clock_set", moment.base_us), moment.wall_us - moment.base_us)

    def _step(self, moment: Moment, offset_us: int) -> Change:
        before_us, since_us = self._at(moment.base_us), self._since_us
        stood_still = self._vouched_us is not None and offset_us > 0
        self._take(moment)
        more = {"since_us": str(since_us), "misdated": str(not stood_still).lower()}
        return Change(self._event(moment, "clock_step", before_us, more), 0 if stood_still else offset_us)

    def _carry(self, moment: Moment, offset_us: int) -> Change | None:
        """The wall clock is not followed: the base goes on, whatever that shows."""
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

    def _take(self, moment: Moment) -> None:
        self._anchor = _Anchor(moment.wall_us - moment.base_us, moment.base_us)
        self._since_us = moment.wall_us
        self.wall_offset_us = self._refused_us = 0
        self._state(moment, 0)
        self._keep(moment)

    def _state(self, moment: Moment, apart_us: int) -> None:
        if not moment.synchronised:
            self._vouched_us, self.stated = None, Stated(UNSYNCHRONISED)
            return
        fresh, self._vouched_us = self._vouched_us is None, moment.base_us
        self.stated = Stated(KERNEL_SYNC, apart_us + (moment.error_us or 0))
        self._synchronised_once = True
        if fresh:  # kept at each change of state; a slew is within the limit after a restart, too
            self._keep(moment)

    def _event(self, moment: Moment, kind: str, before_us: int, more: dict[str, str] | None = None) -> Event:
        self._told = self.stated.source
        error_us = self.stated.error_us
        detail = {
            "old_us": str(before_us), "new_us": str(moment.wall_us),
            "step_us": str(moment.wall_us - before_us),
            "source": self.stated.source, "error_us": "unknown" if error_us is None else str(error_us),
        }  # fmt: skip
        return Event(self._at(moment.base_us), kind, detail=detail | (more or {}))

    def _keep(self, moment: Moment) -> None:
        assert self._anchor is not None
        anchor_us, vouched = self._anchor.at(moment.base_us), self._vouched_us is not None
        kept = _Kept(
            self._box.boot, moment.base_us, anchor_us, self._since_us, vouched, self._synchronised_once
        )
        with contextlib.suppress(OSError):  # a full disk: after a restart the anchor is taken anew
            write_whole(self._path, [msgspec.json.encode(kept)])

    def _restore(self) -> None:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return  # a first start: somebody is here who sets the box up, so there is nothing to wait for
        self._synchronised_once = kept.synchronised_once
        base_us = self._box.base_us()
        # A base that is behind its own past is another one: a machine set back to a snapshot.
        if kept.boot == self._box.boot and base_us >= kept.base_us:
            self._anchor, self._since_us = _Anchor(kept.anchor_us, base_us), kept.since_us
            self._vouched_us = kept.base_us if kept.vouched else None
            self.stated = Stated(HOLDOVER if kept.vouched else UNSYNCHRONISED)
        else:
            self._patience_us = WAIT_SYNCED_US if kept.synchronised_once else WAIT_US


def plausible(wall_us: int, newest_us: int | None, *, vouched: bool) -> bool:
    """True for a wall clock that can be right; one that nobody vouches for must also fit the agent's past."""
    if vouched:
        return EARLIEST_US <= wall_us < FARTHEST_US
    if newest_us is None or newest_us < EARLIEST_US:
        return EARLIEST_US <= wall_us < WRAP_US
    return newest_us <= wall_us <= newest_us + LONGEST_STILL_US
