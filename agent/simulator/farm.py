"""`Farm`: who is where at an instant, and the reading that a poll of an address would give.

A month of a demo asks for millions of readings, so everything constant is computed once: an address has its
timeline as sorted spans, and a span carries either a failure or the device's constants.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from agent.readings import Failure, FailureKind, Pool, PowerOrigin, Reading, State
from agent.simulator.life import Piece, life
from agent.simulator.model import FOREVER_US, Device, EventKind, FarmPlan
from agent.simulator.power import STANDBY_W
from agent.simulator.wires import WIRES, Wire

# Pools aim at a steady trickle of shares whatever a device's hashrate is (variable difficulty).
SHARE_EVERY_US = 12_000_000
REJECTED_OF = 500  # one share in so many is rejected
STALE_OF = 4000
CHIP_ABOVE_BOARD_C = 14
# Boards warm and cool with the power: one degree for each per cent, and to about 25 degrees asleep.
SLEEPING_HEAT_C = -35
SLEEPING_FAN_RPM = 1080


class Snapshot(NamedTuple):
    """A device at one instant, in the units and steps of its family's wire."""

    observed_us: int
    state: State
    power_w: float
    hashrate: float  # in the wire's unit, with its decimals
    uptime_s: int
    accepted: int
    heat_c: int
    address: str


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) of one address's timeline: `piece` of `face`'s device, reached or failing."""

    start_us: int
    end_us: int
    face: _Face
    piece: Piece
    failure: FailureKind | None
    detail: str

    @property
    def device(self) -> Device:
        """Whose span it is."""
        return self.face.device

    def snapshot(self, t_us: int) -> Snapshot:
        """The device at an instant of the span."""
        return self.face.snapshot(self.piece, t_us)


class _Face:
    """The constants of one device, ready for `reading`."""

    def __init__(self, device: Device) -> None:
        model, wire = device.model, WIRES[device.model.family]
        self.device = device
        self.power_w = device.curve.power_w
        self.nameplate_w = model.nameplate_w
        self.hashrate_per_w = model.nameplate_hs / model.nameplate_w / wire.hashrate_unit_hs
        self.unit_hs, self.decimals = wire.hashrate_unit_hs, wire.decimals
        self.whole_watts = wire.whole_watts
        self.window, self.unknown = wire.hashrate_window, wire.unknown
        self.origin = PowerOrigin.PSU_MEASURED if model.metered else wire.power_origin
        self.hostname = device.hostname if wire.tells_hostname else None
        self.board_serials = device.board_serials if wire.tells_board_serials else ()
        self.psu_serial = psu_serial(device) if wire.tells_psu_serial else None
        self.tells_shares, self.tells_stale = wire.tells_shares, wire.tells_stale
        self.boards_hashing = model.boards if wire.tells_boards else None
        self.boards_resting = 0 if wire.tells_boards else None
        self.chips = model.boards * model.chips_per_board if wire.tells_chips else None
        self.temps_c = {heat_c: _temps_c(device, wire, heat_c) for heat_c in (SLEEPING_HEAT_C, *range(-6, 7))}
        self.sleeping_rpm = (SLEEPING_FAN_RPM,) * len(model.fans_rpm)
        first, second = device.pools
        self.pool = (first.url, first.user)
        none = 0 if wire.tells_shares else None
        self.backup = Pool(second.url, second.user, False, 1, none, none, 0 if wire.tells_stale else None)

    def snapshot(self, piece: Piece, t_us: int) -> Snapshot:
        """The device at an instant of `piece`."""
        uptime_s = (t_us - piece.booted_us) // 1_000_000
        if piece.state is not State.MINING:
            accepted = piece.mined_us // SHARE_EVERY_US
            return Snapshot(
                t_us, piece.state, STANDBY_W, 0.0, uptime_s, accepted, SLEEPING_HEAT_C, piece.address
            )
        power_w = self.power_w(t_us)
        return Snapshot(
            t_us,
            State.MINING,
            round(power_w) if self.whole_watts else power_w,
            round(power_w * self.hashrate_per_w, self.decimals),
            uptime_s,
            (piece.mined_us + t_us - piece.start_us) // SHARE_EVERY_US,
            round((power_w / self.nameplate_w - 1) * 100),
            piece.address,
        )

    def reading(self, piece: Piece, t_us: int) -> Reading:
        """What a poll at an instant of `piece` would tell."""
        now = self.snapshot(piece, t_us)
        device, model, mining = self.device, self.device.model, now.state is State.MINING
        accepted = now.accepted
        stale = accepted // STALE_OF if self.tells_stale else None
        shares = (accepted, accepted // REJECTED_OF, stale) if self.tells_shares else (None, None, None)
        pool = Pool(*self.pool, mining, 0, *shares)
        board_temps_c, chip_temps_c = self.temps_c[now.heat_c]
        return Reading(  # by position, in the order of the class: half the time of keywords
            t_us,
            model.family,
            now.hashrate * self.unit_hs,
            self.window,
            now.power_w,
            self.origin,
            model.make,
            model.name,
            model.firmware,
            device.mac,
            device.serial,
            self.hostname,
            now.uptime_s,
            now.state,
            board_temps_c,
            chip_temps_c,
            model.fans_rpm if mining else self.sleeping_rpm,
            (pool, self.backup),
            self.board_serials,
            self.psu_serial,
            model.boards,
            self.boards_hashing if mining else self.boards_resting,
            self.chips,
            self.unknown,
        )


def _temps_c(device: Device, wire: Wire, heat_c: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    boards = tuple(float(temp_c + heat_c) for temp_c in device.board_temps_c)
    chips = tuple(temp_c + CHIP_ABOVE_BOARD_C for temp_c in boards)
    return boards if wire.tells_board_temps else (), chips if wire.tells_chip_temps else ()


def psu_serial(device: Device) -> str | None:
    """The serial of the supply, which is known with the unit's."""
    return f"SYNP{device.serial[4:]}" if device.serial else None


class Farm:
    """The devices of a plan in time; a pure function of it, holding nothing but caches."""

    def __init__(self, plan: FarmPlan) -> None:
        self.plan = plan
        self.devices = plan.devices
        timelines: dict[str, list[Span]] = defaultdict(list)
        for device in plan.devices:
            for span in _spans(plan, device):
                timelines[span.piece.address].append(span)
        for spans in timelines.values():
            spans.sort(key=lambda span: span.start_us)
        self._timelines = {
            address: ([span.start_us for span in spans], spans) for address, spans in timelines.items()
        }
        by_site: dict[str, list[str]] = {site.name: [] for site in plan.sites}
        for address, spans in timelines.items():
            by_site[spans[0].device.site].append(address)
        self._addresses = {name: _sorted(found) for name, found in by_site.items()}
        edges_us = {t for spans in timelines.values() for span in spans for t in (span.start_us, span.end_us)}
        self._changes_us = sorted(edges_us)

    def span(self, address: str, t_us: int) -> Span | None:
        """The span of an address at an instant; None where no powered device has it."""
        timeline = self._timelines.get(address)
        if timeline is None:
            return None
        starts_us, spans = timeline
        index = bisect_right(starts_us, t_us) - 1
        if index < 0 or t_us >= spans[index].end_us:
            return None
        return spans[index]

    def device_at(self, site: str, address: str, t_us: int) -> Device | None:
        """The powered device that has an address of a site at an instant, reached or not."""
        span = self.span(address, t_us)
        return span.device if span is not None and span.device.site == site else None

    def steady(self, t_us: int) -> tuple[int, int]:
        """[start, end) around an instant in which nothing changes: no device comes, goes or falls silent."""
        index = bisect_right(self._changes_us, t_us)
        start_us = self._changes_us[index - 1] if index else -FOREVER_US
        return start_us, self._changes_us[index] if index < len(self._changes_us) else FOREVER_US

    def addresses(self, site: str, t_us: int) -> tuple[str, ...]:
        """The addresses of a site that a powered device has at an instant, reached or not."""
        return tuple(address for address in self._addresses[site] if self.span(address, t_us) is not None)

    def all_addresses(self, site: str) -> tuple[str, ...]:
        """The addresses of a site that any device ever has, in numeric order."""
        return self._addresses[site]

    def reading_at(self, address: str, t_us: int) -> Reading | Failure:
        """What a poll of an address at an instant gives."""
        span = self.span(address, t_us)
        if span is None:
            return Failure(t_us, FailureKind.UNREACHABLE, "no device at this address")
        if span.failure is not None:
            return Failure(t_us, span.failure, span.detail)
        return span.face.reading(span.piece, t_us)


def in_order(address: str) -> tuple[int, ...]:
    """The key that sorts addresses as numbers."""
    return tuple(map(int, address.split(".")))


def _sorted(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(addresses, key=in_order))


def _spans(plan: FarmPlan, device: Device) -> Iterator[Span]:
    """A device's powered pieces, cut where it cannot be reached or does not answer."""
    face = _Face(device)
    deaf = [
        (event.start_us, event.end_us, *_FAILING[event.kind])
        for event in plan.events
        if (event.kind is EventKind.STALL and event.mac == device.mac)
        or (event.kind is EventKind.NETWORK_OUTAGE and event.site == device.site)
    ]
    for piece in life(plan, device):
        cursor_us = piece.start_us
        for start_us, end_us, failure, detail in deaf:  # in order, and never overlapping
            start_us, end_us = max(start_us, cursor_us), min(end_us, piece.end_us)
            if start_us >= end_us:
                continue
            if cursor_us < start_us:
                yield Span(cursor_us, start_us, face, piece, None, "")
            yield Span(start_us, end_us, face, piece, failure, detail)
            cursor_us = end_us
        if cursor_us < piece.end_us:
            yield Span(cursor_us, piece.end_us, face, piece, None, "")


_FAILING = {
    EventKind.STALL: (FailureKind.TIMEOUT, "connected, no reply"),
    EventKind.NETWORK_OUTAGE: (FailureKind.UNREACHABLE, "no route to the site's network"),
}
