"""A device's life as pieces of one state each: what energy, uptime and every reading are computed from.

Only powered pieces are listed; between them the device is off and draws nothing. A device that is switched on
hashes at once (no start-up phase), and it comes up again with its counters at 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.readings import State
from agent.simulator.model import FOREVER_US, Device, EventKind, FarmPlan
from agent.simulator.power import STANDBY_W

# These change nothing about what the device itself does.
_UNFELT = (EventKind.STALL, EventKind.NETWORK_OUTAGE, EventKind.UPLINK_OUTAGE)


@dataclass(frozen=True, slots=True)
class Piece:
    """[start, end) in which a device has power, one address and one state."""

    start_us: int
    end_us: int
    state: State  # mining or sleeping
    address: str
    booted_us: int
    mined_us: int  # time spent hashing from the boot to `start_us`


def life(plan: FarmPlan, device: Device) -> tuple[Piece, ...]:
    """The powered pieces of a device from its installation on, in order."""
    pieces: list[Piece] = []
    address, booted_us, mined_us = device.address, device.installed_us, 0
    start_us = booted_us
    for event in plan.events:
        if event.mac != device.mac or event.kind in _UNFELT:
            continue
        pieces.append(Piece(start_us, event.start_us, State.MINING, address, booted_us, mined_us))
        if event.kind is EventKind.SWAP:
            return tuple(pieces)
        start_us = event.end_us
        if event.kind is EventKind.SLEEP:
            mined_us += event.start_us - pieces[-1].start_us
            pieces.append(Piece(event.start_us, start_us, State.SLEEPING, address, booted_us, mined_us))
        else:
            address, booted_us, mined_us = event.address or address, start_us, 0
    pieces.append(Piece(start_us, FOREVER_US, State.MINING, address, booted_us, mined_us))
    return tuple(pieces)


def within(pieces: tuple[Piece, ...], start_us: int, end_us: int) -> Iterator[tuple[Piece, int, int]]:
    """The pieces that overlap [start, end), each with the bounds of the overlap."""
    for piece in pieces:
        lower_us, upper_us = max(piece.start_us, start_us), min(piece.end_us, end_us)
        if lower_us < upper_us:
            yield piece, lower_us, upper_us


def energy_j(device: Device, pieces: tuple[Piece, ...], start_us: int, end_us: int) -> float:
    """What the device drew over [start, end)."""
    return sum(
        device.curve.energy_j(lower_us, upper_us)
        if piece.state is State.MINING
        else STANDBY_W * (upper_us - lower_us) / 1e6
        for piece, lower_us, upper_us in within(pieces, start_us, end_us)
    )


def powered_us(pieces: tuple[Piece, ...], start_us: int, end_us: int) -> int:
    """How long the device had power over [start, end), sleeping included."""
    return sum(upper_us - lower_us for _, lower_us, upper_us in within(pieces, start_us, end_us))


def mined_us(pieces: tuple[Piece, ...], start_us: int, end_us: int) -> int:
    """How long the device hashed over [start, end)."""
    return sum(
        upper_us - lower_us
        for piece, lower_us, upper_us in within(pieces, start_us, end_us)
        if piece.state is State.MINING
    )
