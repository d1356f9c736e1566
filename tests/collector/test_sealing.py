"""Sealing survives a kill at any moment: what append returned for is there, sealed and right."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import journal, manifest
from collector.journal import Journal, JournalError
from collector.verify import Verifier
from tests.collector.journals import COLLECTOR, SEGMENT_BYTES, Book, shared
from tests.collector.support import T0, Agent, S, one

SHARED = shared()
ROOT = Path(__file__).parents[2]
# Appends for ever, a segment every three batches; each batch is told once `append` has returned.
WRITER = """
import sys
from pathlib import Path
from collector.journal import Journal
from tests.collector.journals import COLLECTOR, SEGMENT_BYTES, Book
from tests.collector.support import T0, S, one
folder = Path(sys.argv[1])
book = Book(folder)
opened = Journal(folder, SEGMENT_BYTES, COLLECTOR)
print("0", flush=True)
while True:
    agent = book.agents[0]
    opened.append([(T0, agent.batch(one(30 * agent.seq, 1)))])
    print(agent.seq, flush=True)
"""


@pytest.mark.parametrize("after", [1, 4, 20, 50])
def test_a_kill_at_any_moment_loses_nothing_that_was_told(tmp_path: Path, after: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(after):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        told = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    last = int(told[-1]) if told else after - 1
    Journal(tmp_path, SEGMENT_BYTES, COLLECTOR).close()
    found = Book(tmp_path).verify()
    assert found.findings == []
    assert found.sealed == found.segments - 1
    assert last <= sum(head.seq for head in found.heads.values()) <= last + 1


def append_until_killed(folder: Path, call: int, batches: int) -> int | None:
    """How many batches a child told of before its kill in its `call`-th system call; None if none came."""
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        true, calls = {name: getattr(os, name) for name in ("open", "write", "fsync", "truncate")}, [0]

        def wrapped(name: str) -> Callable[..., Any]:
            def run(*arguments: Any, **options: Any) -> Any:
                calls[0] += 1
                if calls[0] == call:
                    if name == "write":
                        true["write"](arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return true[name](*arguments, **options)

            return run

        try:
            for name in true:
                setattr(os, name, wrapped(name))
            opened, agent = Journal(folder, SEGMENT_BYTES, COLLECTOR), Agent()
            for _ in range(batches):
                opened.append([(T0, agent.batch(one(30 * agent.seq, 1)))])
                true["write"](telling, b".")
        finally:
            os._exit(0)  # nothing of the parent's may run here
    os.close(telling)
    with os.fdopen(told, "rb") as pipe:
        count = len(pipe.read())
    _, status = os.waitpid(child, 0)
    return count if os.WIFSIGNALED(status) else None


def test_a_kill_in_any_call_to_the_system_loses_nothing_that_was_told(tmp_path: Path) -> None:
    call, sealing = 0, 0
    while (told := append_until_killed(folder := tmp_path / str(call), call := call + 1, 8)) is not None:
        before = len(manifest.read(folder).seals) if folder.exists() else 0
        Journal(folder, SEGMENT_BYTES, COLLECTOR).close()
        found = Book(folder).verify()
        assert found.findings == [], call
        assert found.sealed == found.segments - 1
        assert told <= sum(head.seq for head in found.heads.values()) <= told + 1
        assert before == found.sealed  # a seal counts when its line is whole
        sealing += manifest.read(folder).lines != [] and told % 3 == 0
    assert told is None and call > 30
    assert sealing >= 10  # kills between the end of one segment and the first batch of the next


def test_a_journal_is_right_while_it_is_written(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as writer:
        try:
            while len(journal.numbers(tmp_path)) < 3:
                assert writer.poll() is None
                time.sleep(0.01)
            sealed = set()
            for _ in range(30):
                book = Book(tmp_path)
                found = Verifier(tmp_path, book.keys, wait_s=0.05).run()
                assert found.findings == []
                sealed.add(found.sealed)
            assert len(sealed) > 5  # it went on meanwhile
        finally:
            writer.kill()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_seal_torn_anywhere_is_made_again_the_same(data: st.DataObject) -> None:
    """The crash is in the last seal's line: the segment after it was not made yet."""
    whole = SHARED.manifest.read_bytes()
    begin = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    last, content = SHARED.segments[-1], SHARED.segments[-1].read_bytes()
    last.unlink()
    try:
        SHARED.manifest.write_bytes(whole[: data.draw(st.integers(begin, len(whole) - 1))])
        opened = Journal(SHARED.folder, SEGMENT_BYTES, COLLECTOR)
        opened.append([(T0, Agent().batch(one(0, 1)))])  # the segment is large enough: this seals it
        opened.close()
        assert SHARED.manifest.read_bytes() == whole
    finally:
        last.write_bytes(content)
        SHARED.manifest.write_bytes(whole)


@pytest.mark.parametrize("left", [None, b"", b"HLJ1\x04"])
def test_a_kill_between_seal_and_next_segment_is_mended(tmp_path: Path, left: bytes | None) -> None:
    book = SHARED.copy(tmp_path / "journal")
    before = list(journal.read(book.folder))
    book.segments[-1].unlink()
    if left is not None:
        journal.path(book.folder, 4).write_bytes(left)
        assert [f.segment for f in book.findings()] == [4]
    opened = Journal(book.folder, SEGMENT_BYTES, COLLECTOR)
    assert opened.end == (4, 16)
    opened.append([(entry.received_us, entry.packet) for entry in before if entry.start.segment == 4])
    opened.close()
    assert list(journal.read(book.folder)) == before
    assert book.findings(ledger=True) == []


def test_a_journal_from_before_the_manifest_is_sealed_when_it_is_opened(tmp_path: Path) -> None:
    book = SHARED.copy(tmp_path / "journal")
    book.manifest.unlink()
    Journal(book.folder).close()  # without the key nothing is sealed
    assert not book.manifest.exists()
    Journal(book.folder, SEGMENT_BYTES, COLLECTOR).close()
    assert book.manifest.read_bytes() == SHARED.manifest.read_bytes()


def test_a_new_day_closes_a_segment(tmp_path: Path) -> None:
    agent, day_us = Agent(), 86_400 * S
    for at_us in (T0, T0 + day_us - 1, T0 + day_us, T0 + day_us + 1, T0 + 3 * day_us):
        opened = Journal(tmp_path, key=COLLECTOR)  # a restart closes none
        opened.append([(at_us, agent.batch(one(0, 1)))])
        opened.close()
    seals = manifest.read(tmp_path).seals
    assert [(seal.records, seal.first_received_us) for seal in seals.values()] == [(2, T0), (2, T0 + day_us)]
    assert len(list(journal.read(tmp_path))) == 5


def test_a_sealed_segment_that_is_missing_stops_reading_and_opening(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        folder = tmp_path / str(number)
        shutil.copytree(SHARED.folder, folder)
        journal.path(folder, number).unlink()
        if number == 3:
            journal.path(folder, 4).unlink()  # the last sealed one, and all behind it
        for use in (lambda f=folder: list(journal.read(f)), lambda f=folder: Journal(f)):
            with pytest.raises(
                JournalError, match=f"segment {number} is (sealed in the manifest, but )?missing"
            ):
                use()


def test_a_damaged_manifest_stops_the_collector_and_says_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(SHARED.folder, tmp_path / "journal")
    path = tmp_path / "journal" / manifest.FILE
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"manifest: line 2: .*put back the copy from backup or archive"):
        Journal(tmp_path / "journal")
