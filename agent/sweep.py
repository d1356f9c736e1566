"""One pass over all devices of a site, bounded, with a hard deadline for each; and its records."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from agent import wire
from agent.identity import Roster
from agent.miners import hardware
from agent.pools import PoolWatch
from agent.power import NO_RULES, PowerRules
from agent.readings import DeviceError, DeviceTimeout, Failure, FailureKind, Locked, Reading, shares
from agent.schedule import is_due, phases
from agent.states import StateWatch
from agent.wire import Event, FailedPoll, Inventory, Record, Sweep

# Identity, firmware and pools change rarely: read in full once in this time, and after every doubt.
FULL_EVERY_US = 30 * 60 * 1_000_000
# A device that hangs costs a place in the sweep for its whole deadline: from the third time on it is asked
# less often, but never less than this, or its return would make a gap. A refusal costs nothing: no pause.
COSTLY_S = 1.0
PATIENCE = 2
MAX_SLOW = 1000  # each holds a socket and some 15 KiB
LONGEST_PAUSE_S = 300.0
# No device takes as long to boot; from then on its API is closed, for whatever cause.
LONGEST_BOOT_S = 900.0
EARLY_S = 0.02  # a poll may begin so much before its moment: a timer each would cost as much as a part of it
LOOK_S = 0.1  # how late a poll may be ended: a hundredth of its deadline

_ORIGINS = {origin: number for number, origin in enumerate(wire.ORIGINS)}
_STATES = {state: number for number, state in enumerate(wire.STATES)}

T = TypeVar("T")
Cells = tuple[float | int | None, ...]

Poll = Callable[[str, str | None, bool], Awaitable[Reading]]  # (address, family, full)


@dataclass(slots=True)
class Target:
    """One address that is polled, and what the last poll left to know for the next."""

    address: str
    family: str | None = None
    full_us: int | None = None  # when it was last read in full; None: the next poll must be full
    uptime_s: int | None = None
    observed_us: int = 0
    pools: tuple[tuple[str, str], ...] = ()
    hung: int = 0  # costly failures in a row
    rebooting_s: float | None = None  # monotonic; since when every poll has found it so
    retry_s: float = 0.0  # monotonic; until then it is not asked
    last: Failure | None = None
    phases: tuple[float, float] = field(init=False, repr=False)  # in a sweep, and of its full polls

    def __post_init__(self) -> None:
        self.phases = phases(self.address)

    def redate(self, shift_us: int) -> None:
        """The clock was wrong by so much."""
        self.observed_us += shift_us
        if self.full_us is not None:
            self.full_us += shift_us

    def changed(self, reading: Reading) -> bool:
        """True if the device may be another than before, or pays somewhere else: it wants a full reading."""
        return self.restarted(reading) or (bool(reading.pools) and self.pools != _pools(reading))

    def restarted(self, reading: Reading) -> bool:
        """True unless the device has plainly run on since the last reading: it may be another one."""
        if self.uptime_s is None or reading.uptime_s is None:
            return self.uptime_s != reading.uptime_s
        elapsed_s = (reading.observed_us - self.observed_us) / 1e6
        # Half: firmwares count uptime in steps of up to a minute, and clocks drift.
        return reading.uptime_s < self.uptime_s + 0.5 * elapsed_s - 60


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What one poll brought; `full`: the reading tells identity, pools and firmware."""

    address: str
    result: Reading | Failure
    full: bool = True
    took_s: float = 0.0  # 0: not asked


def _pools(reading: Reading) -> tuple[tuple[str, str], ...]:
    return tuple((pool.url, pool.user) for pool in reading.pools)


async def sweep(
    targets: Sequence[Target],
    poll: Poll,
    now_us: Callable[[], int],
    *,
    concurrency: int,
    deadline_s: float,
    spread_s: float = 0.0,
    done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Poll every target once, `concurrency` at a time, each within `deadline_s`; never raises for one.

    The polls begin over `spread_s`, each device always at the same moment of it. One that takes longer than
    COSTLY_S leaves its place to the next, MAX_SLOW at most: the hung ones of a large site would else fill all
    places for one deadline after another.
    """
    queue = iter(sorted(targets, key=_place) if spread_s else targets)
    began_s = time.monotonic()
    outcomes: list[Outcome] = []
    polling: set[Deadline] = set()

    async def work() -> None:
        polling.add(deadline := Deadline(deadline_s))
        for target in queue:
            early_s = spread_s and began_s + target.phases[0] * spread_s - time.monotonic()
            if early_s > EARLY_S:
                await asyncio.sleep(early_s)
            outcome = await poll_one(target, poll, now_us, deadline)
            outcomes.append(outcome)
            if done is not None:
                done(outcome)
            if deadline.left_its_place:
                break
        polling.remove(deadline)

    group = asyncio.TaskGroup()
    watcher = asyncio.create_task(_watch(polling, lambda: group.create_task(work())))
    try:
        async with group:
            for _ in range(min(concurrency, len(targets))):
                group.create_task(work())
    finally:
        watcher.cancel()
    return outcomes


def _place(target: Target) -> float:
    return target.phases[0]


class Deadline:
    """The end of whatever poll a task is at; one look over all, where a timer each cost its setting."""

    __slots__ = ("_late", "_seconds", "_task", "_until_s", "left_its_place")

    def __init__(self, seconds: float) -> None:
        self._task = asyncio.current_task()
        self._seconds, self._until_s, self._late = seconds, math.inf, False
        self.left_its_place = False

    async def hold(self, poll: Awaitable[T]) -> T:
        """What is awaited; DeviceTimeout where it takes too long."""
        assert self._task is not None
        self._until_s = time.monotonic() + self._seconds
        try:
            return await poll
        except asyncio.CancelledError:
            if self._late and self._task.cancelling() == 1:  # nobody else wants the task to end
                raise DeviceTimeout(f"no whole answer within {self._seconds:g} s") from None
            raise
        finally:
            self._until_s = math.inf
            if self._late:
                self._late = False
                self._task.uncancel()

    def is_slow(self, now_s: float) -> bool:
        """True where the poll has been under way for COSTLY_S."""
        return self._until_s - self._seconds + COSTLY_S <= now_s

    def look(self, now_s: float) -> None:
        """End the poll if its time is over."""
        assert self._task is not None
        if self._until_s <= now_s:
            self._until_s, self._late = math.inf, True
            self._task.cancel()


async def _watch(polling: set[Deadline], replace: Callable[[], object]) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        now_s = time.monotonic()
        slow = sum(deadline.left_its_place for deadline in polling)
        for deadline in tuple(polling):
            if slow < MAX_SLOW and not deadline.left_its_place and deadline.is_slow(now_s):
                deadline.left_its_place = True
                slow += 1
                replace()
            deadline.look(now_s)


async def poll_one(target: Target, poll: Poll, now_us: Callable[[], int], deadline: Deadline) -> Outcome:
    """One device: a short reading, or a full one when it is due or the device may be another than before."""
    began_s = time.monotonic()
    if began_s < target.retry_s and target.last is not None:
        detail = f"not asked until it has had time; last: {target.last.detail}"
        return Outcome(target.address, Failure(now_us(), target.last.kind, detail))
    try:
        reading, full = await deadline.hold(_read(target, poll, now_us))
    except DeviceError as error:
        return _failed(target, now_us(), error, began_s)
    # A driver dates by the wall clock; the agent's own steps in no case between two looks.
    reading = msgspec.structs.replace(reading, observed_us=now_us())
    target.hung, target.last, target.rebooting_s = 0, None, None
    target.pools = _pools(reading) or target.pools
    target.family = reading.family
    target.uptime_s = reading.uptime_s
    target.observed_us = reading.observed_us
    if full:
        target.full_us = reading.observed_us
    return Outcome(target.address, reading, full, time.monotonic() - began_s)


async def _read(target: Target, poll: Poll, now_us: Callable[[], int]) -> tuple[Reading, bool]:
    """The reading, and whether it is a full one."""
    if is_due(target.full_us, now_us(), FULL_EVERY_US, target.phases[1]):
        return await poll(target.address, target.family, True), True
    reading = await poll(target.address, target.family, False)
    if target.changed(reading):
        return await poll(target.address, target.family, True), True
    return reading, False


def _failed(target: Target, observed_us: int, error: DeviceError, began_s: float) -> Outcome:
    now_s = time.monotonic()
    target.full_us = None
    if error.kind is not FailureKind.REBOOTING:
        target.rebooting_s = None
    elif target.rebooting_s is None:
        target.rebooting_s = now_s
    elif (passed_s := now_s - target.rebooting_s) > LONGEST_BOOT_S:
        cause = "its API is switched off or its mining program does not come up"
        error = Locked(f"{error}; for {passed_s / 60:.0f} minutes: {cause}")
    target.last = Failure(observed_us, error.kind, str(error))
    if error.kind in (FailureKind.PROTOCOL, FailureKind.UNSUPPORTED):
        target.family = None  # another firmware may run there now
    target.hung = target.hung + 1 if now_s - began_s >= COSTLY_S else 0
    if target.hung > PATIENCE:
        target.retry_s = now_s + min(30.0 * 2 ** (target.hung - PATIENCE - 1), LONGEST_PAUSE_S)
    return Outcome(target.address, target.last, took_s=now_s - began_s)


def records(
    started_us: int,
    interval_s: int,
    outcomes: list[Outcome],
    roster: Roster,
    power: PowerRules = NO_RULES,
    pools: PoolWatch | None = None,
    states: StateWatch | None = None,
    known: Callable[[Outcome, bytes], object] = lambda _outcome, _device: None,
) -> tuple[list[Record], Sweep]:
    """The records that a sweep's outcomes make, changes first and the sweep last; and the sweep.

    Takes the outcomes out of their list: ten thousand full readings are 25 MiB, and what is made of them is
    as much again. `known` hears of each outcome with its device (empty where none is known).
    """
    claimed = roster.claims(
        (outcome.address, outcome.result if outcome.full else None)
        for outcome in outcomes
        if isinstance(outcome.result, Reading)
    )
    changes: list[Inventory | Event] = []
    devices: list[bytes] = []
    cells: list[Cells] = []
    failures: list[FailedPoll] = []
    outcomes.reverse()
    while outcomes:
        outcome = outcomes.pop()
        result = outcome.result
        if isinstance(result, Failure):
            device = roster.at.get(outcome.address, b"")
            delay_ms = (result.observed_us - started_us) // 1000
            if states is not None and device:
                changes += states.take(device, result.observed_us, result.kind, result.detail)
            failures.append(FailedPoll(device, outcome.address, delay_ms, result.kind, result.detail))
            known(outcome, device)
            continue
        if outcome.full:
            device, news = roster.observe(outcome.address, result, hardware.find(result.model), claimed)
            changes += news
        elif (bound := roster.at.get(outcome.address)) is not None and claimed[bound] == outcome.address:
            device = bound
        else:  # its device has just turned up at another address: who this is, the next full reading tells
            text = "not told apart from the device that was here; read in full next time"
            failures.append(FailedPoll(b"", outcome.address, 0, FailureKind.PROTOCOL, text))
            known(outcome, b"")
            continue
        if states is not None:
            changes += states.take(device, result.observed_us, result.state)
        devices.append(device)
        settled = power.settle(result, roster.get(device)) if power is not NO_RULES else result
        cells.append(_cells(settled, started_us))
        known(outcome, device)
    changes += roster.settle()
    if pools is not None:
        changes += [e for one in changes if isinstance(one, Inventory) for e in pools.take(one)]
    columns = zip(*cells, strict=True) if cells else ((),) * len(wire.COLUMNS)
    swept = Sweep(
        started_us=started_us,
        interval_s=interval_s,
        devices=b"".join(devices),
        columns={name: wire.column(name, told) for name, told in zip(wire.COLUMNS, columns, strict=True)},
        failures=failures,
    )
    return [*changes, swept], swept


def _cells(reading: Reading, started_us: int) -> Cells:
    """What a reading puts into the wire's columns, in their order."""
    count = shares(reading.pools)
    return (
        (reading.observed_us - started_us) // 1000,
        reading.hashrate_hs,
        reading.power_w,
        _ORIGINS[reading.power_origin],
        _STATES[reading.state],
        reading.uptime_s,
        max(reading.chip_temps_c, default=None),
        min(reading.fans_rpm, default=None),
        count.accepted,
        count.rejected,
    )
