"""A backup of a collector that runs: ledger, journal, statements, keys; each one whole, or not there.

    DIR/20261129T020000Z/backup.json   what is in it: each file's length, SHA-256 and mode
    DIR/20261129T020000Z/config/       the configuration and the declared devices (passwords are not in them)
    DIR/20261129T020000Z/state/        the state folder; the ledger as a SQLite file, wherever it was
    DIR/.draft/                        one that is being made, or was when its process ended

The ledger is copied first, then the journal's manifest, then the journal up to the end of a record and no
further than one segment beyond the seals: so neither stands beyond the copied journal. A segment that is
closed never changes: one that the last backup has, with the same length and time, is linked to that copy, or
copied where the file system knows no links. A backup that was cut short is begun anew, with the segments that
it had.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
from sqlalchemy import select

from collector import durable, journal, manifest
from collector.config import Config
from collector.facts import software
from collector.journal import START, Position
from collector.store import Store, engines, schema, sqlite_url, transfer

MANIFEST = "backup.json"
LEDGER = "state/ledger.sqlite3"
# A week of daily backups; closed segments are in them once.
KEPT = 7
_FORMAT = 1
_DRAFT = ".draft"
_CHUNK_BYTES = 1024 * 1024


class BackupError(Exception):
    """A backup cannot be made or used; nothing was changed. The text says what would be right."""


class File(msgspec.Struct, frozen=True):
    """A file of a backup; `mtime_ns` is the original's."""

    path: str
    bytes: int
    sha256: str
    mode: int
    mtime_ns: int


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a backup; `checkpoint` is where its ledger stands, `end` where its journal ends."""

    format: int
    org: str
    taken_us: int
    software: str
    schema: int
    checkpoint: tuple[int, int]
    end: tuple[int, int]
    files: tuple[File, ...]


def generations(folder: Path) -> list[Path]:
    """The whole backups in a folder, newest first."""
    return sorted(
        (path.parent for path in folder.glob(f"*/{MANIFEST}") if path.parent.name != _DRAFT), reverse=True
    )


def load(backup: Path) -> Backup:
    """A backup's manifest; BackupError if it cannot be read."""
    try:
        found = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Backup)
    except OSError as error:
        raise BackupError(f"{backup}: no backup: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(f"{backup / MANIFEST}: {error}") from error
    if found.format != _FORMAT:
        raise BackupError(f"{backup}: format {found.format}; this program reads {_FORMAT}: use a newer one")
    return found


def make(settings: Config, folder: Path, now_us: int, kept: int = KEPT) -> tuple[Path, Backup, int]:
    """Back up into a folder; returns it, its manifest, and how many segments were not copied again."""
    state = settings.state_dir.resolve()
    if not settings.journal_dir.is_dir():
        raise BackupError(f"{settings.state_dir}: no journal in it yet: there is nothing to back up")
    if folder.resolve().is_relative_to(state):
        raise BackupError(f"{folder}: is in the state folder itself; name one on another disk")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder):
        before = generations(folder)
        writing = _Writing(folder / _DRAFT, before[0] if before else None)
        content = _write(settings, writing, now_us)
        name = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y%m%dT%H%M%SZ")
        if (folder / name).exists():
            raise BackupError(f"{folder / name}: exists already; one backup a second")
        durable.settle(writing.folder, folder / name)
        for old in generations(folder)[max(kept, 1) :]:
            shutil.rmtree(old)
    return folder / name, content, writing.linked


def _write(settings: Config, writing: _Writing, now_us: int) -> Backup:
    checkpoint = writing.ledger(settings)
    for path in sorted(settings.state_dir.rglob("*")):
        name = path.relative_to(settings.state_dir)
        if path.is_file() and not _is_left_out(name):
            writing.copy(path, f"state/{name}")
    listed = settings.journal_dir / manifest.FILE
    if listed.exists():
        writing.copy(listed, f"state/journal/{manifest.FILE}", listed.read_bytes().rfind(b"\n") + 1)
    # Beyond it the copied manifest knows nothing; the ledger's segment follows a sealed one.
    last = max(manifest.load(writing.folder / "state/journal").last + 1, checkpoint.segment)
    end = _end(settings, checkpoint, last)
    for number in journal.numbers(settings.journal_dir):
        if number <= end.segment:
            segment = journal.path(settings.journal_dir, number)
            writing.segment(segment, end.offset if number == end.segment else None)
    _check_whole(writing, end)
    beside = settings.path.resolve().parent
    for number, path in enumerate(dict.fromkeys((settings.path, *settings.declared_files))):
        found = path.resolve()
        near = found.is_relative_to(beside)
        writing.copy(path, f"config/{found.relative_to(beside) if near else f'{number}-{path.name}'}")
    content = Backup(
        _FORMAT, settings.org, now_us, software(), schema.SCHEMA_VERSION, checkpoint, end,
        tuple(writing.files),
    )  # fmt: skip
    writing.finish(content)
    return content


def _is_left_out(name: Path) -> bool:
    # The ledger and the segments come by their own ways; a dot is a draft of some file.
    parts = name.parts
    ledger = parts[0].startswith("ledger.sqlite3") or parts[0].startswith("ledger.rebuild")
    in_journal = parts[0] == "journal" and (name.suffix == ".hlj" or parts[-1] in ("lock", manifest.FILE))
    return ledger or in_journal or any(part.startswith(".") for part in parts)


def _end(settings: Config, checkpoint: Position, last: int) -> Position:
    end = checkpoint
    for entry in journal.read(settings.journal_dir, checkpoint, settings.archive):
        if entry.after.segment > last:
            break
        end = entry.after
    return end


def _check_whole(writing: _Writing, end: Position) -> None:
    # Archived between the manifest's copy and the segments': rare, and the next run is right.
    folder = writing.folder / "state/journal"
    archived = manifest.load(folder).archived
    here = {*journal.numbers(folder), *archived}
    if missing := [number for number in range(1, end.segment + 1) if number not in here]:
        raise BackupError(
            f"segments {missing} left the journal meanwhile: `archive` was running; back up again"
        )


class _Writing:
    """A draft, and what is in it so far."""

    def __init__(self, draft: Path, before: Path | None) -> None:
        self.folder, self.files, self.linked = draft, list[File](), 0
        self._before, self._known = before, dict[str, File]()
        if before is not None:
            self._known = {file.path: file for file in load(before).files}
        for path in sorted(draft.rglob("*"), reverse=True):  # what an earlier run has left
            if path.is_file() and path.suffix != ".hlj":
                path.unlink()
        draft.mkdir(mode=0o700, exist_ok=True)

    def ledger(self, settings: Config) -> Position:
        """Copy the ledger; where it stands."""
        target = self._place(LEDGER)
        if settings.ledger is None:
            try:
                if settings.ledger_path.exists():
                    engines.copy_file(settings.ledger_path, target)
            except sqlite3.Error as error:
                raise BackupError(f"{target}: the ledger cannot be copied: {error}") from error
        else:
            transfer(Store.open(settings.ledger_url), Store.open(sqlite_url(target)))
        checkpoint = START
        if target.exists():
            store, c = Store(engines.make(engines.file_url(target), engines.SCHEMA)), schema.checkpoint.c
            with store.read() as connection:
                query = select(c.segment, c.offset).where(c.org == settings.org)
                checkpoint = Position(*(connection.execute(query).one_or_none() or START))
            store.close()
            for suffix in ("-wal", "-shm"):
                Path(f"{target}{suffix}").unlink(missing_ok=True)
            self._note(target, LEDGER, 0)
        return checkpoint

    def segment(self, source: Path, until: int | None) -> None:
        """Copy a segment; a closed one (`until` is None) only if no earlier copy is of it."""
        name = f"state/journal/{source.name}"
        target, facts = self._place(name), source.stat()
        if until is None:
            known = self._known.get(name)
            if known and self._before and (known.bytes, known.mtime_ns) == (facts.st_size, facts.st_mtime_ns):
                target.unlink(missing_ok=True)
                try:
                    target.hardlink_to(self._before / name)
                except OSError:
                    shutil.copy2(self._before / name, target)
                    durable.sync(target)
                self.files.append(known)
                self.linked += 1
                return
            if target.exists() and _same(target, facts):
                self._note(target, name, facts.st_mtime_ns)
                self.linked += 1
                return
        self.copy(source, name, until)

    def copy(self, source: Path, name: str, until: int | None = None) -> None:
        """Copy a file, or its first `until` bytes; with the original's mode and time."""
        target = self._place(name)
        draft = target.with_name(f".{target.name}")
        with source.open("rb") as read, open(draft, "wb", opener=_private) as written:
            facts = os.fstat(read.fileno())
            digest, size = _pour(read, written, facts.st_size if until is None else until)
            os.fchmod(written.fileno(), facts.st_mode & 0o700 | 0o600)
        os.utime(draft, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
        durable.settle(draft, target)
        self.files.append(File(name, size, digest, facts.st_mode & 0o777, facts.st_mtime_ns))

    def finish(self, content: Backup) -> None:
        """The manifest, last."""
        target = self.folder / MANIFEST
        with open(target, "wb", opener=_private) as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=1))
        durable.sync(target)
        for path in self.folder.rglob("*"):
            if path.is_dir():
                durable.sync(path)

    def _place(self, name: str) -> Path:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return target

    def _note(self, target: Path, name: str, mtime_ns: int) -> None:
        durable.sync(target)
        self.files.append(File(name, target.stat().st_size, sha256(target), 0o600, mtime_ns))


def sha256(path: Path) -> str:
    """A file's hash."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(path: Path, facts: os.stat_result) -> bool:
    found = path.stat()
    return (found.st_size, found.st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)


def _pour(source: BinaryIO, target: BinaryIO, size: int) -> tuple[str, int]:
    digest, left = hashlib.sha256(), size
    while left and (piece := source.read(min(left, _CHUNK_BYTES))):
        digest.update(piece)
        target.write(piece)
        left -= len(piece)
    return digest.hexdigest(), size - left


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BackupError(f"{folder}: another backup is being made in it") from error
    finally:
        os.close(lock)
