"""The durable spool: every batch is on disk, signed and numbered, before anything is sent.

One SQLite file (WAL, synchronous=FULL: a commit is on the platter when it returns). `append` numbers, chains,
signs and stores a batch in one transaction, so `seq` has no gaps whatever is killed when. A batch leaves the
file only when the collector has confirmed it (`acknowledge`) and it is older than the kept window (`prune`):
a collector restored from a backup can ask for it again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import wire

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    seq INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    packet BLOB NOT NULL,
    stored_us INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS chain (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    acked_seq INTEGER NOT NULL
);
"""


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


@dataclass(frozen=True, slots=True)
class Depth:
    """How full the spool is: batches not yet confirmed, batches kept, bytes on disk."""

    last_seq: int
    acked_seq: int
    kept: int
    size_bytes: int
    oldest_waiting_us: int | None = None  # when the first batch that is not yet confirmed was stored

    @property
    def waiting(self) -> int:
        return self.last_seq - self.acked_seq


class Spool:
    """The batches of one agent; safe to use from several threads."""

    def __init__(self, path: Path, author: Author) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._author = author
        self._session = os.urandom(8)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO chain VALUES (1, 0, ?, 0)", (wire.GENESIS,))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def append(self, records: Sequence[wire.Record], created_us: int) -> int:
        """Store one batch durably; its seq. Nothing is stored if anything fails."""
        payload = wire.pack(records)
        author = self._author
        with self._lock, _transaction(self._db):
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
            self._db.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?)",
                (envelope.seq, envelope_hash, packet, time.time_ns() // 1000),
            )
            self._db.execute("UPDATE chain SET last_seq = ?, last_hash = ?", (envelope.seq, envelope_hash))
        return envelope.seq

    def packets(self, first_seq: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` packets from `first_seq` on, in order."""
        with self._lock:
            return self._db.execute(
                "SELECT seq, packet FROM batch WHERE seq >= ? ORDER BY seq LIMIT ?", (first_seq, count)
            ).fetchall()

    def acknowledge(self, seq: int, envelope_hash: bytes) -> bool:
        """Note that the collector has committed everything up to `seq`; False if that was never ours.

        A collector restored from a backup stands lower than before: the mark goes back with it.
        """
        with self._lock:
            if seq > 0:
                row = self._db.execute("SELECT hash FROM batch WHERE seq = ?", (seq,)).fetchone()
                if row is None or row[0] != envelope_hash:
                    return False
            self._db.execute("UPDATE chain SET acked_seq = ?", (seq,))
        return True

    def prune(self, keep_s: float) -> int:
        """Delete confirmed batches stored longer than `keep_s` ago, never the last one; how many went."""
        before_us = time.time_ns() // 1000 - int(keep_s * 1e6)
        with self._lock:
            cursor = self._db.execute(
                "DELETE FROM batch WHERE stored_us < ? AND seq < (SELECT acked_seq FROM chain)",
                (before_us,),
            )
            return cursor.rowcount

    def depth(self) -> Depth:
        with self._lock:
            last_seq, acked_seq = self._db.execute("SELECT last_seq, acked_seq FROM chain").fetchone()
            (first_seq,) = self._db.execute(
                "SELECT coalesce(min(seq), ?) FROM batch", (last_seq + 1,)
            ).fetchone()
            oldest = self._db.execute(
                "SELECT stored_us FROM batch WHERE seq > ? ORDER BY seq LIMIT 1", (acked_seq,)
            ).fetchone()
        size_bytes = sum(p.stat().st_size for p in (self._path, Path(f"{self._path}-wal")) if p.exists())
        oldest_us = oldest[0] if oldest else None
        return Depth(last_seq, acked_seq, last_seq + 1 - first_seq, size_bytes, oldest_us)


class _transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK if anything was raised."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self._db.execute("ROLLBACK" if kind else "COMMIT")
