"""Statements into the coin ledger: the file is kept first, then entered; both only if all of it is right."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from collector.ledger import coins
from collector.sources import statements
from collector.store import Store, schema, upsert


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A kept statement: what was said when it was imported, beside its bytes in `<hash>.csv`."""

    site: str
    source: str
    hash: str
    name: str
    imported_us: int
    synthetic: bool


def import_statement(
    store: Store, org: str, folder: Path, *, site: str, source: str, path: Path, synthetic: bool, now_us: int
) -> tuple[int, int]:
    """Import a file; returns (new, known) entries. StatementError or CoinConflict: nothing was changed."""
    content = path.read_bytes()
    kept = Kept(
        site=site, source=source, hash=hashlib.sha256(content).hexdigest(), name=path.name,
        imported_us=now_us, synthetic=synthetic,
    )  # fmt: skip
    entries = statements.parse(content, now_us)
    with store.write() as connection:
        counts = coins.enter(connection, org, site, source, kept.hash, synthetic, entries)
        c = schema.statement.c
        key = (c.org == org, c.site == site, c.source == source, c.hash == kept.hash)
        if connection.execute(schema.statement.select().where(*key)).one_or_none() is None:
            # On the disk before the ledger's commit: a crash between leaves a file that `replay` enters.
            _keep(folder, kept, content)
            upsert(connection, schema.statement, [_row(org, kept, len(entries))])
    return counts


def replay(store: Store, org: str, folder: Path) -> None:
    """Enter every kept statement that the ledger does not have, in the order of their import."""
    with store.write() as connection:
        query = schema.statement.select().where(schema.statement.c.org == org)
        known = {(row.site, row.source, row.hash) for row in connection.execute(query)}
        for kept in sorted(_kept(folder), key=lambda kept: (kept.imported_us, kept.hash)):
            if (kept.site, kept.source, kept.hash) in known:
                continue
            entries = statements.parse((folder / f"{kept.hash}.csv").read_bytes(), kept.imported_us)
            coins.enter(connection, org, kept.site, kept.source, kept.hash, kept.synthetic, entries)
            upsert(connection, schema.statement, [_row(org, kept, len(entries))])


def _kept(folder: Path) -> Iterator[Kept]:
    for path in sorted(folder.glob("*.json")):
        yield msgspec.json.decode(path.read_bytes(), type=Kept)


def _keep(folder: Path, kept: Kept, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The same bytes may come for two sites or sources; hashed, because a source may bear any name.
    place = hashlib.sha256(f"{kept.site}/{kept.source}".encode()).hexdigest()[:8]
    write_atomically(folder / f"{kept.hash}.csv", content)
    write_atomically(folder / f"{kept.hash}-{place}.json", msgspec.json.encode(kept))


def _row(org: str, kept: Kept, entries: int) -> dict[str, object]:
    return {"org": org, "entries": entries} | msgspec.structs.asdict(kept)


def write_atomically(path: Path, content: bytes) -> None:
    """The file whole and on the disk, or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
