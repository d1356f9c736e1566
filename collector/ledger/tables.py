"""The fold's state, read from the ledger's tables and written to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Connection, Row, select

from agent import wire
from collector import journal
from collector.journal import Position
from collector.ledger import halfhours, meterdays
from collector.ledger.energy import NOW_COLUMNS, Integrals, Now
from collector.ledger.fold import Changes, Fold, LedgerError, Stream
from collector.ledger.packing import pack, unpack
from collector.ledger.quantities import NAMES, QUANTITIES, Ints
from collector.ledger.registry import FIELDS, Device, Site
from collector.store import Store, schema, upsert

# Rows wait in memory until the commit; this many batches keep a replay's memory low and its commits rare.
REPLAY_BATCHES = 500

NOW_NAMES = tuple(
    next(f"{now.name.lower()}_{number - now}" for now in reversed(Now) if now <= number)
    for number in range(NOW_COLUMNS)
)


def load(connection: Connection, org: str) -> Fold:
    """The fold as the ledger's checkpoint left it."""
    fold = Fold(org)
    point = connection.execute(select(schema.checkpoint).where(schema.checkpoint.c.org == org)).one_or_none()
    if point is not None:
        fold.position = Position(point.segment, point.offset)
    for row in connection.execute(select(schema.stream).where(schema.stream.c.org == org)):
        fold.streams[row.site, row.agent] = Stream(
            row.last_seq, row.last_hash, row.session, row.last_created_us, row.last_received_us,
            row.clock_offset_us, row.swept_us, row.silent_cause,
        )  # fmt: skip
    d = schema.device.c
    for known in connection.execute(
        select(schema.device).where(d.org == org).order_by(d.site, d.place)
    ).mappings():
        site = fold.sites.setdefault(known["site"], Site(known["site"]))
        register = {name: known[name] for name in FIELDS}
        site.places[UUID(known["device"]).bytes] = known["place"]
        site.devices.append(
            Device(site.name, known["device"], known["place"], known["first_seen_us"], register)
        )
    for name, site in fold.sites.items():
        site.integrals = standing(connection, org, name)
    return fold


def standing(connection: Connection, org: str, site: str) -> Integrals:
    """Where the fold stands with a site's devices, and their open half-hours."""
    integrals = Integrals()
    c = schema.fold_state.c
    row = connection.execute(select(schema.fold_state).where(c.org == org, c.site == site)).one_or_none()
    if row is not None:
        integrals.size = row.places
        integrals.now = _matrix(unpack(NOW_NAMES, row.now, (row.places,)), NOW_COLUMNS, row.places)
        integrals.row = _matrix(unpack(NAMES, row.open, (row.places,)), QUANTITIES, row.places)
    return integrals


def _matrix(columns: Mapping[int, Ints], height: int, width: int) -> Ints:
    matrix: Ints = np.zeros((height, width), np.int64)
    for number, column in columns.items():
        matrix[number] = column
    return matrix


def write(connection: Connection, fold: Fold) -> None:
    """Everything that changed, with the checkpoint, into the caller's transaction."""
    changes, org = fold.changes, fold.org
    upsert(connection, schema.stream, (_stream_row(fold, key) for key in sorted(changes.streams)))
    upsert(connection, schema.batch, changes.batches)
    upsert(connection, schema.inventory, changes.inventories)
    upsert(connection, schema.event, changes.events)
    upsert(connection, schema.meter_told, changes.meters)
    for (site, meter), rows in sorted(changes.registers.items()):
        meterdays.append(connection, org, site, meter, rows)
    upsert(connection, schema.device, (_device_row(org, device) for device in changes.devices.values()))
    for name in sorted(changes.sites):
        integrals = fold.sites[name].integrals
        closed, absences = integrals.take_closed()
        halfhours.add(connection, org, name, closed)
        key = {"org": org, "site": name}
        upsert(connection, schema.absence, (key | absence._asdict() for absence in absences))
        upsert(connection, schema.fold_state, [key | _state_columns(integrals)])
    point = {"org": org, "segment": fold.position.segment, "offset": fold.position.offset}
    upsert(connection, schema.checkpoint, [point])
    fold.changes = Changes()


def _stream_row(fold: Fold, key: tuple[str, str]) -> dict[str, Any]:
    stream = fold.streams[key]
    return {
        "org": fold.org, "site": key[0], "agent": key[1],
        "last_seq": stream.last_seq, "last_hash": stream.last_hash, "session": stream.session,
        "last_created_us": stream.last_created_us, "last_received_us": stream.last_received_us,
        "clock_offset_us": stream.clock_offset_us, "swept_us": stream.swept_us,
        "silent_cause": stream.silent_cause,
    }  # fmt: skip


def _device_row(org: str, device: Device) -> dict[str, Any]:
    return {
        "org": org, "site": device.site, "device": device.id, "place": device.place,
        "first_seen_us": device.first_seen_us,
    } | device.register  # fmt: skip


def _state_columns(integrals: Integrals) -> dict[str, Any]:
    size = integrals.size
    return {
        "places": size,
        "now": pack(NOW_NAMES, dict(enumerate(integrals.now[:, :size]))),
        "open": pack(NAMES, dict(enumerate(integrals.row[:, :size]))),
    }


def catch_up(store: Store, org: str, folder: Path, archive: str | None = None) -> Fold:
    """Fold what the journal holds beyond the ledger's checkpoint; after it the ledger equals a rebuild.

    `archive`: where archived segments are, if elsewhere than the journal's manifest says.
    """
    with store.read() as connection:
        fold = load(connection, org)
        _check_same_time(connection, fold, folder, archive)
    waiting = 0
    for entry in journal.read(folder, fold.position, archive):
        fold.take(entry, wire.open_packet(entry.packet))
        waiting += 1
        if waiting >= REPLAY_BATCHES:
            commit(store, fold)
            waiting = 0
    commit(store, fold)
    return fold


def _check_same_time(connection: Connection, fold: Fold, folder: Path, archive: str | None) -> None:
    """LedgerError unless the last batch in the ledger is in the journal, and ends where the checkpoint is."""
    b, s = schema.batch.c, schema.stream.c
    query = select(b.segment, b.offset, b.hash).join(
        schema.stream, (b.org == s.org) & (b.site == s.site) & (b.agent == s.agent) & (b.seq == s.last_seq)
    )
    query = query.where(b.org == fold.org).order_by(b.segment.desc(), b.offset.desc()).limit(1)
    last = connection.execute(query).one_or_none()
    if last is None:
        return
    try:
        entry = next(journal.read(folder, Position(last.segment, last.offset), archive), None)
        same = entry is not None and entry.after == fold.position
        same = same and entry is not None and wire.open_packet(entry.packet).hash == last.hash
        why = "another record is there, or none"
    except (journal.JournalError, wire.WireError) as error:
        same, why = False, str(error)
    if not same:
        raise LedgerError(
            f"{folder}: the ledger is folded up to segment {fold.position.segment}, offset"
            f" {fold.position.offset}, of another journal or of more of it than is here ({why})."
            " `hashledger collector rebuild` makes the ledger of the journal that is here; agents then send"
            " again what it lacks"
        )


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
