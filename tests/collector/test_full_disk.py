"""A collector whose disk is full takes nothing, says so, and loses nothing."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from collector import config
from collector.ledger import tables
from collector.store import Store, sqlite_url
from tests.agent import disk
from tests.collector.support import ORG
from tests.collector.test_end_to_end import ROOT, TIMEOUT_S, Farm, Sender, batches, port

__all__ = ["port"]  # the broker, a fixture


def test_a_full_disk_ends_it_with_words_and_nothing_is_lost(tmp_path: Path, port: int) -> None:
    with disk.small_disk(tmp_path / "disk", 8) as folder:
        farm = Farm(folder, port, embedded=False)
        sender = Sender(port)
        sent = batches(sender.agent, 40)
        sender.send(*sent[:5])
        sender.acknowledged(5, *sent[:5])
        ballast = disk.fill_up(folder)
        sender.send(*sent[5:])
        # Status 1: its service starts it anew; 2 would mean that only a person can help.
        assert farm.process.wait(TIMEOUT_S) == 1
        for _ in range(2):
            again = subprocess.run(
                farm.command("run"), cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
            )
            assert again.returncode == 1 and "Traceback" not in again.stderr
            assert f"{folder}/state: the disk takes nothing more" in again.stderr
        ballast.unlink()
        farm.start()
        sender.acknowledged(40, *sent)
        assert farm.end(signal.SIGTERM) == 0
        settings = config.load(farm.path)
        ledger = Store.open(sqlite_url(settings.ledger_path))
        rebuilt = Store.open(sqlite_url(tmp_path / "again.sqlite3"))
        tables.catch_up(rebuilt, ORG, settings.journal_dir)
        content = tables.contents(ledger)
        ledger.close()
        assert [row.seq for row in content["batch"]] == list(range(1, 41))
        assert content == tables.contents(rebuilt)
