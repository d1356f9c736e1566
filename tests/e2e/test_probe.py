"""`agent probe --json` against recorded devices on their real ports: what the bytes say, and nothing more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli import agent

SHARED = Path(__file__).parents[3] / "shared"
CAPTURES = SHARED / "captures"
EXACT = ("mac", "serial", "uptime_s", "make", "model", "firmware", "state")

pytestmark = [
    pytest.mark.skipif(not CAPTURES.is_dir(), reason="no recorded devices beside this checkout"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the recorded devices listen on port 80: needs root"),
]


def recorded() -> list[str]:
    found = CAPTURES.glob("*/*/expected.toml") if CAPTURES.is_dir() else []
    return sorted(str(path.parent.relative_to(CAPTURES)) for path in found)


@pytest.fixture(scope="module")
def devices() -> Iterator[dict[str, str]]:
    """Recorded device -> the address where it is played."""
    base = f"127.{130 + os.getpid() % 100}.7.1"
    command = [sys.executable, str(SHARED / "tools" / "replay.py"), str(CAPTURES), "--base", base]
    player = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert player.stdout is not None
    ready = json.loads(player.stdout.readline().removeprefix("READY "))
    yield {device["id"]: device["addr"] for device in ready["devices"]}
    player.terminate()
    player.wait(10)


@pytest.mark.parametrize("device", recorded())
def test_a_recorded_device_is_probed_as_it_was(
    device: str, devices: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tomllib.loads((CAPTURES / device / "expected.toml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)  # no agent.toml here: the defaults hold
    result = CliRunner().invoke(agent, ["probe", devices[device], "--json"])
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["hashrate_hs"] == pytest.approx(expected["hashrate_hs"], rel=1e-3)
    if "power_w" in expected:
        assert told["power_w"] == pytest.approx(expected["power_w"], rel=2e-3)
        assert told["power_origin"] == expected["power_source"]
    else:
        assert told["power_w"] is None is told["power_origin"] and "power_w" in told["unknown"]
    assert {key: told[key] for key in EXACT} == {key: expected.get(key) for key in EXACT}
    pools = [(_bare(pool["url"]), pool["user"], pool["active"]) for pool in told["pools"]]
    assert pools == [
        (_bare(pool["url"]), pool.get("user_alt", pool["user"]), pool["active"])
        if (_bare(pool["url"]), pool["user"], pool["active"]) not in pools
        else (_bare(pool["url"]), pool["user"], pool["active"])
        for pool in expected.get("pool", [])
    ]
    assert all(told.get(name) is None and name in told["unknown"] for name in expected["unknown"])


def _bare(url: str) -> str:
    return url.split("://")[-1]
