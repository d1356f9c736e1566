"""How full the spool is and how fast it fills: a few look-ups in its file, beside a running agent too.

Nothing here grows with the number of batches: each row carries the bytes stored up to its end (`end_bytes`),
so that what waits is one difference. Bytes are told as they count on disk, with SQLite's share.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

# Rates are those of the last hour, or of the last sixty batches (a sweep a minute).
RATE_S = 3600
RATE_BATCHES = 60


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits for the collector, what is kept, and the room that is left; rates of about the last hour."""

    last_seq: int
    acked_seq: int
    kept: int  # batches in the file, confirmed ones too
    size_bytes: int  # of the files
    oldest_waiting_us: int | None  # when the first batch that is not yet confirmed was stored
    waiting_bytes: int
    limit_bytes: (
        int  # what batches may come to: the budget, or what the file system still has if that is less
    )
    in_per_s: float  # batches
    in_bytes_per_s: float
    out_per_s: float
    out_bytes_per_s: float

    @property
    def waiting(self) -> int:
        """Batches that the collector has not confirmed."""
        return self.last_seq - self.acked_seq

    @property
    def fill(self) -> float:
        """Share of the room that waiting batches take; confirmed ones make way for them."""
        return min(1.0, self.waiting_bytes / max(1, self.limit_bytes))

    def full_in_s(self, *, linked: bool = True) -> float | None:
        """Until what waits takes all the room at these rates, or (not linked) without acks; None: never."""
        net_bytes_per_s = self.in_bytes_per_s - (self.out_bytes_per_s if linked else 0.0)
        if net_bytes_per_s <= 0:
            return None
        return max(0, self.limit_bytes - self.waiting_bytes) / net_bytes_per_s


def files_bytes(path: Path) -> int:
    """Bytes on disk of the database and its log."""
    return sum(p.stat().st_size for p in (path, Path(f"{path}-wal")) if p.exists())


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something; those of deleted batches are free for new ones."""
    pages, free, page_bytes = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * page_bytes


def free_bytes(folder: Path) -> int:
    """What an unprivileged process may still write to the file system of a folder."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def read_depth(path: Path, room_bytes: int) -> Depth | None:
    """The depth of the spool at `path`, changing nothing; None where there is none."""
    if not path.is_file():
        return None
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return measure(db, path, room_bytes)


def measure(db: sqlite3.Connection, path: Path, room_bytes: int, acked_seq: int | None = None) -> Depth:
    """The depth by an open connection; `acked_seq` where it is known better than the file tells.

    `room_bytes` is what the budget leaves for batches (`agent.spool.room_bytes`).
    """
    last_seq, told = db.execute("SELECT last_seq, acked_seq FROM chain").fetchone()
    acked_seq = told if acked_seq is None else acked_seq
    first = db.execute(
        "SELECT seq, end_bytes - length(packet), stored_us FROM batch ORDER BY seq LIMIT 1"
    ).fetchone()
    first_seq, begin_bytes, first_us = first or (last_seq + 1, 0, 0)

    def row(seq: int) -> tuple[int, int]:
        found = db.execute("SELECT end_bytes, stored_us FROM batch WHERE seq = ?", (seq,)).fetchone()
        return found or (begin_bytes, first_us)

    now_us = time.time_ns() // 1000
    end_bytes, acked_bytes = row(last_seq)[0], row(acked_seq)[0]
    share = used_bytes(db) / max(1, end_bytes - begin_bytes)
    oldest = db.execute(
        "SELECT stored_us FROM batch WHERE seq > ? ORDER BY seq LIMIT 1", (acked_seq,)
    ).fetchone()
    since_seq = max(first_seq - 1, last_seq - RATE_BATCHES)
    since_bytes, since_us = row(since_seq)
    in_s = max(1.0, (now_us - since_us) / 1e6)
    before = db.execute(
        "SELECT at_s, seq FROM confirmed WHERE at_s >= ? ORDER BY at_s LIMIT 1",
        (now_us // 1_000_000 - RATE_S,),
    ).fetchone()
    at_s, before_seq = before or (now_us // 1_000_000, acked_seq)
    out_s = max(1.0, now_us / 1e6 - at_s)
    size_bytes = files_bytes(path)
    return Depth(
        last_seq=last_seq,
        acked_seq=acked_seq,
        kept=last_seq + 1 - first_seq,
        size_bytes=size_bytes,
        oldest_waiting_us=oldest[0] if oldest else None,
        waiting_bytes=int(share * max(0, end_bytes - acked_bytes)),
        limit_bytes=min(room_bytes, size_bytes + free_bytes(path.parent)),
        in_per_s=(last_seq - since_seq) / in_s,
        in_bytes_per_s=share * (end_bytes - since_bytes) / in_s,
        out_per_s=max(0, acked_seq - before_seq) / out_s,
        out_bytes_per_s=share * max(0, acked_bytes - row(before_seq)[0]) / out_s,
    )
