"""The running agent on a disk that fills up and is freed: it goes on by itself, and says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent import config, wire
from agent.app import SPOOL_FILE, author
from agent.cli import agent
from agent.clock import now_us
from agent.spool import Spool
from demo.processes import free_ports
from tests.agent import disk
from tests.agent.test_app import FARM, configured, farm_up

LIMIT_S = 40.0


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
