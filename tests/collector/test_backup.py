"""Backups are whole while a collector runs, and what is restored goes on to the same ledger."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.config import MqttSection
from agent.publish import Publisher
from agent.spool import Author, Spool
from collector import app, backup, config, private, restore, roll
from collector.backup import BackupError
from collector.config import Config
from collector.ingest import Ingest, Message
from collector.journal import Journal
from collector.ledger import tables
from collector.ledger.fold import LedgerError
from collector.store import Store
from tests.collector.databases import configured, ledger_url
from tests.collector.support import AGENT, ORG, SITE, T0, Agent, S, key_of, one
from tests.collector.test_cli import call
from tests.collector.test_end_to_end import TIMEOUT_S, Farm, free_port
from tests.collector.test_facts import CONFIG

KEY = (ORG, SITE, AGENT)
DAY_US = 86_400 * S


class Collector:
    """A collector's middle over a configured state folder; small segments, so that several are closed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "devices.csv").write_text("serial\n")
        (folder / "collector.toml").write_text(configured(folder, CONFIG))
        self.folder = folder
        self.settings: Config = config.load(folder / "collector.toml")
        self.start()

    def start(self) -> None:
        state = self.settings.state_dir
        self.journal = Journal(self.settings.journal_dir, 6000, private.collector_key(state))
        self.store = app.open_store(self.settings)
        fold = tables.catch_up(self.store, ORG, self.settings.journal_dir)
        self.ingest = Ingest(self.store, self.journal, fold, {KEY: Agent().public_key})

    def take(self, packets: list[bytes], first: int = 0) -> None:
        for n, packet in enumerate(packets, first):
            self.ingest.take([Message(Agent().topic, packet, T0 + n * S)])

    @property
    def stands_at(self) -> int:
        return self.ingest.heads[KEY].seq if KEY in self.ingest.heads else 0

    def stop(self) -> None:
        self.journal.close()
        self.store.close()

    def contents(self) -> dict[str, Any]:
        return tables.contents(self.store)


def sent(count: int) -> list[bytes]:
    agent = Agent()
    return [agent.batch(one(30 * n, 1000 + n), created_us=T0 + 30 * n * S) for n in range(count)]


def rebuilt(settings: Config, place: Path) -> dict[str, Any]:
    store = Store.open(ledger_url(place))
    tables.catch_up(store, ORG, settings.journal_dir)
    return tables.contents(store)


@pytest.mark.usefixtures("both_stores")
def test_a_restored_collector_asks_again_and_ends_with_the_same_ledger(tmp_path: Path) -> None:
    packets = sent(60)
    spared = Collector(tmp_path / "spared")
    spared.take(packets)
    lost = Collector(tmp_path / "lost")
    lost.take(packets[:40])
    made, content, _ = backup.make(lost.settings, tmp_path / "backups", T0)
    assert content.checkpoint == content.end
    lost.take(packets[40:50], 40)
    lost.stop()
    shutil.rmtree(lost.settings.state_dir)
    settings = lost.settings
    if settings.ledger is not None:  # lost with the rest
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "devices.csv").write_text("serial\n")
        (tmp_path / "new" / "collector.toml").write_text(configured(tmp_path / "new", CONFIG))
        settings = config.load(tmp_path / "new" / "collector.toml")
    restore.check(made, settings)
    assert restore.restore(made, settings, None) == {(SITE, AGENT): 40}
    lost.settings = settings
    lost.start()
    assert lost.stands_at == 40
    lost.take(packets[lost.stands_at :], lost.stands_at)
    assert lost.contents() == spared.contents()
    assert lost.contents() == rebuilt(lost.settings, tmp_path / "again")
    lost.stop()
    spared.stop()


@pytest.mark.usefixtures("both_stores")
def test_a_backup_of_a_running_collector_is_whole_at_every_moment(tmp_path: Path) -> None:
    running, packets, failed = Collector(tmp_path / "running"), sent(250), list[BaseException]()

    def work() -> None:
        try:
            for n in range(0, 250, 5):
                running.ingest.take([Message(Agent().topic, p, T0 + n * S) for p in packets[n : n + 5]])
        except BaseException as error:
            failed.append(error)
            raise

    worker = threading.Thread(target=work)
    worker.start()
    made = []
    while worker.is_alive() or not made:
        made.append(backup.make(running.settings, tmp_path / "backups", T0 + len(made) * S, kept=100))
    worker.join()
    assert not failed
    for n, (place, content, _) in enumerate(made):
        assert content.checkpoint <= content.end
        restore.check(place, running.settings)
        into = tmp_path / f"restored-{n}"
        restore.restore(place, running.settings, into)
        settings = dataclasses.replace(running.settings, state_dir=into, ledger=None)
        store = app.open_store(settings)
        tables.catch_up(store, ORG, settings.journal_dir)
        assert tables.contents(store) == rebuilt(settings, tmp_path / f"again-{n}")
        store.close()
    running.stop()


def test_closed_segments_are_in_all_backups_once_and_old_backups_go(tmp_path: Path) -> None:
    collector, packets = Collector(tmp_path / "c"), sent(90)
    folder = tmp_path / "backups"
    linked = []
    for n in range(4):
        collector.take(packets[20 * n : 20 * n + 20], 20 * n)
        made, _, again = backup.make(collector.settings, folder, T0 + n * S, kept=2)
        linked.append(again)
    assert linked[0] == 0 < linked[1] < linked[2] < linked[3]
    old, new = (place / "state/journal/00000001.hlj" for place in backup.generations(folder))
    assert old.samefile(new)
    assert len(backup.generations(folder)) == 2
    assert restore.newest(folder) == made == backup.generations(folder)[0]
    collector.stop()


def test_a_backup_cut_short_is_begun_anew_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector, folder = Collector(tmp_path / "c"), tmp_path / "backups"
    collector.take(sent(60))
    copies = []

    def killed(self: object, source: Path, *rest: object) -> None:
        if len(copies) == 4:
            raise KeyboardInterrupt
        copies.append(source)
        copy(self, source, *rest)  # type: ignore[arg-type]  # as it was called

    copy = backup._Writing.copy
    monkeypatch.setattr(backup._Writing, "copy", killed)
    with pytest.raises(KeyboardInterrupt):
        backup.make(collector.settings, folder, T0)
    assert backup.generations(folder) == []
    with pytest.raises(BackupError, match="no whole backup"):
        restore.newest(folder)
    monkeypatch.undo()
    made, _, again = backup.make(collector.settings, folder, T0)
    assert again == sum(path.suffix == ".hlj" for path in copies) > 0
    restore.check(made, collector.settings)
    collector.stop()


def test_files_that_the_configuration_names_are_in_it(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "c", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "devices.csv").write_text("serial\nb\n")
    collector = Collector(folder)
    text = (
        CONFIG
        + f"""
[site.south]
name = "South"
country = "ir"
zone = "Asia/Tehran"
devices = "{elsewhere / "devices.csv"}"
"""
    )
    collector.settings.path.write_text(text)
    made, _, _ = backup.make(config.load(collector.settings.path), tmp_path / "backups", T0)
    kept = {str(path.relative_to(made / "config")) for path in (made / "config").rglob("*")}
    assert kept == {"collector.toml", "devices.csv", "2-devices.csv"}
    assert (made / "config" / "2-devices.csv").read_text() == "serial\nb\n"
    restore.check(made, collector.settings)
    collector.stop()


def test_nothing_in_a_backup_is_anybody_elses_business(tmp_path: Path) -> None:
    collector, folder = Collector(tmp_path / "c"), tmp_path / "backups"
    state = collector.settings.state_dir
    collector.take(sent(3))
    private.write(state / roll.FILE, msgspec.json.encode(roll.Roll()))
    (state / "ca").mkdir(mode=0o700)
    private.write(state / "ca" / "ca.key", b"secret")
    made, _, _ = backup.make(collector.settings, folder, T0)
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    into = tmp_path / "into"
    restore.restore(made, collector.settings, into)
    assert into.stat().st_mode & 0o077 == 0
    for name in ("collector.key", "roll.json", "ca/ca.key"):
        assert (into / name).read_bytes() == (state / name).read_bytes()
        private.check(into / name)
    collector.stop()


@pytest.mark.parametrize("name", ["journal/00000001.hlj", "ledger.sqlite3", "collector.key"])
@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_a_damaged_backup_is_refused_and_named(tmp_path: Path, name: str, how: str) -> None:
    collector = Collector(tmp_path / "c")
    collector.take(sent(3))
    made, _, _ = backup.make(collector.settings, tmp_path / "backups", T0)
    path = made / "state" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[:-1] if how == "cut" else content)
    if how == "gone":
        path.unlink()
    with pytest.raises(BackupError, match=name):
        restore.check(made, collector.settings)
    collector.stop()


def test_a_forged_batch_in_a_backup_is_refused_whatever_its_manifest_says(tmp_path: Path) -> None:
    collector = Collector(tmp_path / "c")
    forger = Agent(key=key_of(9))
    collector.ingest.enrol({KEY: forger.public_key})
    collector.take([forger.batch(one(0, 1))])
    made, _, _ = backup.make(collector.settings, tmp_path / "backups", T0)
    with pytest.raises(BackupError, match="does not verify"):
        restore.check(made, collector.settings)
    collector.stop()


def test_commands_refuse_what_would_overwrite_and_tell_what_they_did(tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    collector.take(sent(5))
    folder = tmp_path / "backups"
    result = call(tmp_path, "backup", str(folder))
    assert (result.exit_code, "ledger to segment 1" in result.output) == (0, True)
    inside = call(tmp_path, "backup", str(tmp_path / "state" / "b"))
    assert (inside.exit_code, "is in the state folder itself" in inside.output) == (2, True)
    full = call(tmp_path, "restore", str(folder))
    assert (full.exit_code, "is not empty" in full.output) == (2, True)
    collector.stop()
    shutil.rmtree(tmp_path / "state")
    done = call(tmp_path, "restore", str(folder))
    assert done.exit_code == 0
    assert "checked: 5 batches" in done.output
    assert f"{SITE}/{AGENT}: stands at batch 5" in done.output
    assert call(tmp_path, "status").exit_code == 0
    (tmp_path / "collector.toml").unlink()
    missing = call(tmp_path, "restore", str(folder))
    assert (missing.exit_code, "the backup has a copy in" in missing.output) == (2, True)


def test_a_ledger_and_a_journal_of_different_times_are_told_apart(tmp_path: Path) -> None:
    collector, packets = Collector(tmp_path / "c"), sent(40)
    collector.take(packets[:20])
    old_ledger, old_journal = tmp_path / "ledger", tmp_path / "journal"
    shutil.copytree(collector.settings.journal_dir, old_journal)
    collector.store.close()
    shutil.copy(collector.settings.ledger_path, old_ledger)
    collector.stop()
    collector.start()
    collector.take(packets[20:], 20)
    whole = collector.contents()
    collector.stop()
    state = collector.settings.state_dir

    new_journal = tmp_path / "new-journal"
    shutil.move(state / "journal", new_journal)
    shutil.copytree(old_journal, state / "journal")
    with pytest.raises(LedgerError, match="collector rebuild"):  # the ledger is newer
        collector.start()
    collector.stop()
    app.rebuild(collector.settings)
    collector.start()
    assert collector.stands_at == 20
    collector.take(packets[20:], 20)
    assert collector.contents() == whole
    collector.stop()

    for path in state.glob("ledger.sqlite3*"):
        path.unlink()
    shutil.copy(old_ledger, collector.settings.ledger_path)  # the ledger is older: it catches up
    collector.start()
    assert collector.contents() == whole
    collector.stop()


def test_processes_backed_up_lost_and_restored_end_with_every_batch_once(tmp_path: Path) -> None:
    """A real collector, broker, spool and publisher; what came after the backup comes again."""
    port = free_port()
    farm = Farm(tmp_path, port, embedded=True)
    author = Author(ORG, SITE, AGENT, Agent().key, synthetic=False, clock_source="none")
    spool = Spool(tmp_path / "spool" / "spool.db", author)
    publisher = Publisher(spool, author, MqttSection(host="127.0.0.1", port=port))
    publisher.start()

    def sweeps(first: int, count: int) -> None:
        for n in range(first, first + count):
            spool.append([one(30 * n, 1000 + n)], T0 + 30 * n * S)
        publisher.wake()
        until_s = time.monotonic() + TIMEOUT_S
        while spool.depth().acked_seq < first + count or spool.depth().waiting:
            assert time.monotonic() < until_s, spool.depth()
            time.sleep(0.05)

    sweeps(0, 30)
    assert call(tmp_path, "backup", str(tmp_path / "backups")).exit_code == 0
    sweeps(30, 30)
    assert farm.end(signal.SIGKILL) == -signal.SIGKILL
    settings = config.load(farm.path)
    before = app.open_store(settings)
    whole = tables.contents(before)
    before.close()
    shutil.rmtree(tmp_path / "state")
    assert call(tmp_path, "restore", str(tmp_path / "backups")).exit_code == 0
    store = app.open_store(settings)
    assert [row.seq for row in tables.contents(store)["batch"]] == list(range(1, 31))
    store.close()
    until_s = time.monotonic() + TIMEOUT_S
    while socket.socket().connect_ex(("127.0.0.1", port)) == 0:  # the broker has yet to miss its parent
        assert time.monotonic() < until_s
        time.sleep(0.05)
    farm.start()
    sweeps(60, 1)
    assert farm.end(signal.SIGTERM) == 0
    publisher.stop()
    store = app.open_store(settings)
    found = tables.contents(store)
    assert [row.seq for row in found["batch"]] == list(range(1, 62))
    assert [row.hash for row in found["batch"]][:60] == [row.hash for row in whole["batch"]]
    assert found == rebuilt(settings, tmp_path / "again")
    store.close()
    spool.close()
