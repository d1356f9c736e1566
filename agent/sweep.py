"""One pass over all devices of a site, bounded, with a hard deadline for each; and its records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from agent import wire
from agent.identity import Roster
from agent.miners import hardware
from agent.readings import DeviceError, DeviceTimeout, Failure, FailureKind, Reading
from agent.wire import Event, FailedPoll, Inventory, Record, Sweep

# Identity, firmware and pools change rarely: read in full once in this time, and after every doubt.
FULL_EVERY_US = 30 * 60 * 1_000_000

Poll = Callable[[str, str | None, bool], Awaitable[Reading]]  # (address, family, full)


@dataclass(slots=True)
class Target:
    """One address that is polled, and what the last poll left to know for the next."""

    address: str
    family: str | None = None
    full_us: int | None = None  # when it was last read in full; None: the next poll must be full
    uptime_s: int | None = None
    observed_us: int = 0

    def restarted(self, reading: Reading) -> bool:
        """True unless the device has plainly run on since the last reading: it may be another one."""
        if self.uptime_s is None or reading.uptime_s is None:
            return self.uptime_s != reading.uptime_s
        elapsed_s = (reading.observed_us - self.observed_us) / 1e6
        # Half: firmwares count uptime in steps of up to a minute, and clocks drift.
        return reading.uptime_s < self.uptime_s + 0.5 * elapsed_s - 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one poll brought; `full`: the reading tells identity, pools and firmware."""

    address: str
    result: Reading | Failure
    full: bool = True


async def sweep(
    targets: Sequence[Target],
    poll: Poll,
    now_us: Callable[[], int],
    *,
    concurrency: int,
    deadline_s: float,
    done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Poll every target once, `concurrency` at a time, each within `deadline_s`; never raises for one."""
    queue = iter(targets)
    outcomes: list[Outcome] = []

    async def work() -> None:
        for target in queue:
            outcome = await poll_one(target, poll, now_us, deadline_s)
            outcomes.append(outcome)
            if done is not None:
                done(outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(targets))):
            group.create_task(work())
    return outcomes


async def poll_one(target: Target, poll: Poll, now_us: Callable[[], int], deadline_s: float) -> Outcome:
    """One device: a short reading, or a full one when it is due or the device may be another than before."""
    full = target.full_us is None or now_us() - target.full_us >= FULL_EVERY_US
    try:
        async with asyncio.timeout(deadline_s):
            reading = await poll(target.address, target.family, full)
            if not full and target.restarted(reading):
                full = True
                reading = await poll(target.address, target.family, True)
    except TimeoutError:
        failure = DeviceTimeout(f"no whole answer within {deadline_s:g} s")
        return _failed(target, now_us(), failure)
    except DeviceError as error:
        return _failed(target, now_us(), error)
    target.family = reading.family
    target.uptime_s = reading.uptime_s
    target.observed_us = reading.observed_us
    if full:
        target.full_us = reading.observed_us
    return Outcome(target.address, reading, full)


def _failed(target: Target, observed_us: int, error: DeviceError) -> Outcome:
    target.full_us = None
    return Outcome(target.address, Failure(observed_us, error.kind, str(error)))


def records(
    started_us: int, interval_s: int, outcomes: Iterable[Outcome], roster: Roster
) -> tuple[list[Record], Sweep]:
    """The records that a sweep's outcomes make, changes first and the sweep last; and the sweep."""
    claimed: dict[bytes, str] = {}
    changes: list[Inventory | Event] = []
    readings: list[tuple[bytes, Reading]] = []
    failures: list[FailedPoll] = []
    for outcome in outcomes:
        result = outcome.result
        if isinstance(result, Failure):
            device = roster.at.get(outcome.address, b"")
            delay_ms = (result.observed_us - started_us) // 1000
            failures.append(FailedPoll(device, outcome.address, delay_ms, result.kind, result.detail))
            continue
        if outcome.full:
            device, news = roster.observe(outcome.address, result, hardware.find(result.model), claimed)
            changes += news
        elif (bound := roster.at.get(outcome.address)) is not None:
            device = bound
            claimed.setdefault(device, outcome.address)
        else:  # its device has just turned up at another address: who this is, the next full reading tells
            text = "not told apart from the device that was here; read in full next time"
            failures.append(FailedPoll(b"", outcome.address, 0, FailureKind.PROTOCOL, text))
            continue
        readings.append((device, result))
    changes += roster.settle()
    swept = columns(started_us, interval_s, readings, failures)
    return [*changes, swept], swept


def columns(
    started_us: int,
    interval_s: int,
    readings: Sequence[tuple[bytes, Reading]],
    failures: list[FailedPoll],
) -> Sweep:
    """Readings as the wire's columns."""
    rows = [reading for _, reading in readings]
    shares = [_shares(reading) for reading in rows]
    cells: dict[str, Sequence[float | int | None]] = {
        "delay_ms": [(r.observed_us - started_us) // 1000 for r in rows],
        "hashrate_mhs": [r.hashrate_hs for r in rows],
        "power_mw": [r.power_w for r in rows],
        "origin": [wire.ORIGINS.index(r.power_origin) for r in rows],
        "state": [wire.STATES.index(r.state) for r in rows],
        "uptime_s": [r.uptime_s for r in rows],
        "chip_temp_dc": [max(r.chip_temps_c, default=None) for r in rows],
        "fan_rpm": [min(r.fans_rpm, default=None) for r in rows],
        "accepted": [accepted for accepted, _ in shares],
        "rejected": [rejected for _, rejected in shares],
    }
    return Sweep(
        started_us=started_us,
        interval_s=interval_s,
        devices=b"".join(device for device, _ in readings),
        columns={name: wire.column(name, cells[name]) for name in wire.COLUMNS},
        failures=failures,
    )


def _shares(reading: Reading) -> tuple[int | None, int | None]:
    accepted = [pool.accepted for pool in reading.pools if pool.accepted is not None]
    rejected = [pool.rejected for pool in reading.pools if pool.rejected is not None]
    return sum(accepted) if accepted else None, sum(rejected) if rejected else None
