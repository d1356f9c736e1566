"""`hashledger agent spool`: what it tells is what is there, beside a writer too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent import wire
from agent.app import SPOOL_FILE
from agent.cli import agent
from agent.depth import Depth
from agent.spool import Spool, room_bytes
from agent.spool_cli import duration, size
from tests.agent.disk import AUTHOR, MIB, at_us, sweep

CONFIG = """
[agent]
org = "o"
site = "s"
[network]
scan = ["10.0.0.0/30"]
[mqtt]
host = "127.0.0.1"
[spool]
max_gib = 0.0078125
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG)
    return file


def typed(path: Path, *more: str) -> str:
    result = CliRunner().invoke(agent, ["spool", "--config", str(path), *more])
    assert result.exit_code == 0, result.output
    return result.output


def test_it_tells_what_waits_while_the_agent_writes(path: Path) -> None:
    spool = Spool(path.parent / "agent-state" / SPOOL_FILE, AUTHOR, 8 * MIB)
    for number in range(10):
        spool.append([sweep(number)], at_us(number))
    ((seq, packet),) = spool.packets(4, 1)
    assert spool.acknowledge(seq, wire.open_packet(packet).hash)
    told = json.loads(typed(path, "--json"))
    assert (told["waiting"], told["last_seq"], told["acked_seq"], told["kept"]) == (6, 10, 4, 10)
    assert told["limit_bytes"] == room_bytes(8 * MIB)
    assert 0 < told["waiting_bytes"] < told["size_bytes"] and told["oldest_waiting_age_s"] is not None
    assert told["in_bytes_per_s"] > 0 and told["full_without_collector_in_s"] > 0
    text = typed(path)
    assert "6 batches" in text and "batch 4 of 10" in text
    assert spool.append([sweep(10)], at_us(10)) == 11
    spool.close()
    assert json.loads(typed(path, "--json"))["waiting"] == 7  # and when no agent runs


def test_a_folder_without_a_spool_is_told_with_what_would_make_one(path: Path) -> None:
    result = CliRunner().invoke(agent, ["spool", "--config", str(path)])
    assert result.exit_code == 2 and "agent run" in result.output
    assert not (path.parent / "agent-state").exists()


def test_time_to_full_is_never_unless_more_comes_than_goes() -> None:
    depth = Depth(10, 4, 10, 1000, 1, 600, 1600, 1.0, 10.0, 2.0, 20.0)
    assert depth.full_in_s() is None
    assert depth.full_in_s(linked=False) == 100.0


def test_lengths_and_sizes_are_told_in_a_unit_that_suits_them() -> None:
    assert [duration(s) for s in (5, 119, 121, 7200, 40 * 86_400)] == ["5 s", "119 s", "2 min", "2 h", "40 d"]
    assert [size(b) for b in (12, 2048, 5 * MIB, 3 * 1024 * MIB)] == [
        "12 B",
        "2.0 KiB",
        "5.0 MiB",
        "3.00 GiB",
    ]
