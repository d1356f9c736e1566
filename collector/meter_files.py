"""What people say of meters: each entry a file of its own, kept before the ledger has it, never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Connection, select

from collector.imports import write_atomically
from collector.ledger.meter_entries import MeterEntry
from collector.store import Store, schema, upsert


def enter(store: Store, org: str, folder: Path, entries: Sequence[MeterEntry]) -> tuple[int, int]:
    """Add entries; returns (new, known). The same words again are known, whenever they are said."""
    with store.write() as connection:
        known = _known(connection, org)
        new = {entry.id: entry for entry in entries if (entry.site, entry.meter, entry.id) not in known}
        # On the disk before the ledger's commit: a crash between leaves files that `replay` enters.
        folder.mkdir(parents=True, exist_ok=True)
        for entry in new.values():
            write_atomically(folder / f"{entry.id}.json", msgspec.json.encode(entry))
        upsert(connection, schema.meter_entry, [_row(org, entry) for entry in new.values()])
    return len(new), len(entries) - len(new)


def replay(store: Store, org: str, folder: Path) -> None:
    """Enter every kept entry that the ledger does not have."""
    with store.write() as connection:
        known = _known(connection, org)
        missing = [entry for entry in _kept(folder) if (entry.site, entry.meter, entry.id) not in known]
        upsert(connection, schema.meter_entry, [_row(org, entry) for entry in missing])


def _kept(folder: Path) -> Iterator[MeterEntry]:
    for path in sorted(folder.glob("*.json")):
        yield msgspec.json.decode(path.read_bytes(), type=MeterEntry)


def _known(connection: Connection, org: str) -> set[tuple[str, str, str]]:
    c = schema.meter_entry.c
    query = select(c.site, c.meter, c.id).where(c.org == org)
    return {(row.site, row.meter, row.id) for row in connection.execute(query)}


def _row(org: str, entry: MeterEntry) -> dict[str, object]:
    return {
        "org": org, "site": entry.site, "meter": entry.meter, "id": entry.id, "kind": entry.kind,
        "at_us": entry.at_us, "entered_us": entry.entered_us, "content": msgspec.to_builtins(entry),
    }  # fmt: skip
