"""The running agent on a disk that fills up and is freed: it goes on by itself, and says so."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent import config, keys, wire
from agent.app import SPOOL_FILE, author
from agent.cli import agent
from agent.clock import now_us
from agent.spool import Spool
from collector.ledger import tables
from collector.store import Store, sqlite_url
from demo.processes import free_ports
from tests.agent import disk
from tests.agent.test_app import FARM, configured, farm_up, run

LIMIT_S = 40.0
# A few sweeps of one device, as the real bound is of a large site's: what an hour is there, is seconds here.
SMALL_MEMORY = "from agent import intake; intake.HELD_BYTES = 200; from hashledger import main; main()"
COLLECTOR = """\
[collector]
org = "o"
state_dir = "state"
metrics = "127.0.0.1:{metrics}"
[mqtt]
port = {port}
embedded = true
[[agent]]
site = "s"
name = "agent-1"
public_key = "{key}"
[site.s]
name = "S"
country = "kz"
zone = "Etc/UTC"
"""


def page(path: Path, name: str) -> tuple[int, str]:
    """What the running agent answers; 0 while it does not."""
    port = config.load(path).exporter.port
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(what: str, found: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not found():
        if time.monotonic() > end_s:
            pytest.fail(f"never came: {what}")
        time.sleep(0.1)


def last_seq(path: Path) -> int:
    result = CliRunner().invoke(agent, ["spool", "--config", str(path), "--json"])
    return int(json.loads(result.output)["last_seq"]) if result.exit_code == 0 else 0


def thinned(path: Path) -> float:
    """How many sweeps the running agent says that it has left out."""
    found = re.search(r"^hashledger_agent_spool_thinned_sweeps\S* (\S+)$", page(path, "metrics")[1], re.M)
    return float(found[1]) if found else 0


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, which must end well when it is told to."""
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


@contextlib.contextmanager
def collecting(folder: Path, loaded: config.Config) -> Iterator[Path]:
    """A collector with its broker where the agent looks for it; its ledger."""
    folder.mkdir()
    key = base64.b64encode(keys.load(loaded.agent.state_dir).public_key().public_bytes_raw()).decode()
    (metrics,) = free_ports(1)
    path = folder / "collector.toml"
    path.write_text(COLLECTOR.format(metrics=metrics, port=loaded.mqtt.port, key=key))
    with running("-m", "collector", "run", "--config", str(path)):
        yield folder / "state" / "ledger.sqlite3"


def told_of(ledger: Path, kind: str) -> list[dict[str, str]]:
    """What the collector's ledger holds of the agent's events of a kind, in order."""
    if not ledger.exists():
        return []
    store = Store.open(sqlite_url(ledger))
    rows = tables.contents(store)["event"]
    store.close()
    return [row.detail for row in sorted(rows, key=lambda row: (row.seq, row.ordinal)) if row.kind == kind]


def test_a_running_agent_survives_a_full_disk_and_goes_on_by_itself(tmp_path: Path) -> None:
    """Its sweeps come a second apart; from before to after the full disk not one of them is missing."""
    ports = free_ports(2)
    caller = FARM.addresses("ir", now_us())[0]
    with disk.small_disk(tmp_path / "disk", 12) as folder:
        path = configured(folder, (ports[0], ports[1]), f"{caller}/32", "[spool]", "max_gib = 0.008")
        command = [sys.executable, "-m", "hashledger", "agent", "run", "--config", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with farm_up((ports[0], ports[1])):
                until("three batches", lambda: last_seq(path) >= 3)
                ballast = disk.fill_up(folder)
                until("trouble told", lambda: "memory" in page(path, "readyz")[1])
                stood = last_seq(path)
                assert page(path, "readyz")[0] == 503
                assert "hashledger_agent_spool_held_records" in page(path, "metrics")[1]
                time.sleep(3)  # a few more sweeps for memory
                assert process.poll() is None
                ballast.unlink()
                until("readiness", lambda: page(path, "readyz")[0] == 200)
                until("batches after it", lambda: last_seq(path) > stood + 2)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        loaded = config.load(path)
        spool = Spool(loaded.agent.state_dir / SPOOL_FILE, author(loaded))
        told = disk.records(spool)
        spool.close()
    events = [r for r in told if isinstance(r, wire.Event)]
    full = [e.detail for e in events if e.kind == "spool_pressure" and e.detail["percent"] == "100"]
    assert [detail["crossed"] for detail in full] == ["up", "down"]
    missed = sum(int(e.detail["left_out"]) for e in events if e.kind == "sweep_overrun")
    sweeps = [r for r in told if isinstance(r, wire.Sweep)]
    steps_s = [(b.started_us - a.started_us) / 1e6 for a, b in pairwise(sweeps)]
    assert len(sweeps) > 6 and sum(round(step_s) for step_s in steps_s) - len(steps_s) <= missed


def test_what_a_full_disk_has_cost_reaches_the_ledger(tmp_path: Path) -> None:
    """Memory is too small for the time: the sweeps are thinned, the agent goes on, the collector is told."""
    ports = free_ports(2)
    caller = FARM.addresses("ir", now_us())[0]
    with disk.small_disk(tmp_path / "disk", 12) as folder, farm_up((ports[0], ports[1])):
        path = configured(folder, (ports[0], ports[1]), f"{caller}/32", "[spool]", "max_gib = 0.008")
        loaded = config.load(path)
        with (
            collecting(tmp_path / "collector", loaded) as ledger,
            running("-c", SMALL_MEMORY, "agent", "run", "--config", str(path)),
        ):
            until("the agent heard", lambda: len(told_of(ledger, "agent_started")) == 1)
            until("three batches", lambda: last_seq(path) >= 3)
            ballast = disk.fill_up(folder)
            until("three sweeps left out", lambda: thinned(path) >= 3)
            assert page(path, "readyz")[0] == 503
            ballast.unlink()
            until("readiness", lambda: page(path, "readyz")[0] == 200)
            until("the ledger told", lambda: bool(told_of(ledger, "spool_thinned")))
        spool = Spool(loaded.agent.state_dir / SPOOL_FILE, author(loaded))
        sweeps = disk.sweeps(spool)
        spool.close()
        (told,) = told_of(ledger, "spool_thinned")
        full = [d["crossed"] for d in told_of(ledger, "spool_pressure") if d["percent"] == "100"]
        missed = sum(int(d["left_out"]) for d in told_of(ledger, "sweep_overrun"))
    assert full == ["up", "down"]
    assert int(told["sweeps"]) >= 3
    # Each sweep that is stored stands for those left out before it, and none is missing beside them.
    stands_s = [sweep.interval_s for sweep in sweeps]
    assert sum(stands_s) - len(sweeps) == int(told["sweeps"])
    assert round((sweeps[-1].started_us - sweeps[0].started_us) / 1e6) <= sum(stands_s[1:]) + missed


def test_an_agent_that_cannot_make_its_spool_says_so_and_may_be_started_again(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk", 30) as folder:
        ports = free_ports(2)
        path = configured(folder, (ports[0], ports[1]), "127.0.0.9/32")
        ballast = disk.fill_up(folder)
        failed = run(path)
        # Status 1: its service starts it anew; 2 would mean that only a person can help.
        assert failed.returncode == 1 and "Traceback" not in failed.stderr
        assert f"{folder}/agent-state/{SPOOL_FILE}: the disk takes nothing more" in failed.stderr
        ballast.unlink()
        assert run(path, "--sweeps", "1").returncode == 0
