"""The fold's state, read from the ledger's tables and written to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from agent import wire
from collector import journal
from collector.journal import Position
from collector.ledger.energy import HALF_HOUR_US, ORIGIN_NAMES, HalfHour, Integral
from collector.ledger.fold import Changes, Fold, Stream
from collector.ledger.registry import FIELDS, Device
from collector.store import Store, schema, upsert

# Rows wait in memory until the commit; this many batches keep a replay's memory low and its commits rare.
REPLAY_BATCHES = 500

_INTEGRAL_COLUMNS = (
    "last_us", "power_mw", "origin", "hashrate_mhs", "first_failure_us", "ended_us", "largest_mw",
    "nameplate_mw", "gap_wh", "gap_spare",
)  # fmt: skip


def load(connection: Connection, org: str) -> Fold:
    """The fold as the ledger's checkpoint left it."""
    fold = Fold(org)
    point = connection.execute(select(schema.checkpoint).where(schema.checkpoint.c.org == org)).one_or_none()
    if point is not None:
        fold.position = Position(point.segment, point.offset)
    for row in connection.execute(select(schema.stream).where(schema.stream.c.org == org)):
        fold.streams[row.site, row.agent] = Stream(
            row.last_seq, row.last_hash, row.session, row.last_created_us, row.last_received_us,
            row.clock_offset_us,
        )  # fmt: skip
    query = select(schema.device, schema.fold_state).join(
        schema.fold_state,
        (schema.device.c.org == schema.fold_state.c.org)
        & (schema.device.c.site == schema.fold_state.c.site)
        & (schema.device.c.device == schema.fold_state.c.device),
    )
    for known in connection.execute(query.where(schema.device.c.org == org)).mappings():
        device = Device(
            known["site"], known["device"], known["first_seen_us"], known["last_seen_us"], known["synthetic"],
            {name: known[name] for name in FIELDS},
            _load_integral(known), known["state"], known["cause"], known["skipped"],
        )  # fmt: skip
        fold.devices[device.site, UUID(device.id).bytes] = device
    _load_open_rows(connection, fold)
    return fold


def _load_integral(row: Any) -> Integral:
    integral = Integral()
    for name in _INTEGRAL_COLUMNS:
        setattr(integral, name, row[name])
    integral.totals = {ORIGIN_NAMES.index(name): list(total) for name, total in row["totals"].items()}
    return integral


def _load_open_rows(connection: Connection, fold: Fold) -> None:
    # Only the half-hour of a device's last reading can still grow.
    open_rows: dict[tuple[str, str, int], HalfHour] = {}
    starts: set[int] = set()
    for device in fold.devices.values():
        if device.integral.last_us is not None:
            start_us = device.integral.last_us - device.integral.last_us % HALF_HOUR_US
            device.integral.row = open_rows[device.site, device.id, start_us] = HalfHour(start_us)
            starts.add(start_us)
    for start_us in starts:
        for row in connection.execute(_of_half_hour(schema.interval, fold.org, start_us)):
            half_hour = open_rows.get((row.site, row.device, start_us))
            if half_hour is not None:
                half_hour.low_wh, half_hour.high_wh = row.energy_low_wh, row.energy_high_wh
                half_hour.gap_us, half_hour.samples = row.gap_us, row.samples
                half_hour.hashes, half_hour.hashrate_us = row.hashes, row.hashrate_us
        for row in connection.execute(_of_half_hour(schema.energy, fold.org, start_us)):
            half_hour = open_rows.get((row.site, row.device, start_us))
            if half_hour is not None:
                half_hour.by_origin[ORIGIN_NAMES.index(row.origin)] = [row.energy_wh, row.covered_us]


def _of_half_hour(table: Any, org: str, start_us: int) -> Any:
    return select(table).where(table.c.org == org, table.c.start_us == start_us)


def write(connection: Connection, fold: Fold) -> None:
    """Everything that changed, with the checkpoint, into the caller's transaction."""
    changes, org = fold.changes, fold.org
    upsert(connection, schema.stream, (_stream_row(fold, key) for key in sorted(changes.streams)))
    upsert(connection, schema.batch, changes.batches)
    upsert(connection, schema.inventory, changes.inventories)
    upsert(connection, schema.event, changes.events)
    intervals: list[dict[str, Any]] = []
    energies: list[dict[str, Any]] = []
    for device in changes.devices.values():
        key = {"org": org, "site": device.site, "device": device.id}
        for half_hour in device.integral.take_changed():
            intervals.append(key | _interval_columns(half_hour))
            energies += [
                key
                | {"start_us": half_hour.start_us, "origin": ORIGIN_NAMES[origin]}
                | {"energy_wh": energy_wh, "covered_us": covered_us}
                for origin, (energy_wh, covered_us) in half_hour.by_origin.items()
            ]
    upsert(connection, schema.device, (_device_row(org, device) for device in changes.devices.values()))
    upsert(connection, schema.fold_state, (_state_row(org, device) for device in changes.devices.values()))
    upsert(connection, schema.interval, intervals)
    upsert(connection, schema.energy, energies)
    point = {"org": org, "segment": fold.position.segment, "offset": fold.position.offset}
    upsert(connection, schema.checkpoint, [point])
    fold.changes = Changes()


def _stream_row(fold: Fold, key: tuple[str, str]) -> dict[str, Any]:
    stream = fold.streams[key]
    return {
        "org": fold.org, "site": key[0], "agent": key[1],
        "last_seq": stream.last_seq, "last_hash": stream.last_hash, "session": stream.session,
        "last_created_us": stream.last_created_us, "last_received_us": stream.last_received_us,
        "clock_offset_us": stream.clock_offset_us,
    }  # fmt: skip


def _device_row(org: str, device: Device) -> dict[str, Any]:
    return {
        "org": org, "site": device.site, "device": device.id, "synthetic": device.synthetic,
        "first_seen_us": device.first_seen_us, "last_seen_us": device.last_seen_us,
    } | device.register  # fmt: skip


def _state_row(org: str, device: Device) -> dict[str, Any]:
    integral = device.integral
    return {
        "org": org, "site": device.site, "device": device.id, "skipped": device.skipped,
        "state": device.state, "cause": device.cause,
        "totals": {ORIGIN_NAMES[origin]: total for origin, total in sorted(integral.totals.items())},
    } | {name: getattr(integral, name) for name in _INTEGRAL_COLUMNS}  # fmt: skip


def _interval_columns(half_hour: HalfHour) -> dict[str, Any]:
    return {
        "start_us": half_hour.start_us,
        "energy_low_wh": half_hour.low_wh, "energy_high_wh": half_hour.high_wh,
        "covered_us": sum(us for _, us in half_hour.by_origin.values()), "gap_us": half_hour.gap_us,
        "samples": half_hour.samples, "hashes": half_hour.hashes, "hashrate_us": half_hour.hashrate_us,
    }  # fmt: skip


def catch_up(store: Store, org: str, folder: Path) -> Fold:
    """Fold what the journal holds beyond the ledger's checkpoint; after it the ledger equals a rebuild."""
    with store.read() as connection:
        fold = load(connection, org)
    waiting = 0
    for entry in journal.read(folder, fold.position):
        fold.take(entry, wire.open_packet(entry.packet))
        waiting += 1
        if waiting >= REPLAY_BATCHES:
            commit(store, fold)
            waiting = 0
    commit(store, fold)
    return fold


def commit(store: Store, fold: Fold, also: Callable[[Connection], None] | None = None) -> None:
    """The fold's changes in one transaction, with what else belongs into it."""
    with store.write() as connection:
        write(connection, fold)
        if also is not None:
            also(connection)


def contents(store: Store) -> dict[str, list[Row[Any]]]:
    """Every derived row, ordered by key: two ledgers of the same journal and statements give equal ones."""
    with store.read() as connection:
        return {
            table.name: list(connection.execute(select(table).order_by(*table.primary_key.columns)))
            for table in schema.DERIVED
        }
