"""The durable spool: every batch is on disk, signed and numbered, before anything is sent.

One SQLite file. `append` numbers, chains, signs and stores a batch in one transaction, so `seq` has no gaps
whatever is killed when. What is sealed is never rewritten: the next batch carries its hash.

fsync policy: WAL with `synchronous=FULL`. Each append is one fsync of the log, and is on the platter when it
returns; the log goes into the file, with fsyncs of its own, about every megabyte. The mark of what is
confirmed is stored with the same care but need not be: a lost one is told again by the collector.

What leaves, and when: a batch leaves the file only after the collector has confirmed it (`acknowledge`), and
then when it is older than the kept window (`prune`), so that a collector restored from a backup can ask for
it again. Only where a new batch finds no room, confirmed ones go before their time, oldest first (`reclaim`).
What waits is never deleted. The file does not shrink; what was deleted in it is room for new batches.

Room: `max_bytes` is never exceeded, and a file system that is full is the same case: `append` raises
SpoolFull, stores nothing and leaves everything as it was. A part of the room (RESERVE_BYTES; a file of that
size holds its place on disk) is kept for what may never be thinned; `release_reserve` gives it free.
What is stored and what is thinned when there is no room is `agent/intake.py`.

Measured (mixed fleet of 10,000, noisy readings, one sweep a batch): 356 kB a batch, 35.6 bytes a reading;
16 of these are the device's id. 30 days of a sweep a minute: 43,200 batches, 15.4 GB, which the default
budget of 20 GiB holds; with 1,000 devices 38.5 kB and 1.7 GB. An append takes 2 ms of processor time.
SQLite's own share is under 1 per cent, so a file format of our own would win nothing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import depth, wire
from agent.depth import Depth

# 30 days of 10,000 devices with the quarter above it in which sweeps are thinned; see above.
MAX_BYTES = 20 * 1024**3
# Thousands of events and inventories; small beside any budget.
RESERVE_BYTES = 8 * 1024 * 1024
# Pages of 4 KiB after which the log goes into the file; what both take together stays within the budget.
LOG_PAGES = 256
PAGE_BYTES = 4096
LOG_BYTES = LOG_PAGES * (PAGE_BYTES + 24) + 16 * PAGE_BYTES  # a head for each page, and small change
# What SQLite adds to a batch, rounded up: page heads, the rest of the last page, its place in the tree.
OVERHEAD = 1.02
# A transaction that deletes is kept short: its pages go through the log as well.
PRUNE_BATCHES = 200
# Rates are told from these, one a minute, for two hours.
CONFIRMED_ROWS = 120

# SQLITE_IOERR and SQLITE_FULL: the disk could not take it, whatever the reason; it may soon.
_UNWRITABLE = (10, 13)

# In the file's `user_version`; an older file is brought up to date when it is opened, in one transaction.
_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    seq INTEGER PRIMARY KEY,
    stored_us INTEGER NOT NULL,
    end_bytes INTEGER NOT NULL,  -- of all packets ever stored, up to and with this one
    hash BLOB NOT NULL,
    packet BLOB NOT NULL         -- last: what stands behind a blob is read through it
);
CREATE TABLE IF NOT EXISTS chain (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    acked_seq INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS confirmed (at_s INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
"""
_FROM_VERSION_1 = (
    "ALTER TABLE batch RENAME TO batch_1",
    _SCHEMA.partition(";")[0],
    "INSERT INTO batch SELECT seq, stored_us, sum(length(packet)) OVER (ORDER BY seq), hash, packet"
    " FROM batch_1",
    "DROP TABLE batch_1",
)


def reserve_bytes(max_bytes: int) -> int:
    """The part of a budget kept for what is never thinned; of a small one a sixteenth."""
    return min(RESERVE_BYTES, max_bytes // 16)


def room_bytes(max_bytes: int) -> int:
    """What is left of a budget for batches: without the reserve and SQLite's log."""
    return max(0, max_bytes - reserve_bytes(max_bytes) - LOG_BYTES)


class SpoolNewer(ValueError):
    """A newer program has made this spool; it is left as it is. The text says what to do."""


class SpoolFull(Exception):
    """There is no room for a batch, by the budget or on the disk; the text says which."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes into this spool: names, session, key, and whether its readings are simulated."""

    org: str
    site: str
    agent: str
    key: Ed25519PrivateKey
    synthetic: bool
    clock_source: str
    clock_offset_us: int | None = None


class Spool:
    """The batches of one agent; safe to use from several threads."""

    def __init__(self, path: Path, author: Author, max_bytes: int = MAX_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self.max_bytes = max_bytes
        self.reserve_bytes = reserve_bytes(max_bytes)
        self._author = author
        self._session = os.urandom(8)
        self._lock = threading.Lock()
        self._reserve = path.with_suffix(".reserve")
        try:
            self._db = _open(path)
        except SpoolFull:
            if not self._reserve.exists():
                raise
            self._reserve.unlink()  # a disk so full that the log cannot be made: this is what it is for
            self._db = _open(path)
        (self._acked_seq,) = self._db.execute("SELECT acked_seq FROM chain").fetchone()
        self._reserved = self._reserve.exists() and self._reserve.stat().st_size >= self.reserve_bytes
        self._released = False
        self.renew_reserve()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def newest_us(self) -> int | None:
        """When the last batch was made, by the clock of its time; None if there is none."""
        with self._lock:
            row = self._db.execute("SELECT packet FROM batch ORDER BY seq DESC LIMIT 1").fetchone()
        return wire.open_packet(row[0]).envelope.created_us if row else None

    def state_clock(self, source: str, offset_us: int | None) -> None:
        """From now on batches say this of the clock."""
        self._author = replace(self._author, clock_source=source, clock_offset_us=offset_us)

    def append(self, records: Sequence[wire.Record], created_us: int) -> int:
        """Store one batch durably; its seq. Nothing is stored if anything fails; SpoolFull if room does."""
        payload = wire.pack(records)
        author = self._author
        with self._writing():
            last_seq, last_hash = self._db.execute("SELECT last_seq, last_hash FROM chain").fetchone()
            envelope = wire.Envelope(
                v=wire.VERSION,
                org=author.org,
                site=author.site,
                agent=author.agent,
                session=self._session,
                seq=last_seq + 1,
                prev=last_hash,
                created_us=created_us,
                clock_offset_us=author.clock_offset_us,
                clock_source=author.clock_source,
                synthetic=author.synthetic,
                payload=payload,
            )
            packet, envelope_hash = wire.seal(envelope, author.key)
            self._check_room(len(packet))
            before = self._db.execute("SELECT end_bytes FROM batch WHERE seq = ?", (last_seq,)).fetchone()
            end_bytes = len(packet) + (before[0] if before else 0)
            self._db.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
                (envelope.seq, time.time_ns() // 1000, end_bytes, envelope_hash, packet),
            )
            self._db.execute("UPDATE chain SET last_seq = ?, last_hash = ?", (envelope.seq, envelope_hash))
        return envelope.seq

    def packets(self, first_seq: int, count: int, room_bytes: int = 2**62) -> list[tuple[int, bytes]]:
        """Up to `count` packets from `first_seq` on, in order, until they fill `room_bytes`."""
        found: list[tuple[int, bytes]] = []
        if count <= 0:
            return found
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, packet FROM batch WHERE seq >= ? ORDER BY seq LIMIT ?", (first_seq, count)
            )
            while room_bytes > 0 and (row := rows.fetchone()) is not None:
                found.append(row)
                room_bytes -= len(row[1])
            rows.close()  # an open one would keep the log from going into the file
        return found

    def acknowledge(self, seq: int, envelope_hash: bytes) -> bool:
        """Note that the collector has committed everything up to `seq`; False if that was never ours.

        A collector restored from a backup stands lower than before: the mark goes back with it. On a full
        disk the mark is kept in memory; the collector says it again after a restart.
        """
        try:
            with self._writing():
                if seq > 0 and self._hash(seq) != envelope_hash:
                    return False
                moved, self._acked_seq = seq != self._acked_seq, seq
                if moved:
                    now_s = int(time.time())
                    self._db.execute("UPDATE chain SET acked_seq = ?", (seq,))
                    self._db.execute("INSERT OR IGNORE INTO confirmed VALUES (?, ?)", (now_s // 60 * 60, seq))
                    self._db.execute("DELETE FROM confirmed WHERE at_s < ?", (now_s - CONFIRMED_ROWS * 60,))
        except SpoolFull:
            pass  # the mark in memory holds
        return True

    def first_behind_gap(self, seq: int) -> int | None:
        """The oldest batch here if it is not the next one after `seq`: what is between is gone."""
        with self._lock:
            (first,) = self._db.execute("SELECT min(seq) FROM batch").fetchone()
        return first if first is not None and first > seq + 1 else None

    def unconfirm(self) -> None:
        """The collector stands before the oldest batch here: none of them is confirmed, none may go."""
        try:
            with self._writing():
                (first,) = self._db.execute("SELECT min(seq) FROM batch").fetchone()
                if first is not None and self._acked_seq >= first:
                    self._acked_seq = first - 1
                    self._db.execute("UPDATE chain SET acked_seq = ?", (self._acked_seq,))
        except SpoolFull:
            pass  # the mark in memory holds

    def prune(self, keep_s: float) -> int:
        """Delete confirmed batches stored longer than `keep_s` ago, never the last one; how many went."""
        before_us = time.time_ns() // 1000 - int(keep_s * 1e6)
        gone = 0
        while True:
            with self._lock:
                old = self._db.execute(
                    "SELECT seq FROM batch WHERE seq < ? AND stored_us < ? ORDER BY seq LIMIT ?",
                    (self._acked_seq, before_us, PRUNE_BATCHES),
                ).fetchall()
            if not old:
                self.renew_reserve()  # the disk may have been too full for it when the agent started
                return gone
            gone += self._delete(old[-1][0])

    def reclaim(self, need_bytes: int) -> int:
        """Delete the oldest confirmed batches, whatever their age, until they make `need_bytes`; how many."""
        with self._lock:
            first = self._db.execute(
                "SELECT end_bytes - length(packet) FROM batch ORDER BY seq LIMIT 1"
            ).fetchone()
            last = self._db.execute(
                "SELECT max(seq) FROM (SELECT seq, end_bytes FROM batch WHERE seq < ? ORDER BY seq LIMIT ?)"
                " WHERE end_bytes <= ?",
                (self._acked_seq, PRUNE_BATCHES, (first[0] if first else 0) + need_bytes),
            ).fetchone()
            oldest = self._db.execute(
                "SELECT seq FROM batch WHERE seq < ? ORDER BY seq LIMIT 1", (self._acked_seq,)
            ).fetchone()
        if oldest is None:
            return 0
        return self._delete(max(oldest[0], last[0] or 0))

    @property
    def reserve_in_use(self) -> bool:
        """True from `release_reserve` until there is room to set it aside again."""
        return self._released and not self.renew_reserve()

    def release_reserve(self) -> bool:
        """Give the reserve free for the next batches; False if there is none."""
        if not self._reserved:
            return False
        self._reserved, self._released = False, True
        self._reserve.unlink(missing_ok=True)
        return True

    def renew_reserve(self) -> bool:
        """Set the reserve aside where there is room for it, and half of it more (not back and forth)."""
        if self._reserved:
            return True
        with self._lock:
            used_bytes = depth.used_bytes(self._db) + LOG_BYTES
        room = min(self.max_bytes - used_bytes, depth.free_bytes(self.path.parent))
        if room < self.reserve_bytes * 3 // 2:
            return False
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, self.reserve_bytes))
        except OSError:
            self._reserve.unlink(missing_ok=True)
            return False
        self._reserved, self._released = True, False
        return True

    def depth(self) -> Depth:
        """What waits, what is kept, what room is left."""
        with self._lock:
            return depth.measure(self._db, self.path, room_bytes(self.max_bytes), self._acked_seq)

    def _hash(self, seq: int) -> bytes | None:
        """The hash of a batch that is here, or of the one before the oldest."""
        row = self._db.execute("SELECT hash FROM batch WHERE seq = ?", (seq,)).fetchone()
        if row is not None:
            return bytes(row[0])
        row = self._db.execute("SELECT packet FROM batch WHERE seq = ?", (seq + 1,)).fetchone()
        return None if row is None else wire.open_packet(row[0]).envelope.prev

    def _delete(self, last_seq: int) -> int:
        try:
            with self._writing():
                return self._db.execute(
                    "DELETE FROM batch WHERE seq <= ? AND seq < ?", (last_seq, self._acked_seq)
                ).rowcount
        except SpoolFull:
            return 0  # a delete needs a little of the disk too

    def _check_room(self, packet_bytes: int) -> None:
        # The packet goes through the log: for a while it takes its room twice.
        need_bytes = 2 * int(packet_bytes * OVERHEAD) + (self.reserve_bytes if self._reserved else 0)
        if depth.used_bytes(self._db) + LOG_BYTES + need_bytes > self.max_bytes:
            raise SpoolFull(f"the spool's budget of {self.max_bytes} bytes is used up (spool.max_gib)")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, whole or not at all; SpoolFull where the disk does not take it."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and _unwritable(error):
                    raise SpoolFull(f"{self.path.parent}: {error}") from error
                raise


def _unwritable(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in _UNWRITABLE


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")  # after one large batch
        db.execute("BEGIN IMMEDIATE")
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found > _VERSION:
            raise SpoolNewer(
                f"{path}: its layout is {found}, this program writes {_VERSION}: start the newer program"
                " again; nothing in it was changed"
            )
        columns = [row[1] for row in db.execute("PRAGMA table_info(batch)")]
        if columns and "end_bytes" not in columns:
            for statement in _FROM_VERSION_1:
                db.execute(statement)
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute("INSERT OR IGNORE INTO chain VALUES (1, 0, ?, 0)", (wire.GENESIS,))
        if found != _VERSION:
            db.execute(f"PRAGMA user_version={_VERSION}")
        db.execute("COMMIT")
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError) and _unwritable(error):
            raise SpoolFull(f"{path}: the disk takes nothing more: {error}") from error
        raise
    return db
