"""The spool: gapless, chained, durable, and deleted from only what the collector has confirmed."""

from __future__ import annotations

import base64
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent import wire
from agent.spool import Author, Spool, SpoolFull, SpoolNewer

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
AUTHOR = Author("org", "site", "agent-1", KEY, synthetic=True, clock_source="simulated")
# Small enough for a few large batches to fill it.
BUDGET_BYTES = 3 * 1024 * 1024


def event(number: int) -> wire.Event:
    return wire.Event(number, "test", detail={"number": str(number)})


def opened(spool: Spool) -> list[wire.Packet]:
    return [wire.open_packet(packet) for _, packet in spool.packets(1, 10_000)]


def assert_chained(packets: list[wire.Packet]) -> None:
    for before, after in pairwise(packets):
        assert after.envelope.seq == before.envelope.seq + 1
        assert after.envelope.prev == before.hash
    assert all(wire.verify(packet, PUBLIC) for packet in packets)


class SpoolAgainstModel(RuleBasedStateMachine):
    """Any order of append, confirm, prune, full, kill, copy and reopen behaves as a plain list would."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "spool.db"
        self.spool = Spool(self.path, AUTHOR, BUDGET_BYTES)
        self.stored: list[int] = []  # the number in each batch, seq 1 first
        self.acked = 0
        self.gone = 0  # batches deleted, from the first on

    @rule(number=st.integers(0, 2**40))
    def append(self, number: int) -> None:
        try:
            assert self.spool.append([event(number)], number) == len(self.stored) + 1
        except SpoolFull:
            return  # `same_as_model` says that nothing has changed
        self.stored.append(number)

    @rule(number=st.integers(0, 2**40), size=st.integers(50_000, 400_000))
    def append_what_may_not_fit(self, number: int, size: int) -> None:
        noise = base64.b64encode(random.Random(size).randbytes(size)).decode()
        try:
            self.spool.append([wire.Event(number, "test", detail={"noise": noise})], number)
        except SpoolFull as error:
            assert "max_gib" in str(error)
            return
        self.stored.append(number)

    @rule()
    def release_the_reserve(self) -> None:
        self.spool.release_reserve()

    @rule()
    def set_a_reserve_aside(self) -> None:
        self.spool.renew_reserve()

    @rule()
    def reopen(self) -> None:
        self.spool.close()
        self.spool = Spool(self.path, AUTHOR, BUDGET_BYTES)

    @rule(lines=st.integers(0, 8))
    def kill_a_process_that_appends(self, lines: int) -> None:
        """All that it had said was stored is there, and at most what it was about to say beyond it."""
        self.spool.close()
        said = appended_until_killed(self.path, lines)
        self.spool = Spool(self.path, AUTHOR, BUDGET_BYTES)
        last_seq = self.spool.depth().last_seq
        assert last_seq >= len(self.stored) + said
        self.stored += range(last_seq - len(self.stored))

    @rule(garbage=st.binary(max_size=5000))
    def a_copy_of_the_files_as_after_a_power_cut(self, garbage: bytes) -> None:
        """What was being written when the power went is no batch; all before it is there."""
        with tempfile.TemporaryDirectory() as folder:
            for suffix in ("", "-wal"):
                shutil.copy(f"{self.path}{suffix}", folder)
            with (Path(folder) / "spool.db-wal").open("ab") as log:
                log.write(garbage)
            copy = Spool(Path(folder) / "spool.db", AUTHOR, BUDGET_BYTES)
            self.assert_same(copy)
            assert copy.append([event(1)], 1) == len(self.stored) + 1
            assert_chained(opened(copy))
            copy.close()

    @rule(place=st.integers(0, 1000))  # how many there are is not always the same: some processes were killed
    def acknowledge(self, place: int) -> None:
        packets = opened(self.spool)
        if packets:
            chosen = packets[place % len(packets)]
            assert self.spool.acknowledge(chosen.envelope.seq, chosen.hash)
            self.acked = chosen.envelope.seq

    @rule(seq=st.integers(1, 50), forged=st.binary(min_size=32, max_size=32))
    def forged_ack_changes_nothing(self, seq: int, forged: bytes) -> None:
        assert not self.spool.acknowledge(seq, forged)

    @rule()
    def prune_all_confirmed(self) -> None:
        self.spool.prune(keep_s=-1)
        self.gone = max(self.gone, self.acked - 1)

    @rule()
    def prune_within_the_kept_window(self) -> None:
        assert self.spool.prune(keep_s=3600) == 0

    @rule(need_bytes=st.integers(0, 500_000))
    def reclaim(self, need_bytes: int) -> None:
        went = self.spool.reclaim(need_bytes)
        assert (went > 0) == (self.gone < self.acked - 1)
        self.gone += went
        assert self.gone <= max(0, self.acked - 1)

    def assert_same(self, spool: Spool) -> None:
        packets = opened(spool)
        assert_chained(packets)
        assert [p.envelope.seq for p in packets] == list(range(self.gone + 1, len(self.stored) + 1))
        assert [p.records[0].at_us for p in packets] == self.stored[self.gone :]  # type: ignore[union-attr]  # events alone
        depth = spool.depth()
        assert (depth.last_seq, depth.acked_seq) == (len(self.stored), self.acked)
        assert (depth.waiting, depth.kept) == (len(self.stored) - self.acked, len(packets))
        assert (depth.waiting_bytes > 0) == (depth.waiting > 0) == (depth.oldest_waiting_us is not None)

    @invariant()
    def same_as_model(self) -> None:
        self.assert_same(self.spool)
        assert (
            sum(p.stat().st_size for p in self.path.parent.iterdir() if p.suffix != ".db-shm") <= BUDGET_BYTES
        )

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            self.folder.cleanup()


TestSpoolAgainstModel = SpoolAgainstModel.TestCase
TestSpoolAgainstModel.settings = settings(
    max_examples=int(os.environ.get("HASHLEDGER_SPOOL_EXAMPLES", "20")),
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)


def appended_until_killed(path: Path, lines: int) -> int:
    """A child appends 0, 1, 2, ... and is killed in the middle, after `lines` were told; how many it told."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            spool = Spool(path, AUTHOR, BUDGET_BYTES)
            for number in range(1000):
                spool.append([event(number)], number)
                os.write(tell, b".")
            time.sleep(60)  # the kill is on its way
        finally:
            os._exit(1)
    os.close(tell)
    said = 0
    while said < lines and os.read(told, 1):
        said += 1
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while os.read(told, 1):
        said += 1
    os.close(told)
    return said


def test_what_append_returned_survives_a_kill(tmp_path: Path) -> None:
    """The child prints each seq after append returned; killed at once, none of them is missing."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from agent import keys, wire
        from agent.spool import Author, Spool
        folder = Path(sys.argv[1])
        author = Author("org", "site", "agent-1", keys.create(folder), True, "simulated")
        spool = Spool(folder / "spool.db", author)
        for number in range(100_000):
            print(spool.append([wire.Event(number, "test")], number), flush=True)
        """
    )
    last = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert child.stdout is not None
        for _ in range(15):
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        last = max([last, *(int(line) for line in child.stdout if line.endswith("\n"))])
        child.wait()
        from agent import keys

        author = Author("org", "site", "agent-1", keys.load(tmp_path), True, "simulated")
        spool = Spool(tmp_path / "spool.db", author)
        seqs = [seq for seq, _ in spool.packets(1, 100_000)]
        assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) >= last
        spool.close()


def test_a_batch_that_cannot_be_packed_leaves_no_trace(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    spool.append([event(1)], 1)
    with pytest.raises(TypeError):
        spool.append([object()], 2)  # type: ignore[list-item]  # on purpose
    assert spool.append([event(2)], 2) == 2
    assert_chained(opened(spool))
    spool.close()


def test_an_ack_that_goes_back_brings_the_mark_back(tmp_path: Path) -> None:
    """A collector restored from a backup stands lower: what it lost waits again."""
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    for number in range(5):
        spool.append([event(number)], number)
    packets = opened(spool)
    assert spool.acknowledge(5, packets[4].hash)
    assert spool.acknowledge(2, packets[1].hash)
    assert spool.depth().waiting == 3
    assert spool.acknowledge(0, wire.GENESIS)
    assert spool.depth().waiting == 5
    spool.close()


def test_a_spool_of_the_first_layout_is_taken_over_whole(tmp_path: Path) -> None:
    new = Spool(tmp_path / "new.db", AUTHOR)
    for number in range(5):
        new.append([event(number)], number)
    chain = [(p.envelope.seq, p.hash) for p in opened(new)]
    old = sqlite3.connect(tmp_path / "spool.db")
    old.executescript(
        "CREATE TABLE batch (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, packet BLOB NOT NULL,"
        " stored_us INTEGER NOT NULL);"
        "CREATE TABLE chain (id INTEGER PRIMARY KEY CHECK (id = 1), last_seq INTEGER NOT NULL,"
        " last_hash BLOB NOT NULL, acked_seq INTEGER NOT NULL);"
    )
    for (seq, envelope_hash), (_, packet) in zip(chain, new.packets(1, 10), strict=True):
        old.execute("INSERT INTO batch VALUES (?, ?, ?, 1)", (seq, envelope_hash, packet))
    old.execute("INSERT INTO chain VALUES (1, 5, ?, 2)", (chain[-1][1],))
    old.commit()
    old.close()
    new.close()
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    assert [(p.envelope.seq, p.hash) for p in opened(spool)] == chain
    assert spool.append([event(5)], 5) == 6
    assert_chained(opened(spool))
    assert (spool.depth().acked_seq, spool.depth().waiting) == (2, 4)
    spool.close()


def test_a_spool_of_the_released_layout_goes_on(tmp_path: Path) -> None:
    """Made by the first release: 12 batches, 5 of them confirmed."""
    with zipfile.ZipFile(Path(__file__).parent / "old" / "spool-2.zip") as stored:
        stored.extractall(tmp_path)
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    before = opened(spool)
    assert [p.envelope.seq for p in before] == list(range(1, 13))
    assert (spool.depth().acked_seq, spool.depth().waiting) == (5, 7)
    assert spool.append([event(12)], 12) == 13
    assert opened(spool)[-1].envelope.prev == before[-1].hash
    assert spool.acknowledge(12, before[-1].hash)
    assert spool.prune(keep_s=0) == 11
    spool.close()


def test_a_newer_programs_spool_is_refused_and_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    spool.append([event(0)], 0)
    spool.close()
    with sqlite3.connect(spool.path) as db:
        db.execute("PRAGMA user_version=3")
    db.close()
    with pytest.raises(SpoolNewer, match="layout is 3, this program writes 2"):
        Spool(spool.path, AUTHOR)
    with sqlite3.connect(spool.path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("SELECT count(*) FROM batch").fetchone() == (1,)
    db.close()


def test_pruning_reads_no_further_than_it_deletes(tmp_path: Path) -> None:
    """A confirmed batch within the kept window stays, and so does all behind it."""
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    for number in range(500):
        spool.append([event(number)], number)
    last = opened(spool)[-1]
    spool.acknowledge(500, last.hash)
    with sqlite3.connect(spool.path) as db:
        db.execute("UPDATE batch SET stored_us = 0 WHERE seq <= 450")
    db.close()
    assert spool.prune(keep_s=3600) == 450
    assert [seq for seq, _ in spool.packets(1, 1000)] == list(range(451, 501))
    spool.close()
