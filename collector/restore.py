"""A backup becomes a state folder again: checked first, whole or not at all, never over anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL, select

from collector import durable, private, roll
from collector.backup import LEDGER, BackupError, generations, load, sha256
from collector.config import Config
from collector.places import place
from collector.store import Store, draft, engines, schema, sqlite_url, transfer
from collector.store.upgrade import upgrade
from collector.verify import Agent, Head, Keys, Verified, Verifier

# Beside nothing: a state folder's parent may not be ours to write into.
_DRAFT = ".restoring"
# Enough to see what is wrong.
_TOLD = 20


def newest(folder: Path) -> Path:
    """The backup itself, or the newest one in a folder of them."""
    if (folder / "backup.json").exists():
        return folder
    found = generations(folder)
    if not found:
        raise BackupError(f"{folder}: no whole backup in it")
    return found[0]


def check(backup: Path, settings: Config, *, signatures: bool = True) -> Verified | None:
    """BackupError if a file is not as it was copied, or the journal does not verify."""
    content = load(backup)
    if content.org != settings.org:
        raise BackupError(f"{backup}: is of {content.org}; {settings.path} is of {settings.org}")
    wrong = [text for file in content.files if (text := _wrong(backup / file.path, file.bytes, file.sha256))]
    if wrong:
        raise BackupError("\n".join([f"{backup}: not as it was made; take another one", *wrong[:_TOLD]]))
    if not signatures:
        return None
    state = backup / "state"
    public = private.collector_key(state).public_key().public_bytes_raw()
    known = settings.agents | roll.load(state).keys
    keys = Keys(settings.org, (public,), tuple(Agent(*name, key) for name, key in sorted(known.items())))
    archive = None if settings.archive is None else place(settings.archive)
    result = Verifier(state / "journal", keys, archive, ledger=dict(_heads(backup))).run()
    if result.found:
        findings = [finding.text for finding in result.findings[:_TOLD]]
        raise BackupError(
            "\n".join(
                [f"{backup}: its journal does not verify; --despite-findings restores it as it is", *findings]
            )
        )
    return result


def _wrong(path: Path, size: int, digest: str) -> str | None:
    if not path.is_file():
        return f"{path}: is missing"
    if path.stat().st_size != size:
        return f"{path}: {path.stat().st_size} bytes; it had {size}"
    return None if sha256(path) == digest else f"{path}: its content has changed"


def _heads(backup: Path) -> Iterator[tuple[tuple[str, str], Head]]:
    if not (backup / LEDGER).exists():
        return
    url = engines.file_url(backup / LEDGER)
    store, s = Store(engines.make(url, engines.SCHEMA)), schema.stream.c
    with store.read() as connection:
        for row in connection.execute(select(s.site, s.agent, s.last_seq, s.last_hash)):
            yield (row.site, row.agent), Head(row.last_seq, row.last_hash)
    store.close()


def restore(backup: Path, settings: Config, into: Path | None) -> dict[tuple[str, str], int]:
    """Put a checked backup into a state folder; each agent's last batch in its ledger.

    BackupError if anything is in the folder, or batches are in the configured database. With `into` the
    ledger stays a SQLite file there, whatever is configured.
    """
    state = into or settings.state_dir
    if state.exists() and (found := sorted(p.name for p in state.iterdir() if p.name != _DRAFT)):
        raise BackupError(
            f"{state}: is not empty ({', '.join(found[:3])}): move it away, nothing is overwritten"
        )
    database = settings.ledger_url if settings.ledger is not None and into is None else None
    if database is not None:
        _check_free(database)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = state / _DRAFT
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    try:
        for file in load(backup).files:
            if file.path.startswith("state/"):
                target = place / Path(file.path).relative_to("state")
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copyfile(backup / file.path, target)
                target.chmod(file.mode)
                durable.sync(target)
        if database is not None and (ledger := place / Path(LEDGER).name).exists():
            _into_database(ledger, database)
    except BaseException:
        shutil.rmtree(place)
        raise
    for path in sorted(place.iterdir()):
        path.replace(state / path.name)
    place.rmdir()
    durable.sync(state)
    return {name: head.seq for name, head in _heads(backup)}


def _check_free(database: URL) -> None:
    store = Store(engines.make(database, engines.SCHEMA))
    try:
        if store.version() is None:
            return
        with store.read() as connection:
            if connection.execute(select(schema.batch.c.seq).limit(1)).first() is not None:
                raise BackupError(
                    f"{database}: a ledger is in it already: nothing is overwritten; empty it first"
                )
    finally:
        store.close()


def _into_database(ledger: Path, database: URL) -> None:
    upgrade(sqlite_url(ledger), lambda _: None)
    source = Store.open(sqlite_url(ledger))
    with draft(database) as store:
        transfer(source, store)
    for path in ledger.parent.glob(f"{ledger.name}*"):
        path.unlink()
