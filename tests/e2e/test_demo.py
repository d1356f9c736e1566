"""The whole way, as a newcomer runs it: ledger and filings against the simulator's own curves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

MONTH = "2026-09"  # over, and always the same
MINERS = 12
LIMIT_S = 400  # some 50 s on an idle machine; a bound for a busy one, not a measure


def command(folder: Path, *more: str) -> list[str]:
    arguments = [
        "demo",
        "--dir",
        str(folder),
        "--month",
        MONTH,
        "--miners",
        str(MINERS),
        "--seed",
        "11",
        *more,
    ]
    return [sys.executable, "-m", "hashledger", *arguments]


def mentioned(folder: Path) -> list[int]:
    """Processes whose command line names the folder: the demo's own, wherever they went."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it ended while we looked
            if str(folder).encode() in line:
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo") / "farm"
    result = subprocess.run(
        command(folder, "--exit"), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (folder / "said.txt").write_text(result.stdout, encoding="utf-8")
    yield folder
    assert mentioned(folder) == []


def read(folder: Path, name: str) -> dict[str, Any]:
    document = json.loads((folder / name).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.mark.timeout(LIMIT_S + 30)
def test_every_device_is_there_once(made: Path) -> None:
    truth, summary = read(made, "truth.json"), read(made, "summary.json")
    assert summary["period"] == truth["period"] == MONTH
    assert set(summary["devices"]) == set(truth["devices"])
    assert len(truth["devices"]) == MINERS + 1  # the swapped one is two, the moved one is one


def test_energy_is_the_truth_where_there_was_no_gap_and_within_the_bounds_where_there_was(made: Path) -> None:
    truth, summary = read(made, "truth.json"), read(made, "summary.json")
    gaps = 0
    for serial, device in summary["devices"].items():
        true_wh = truth["devices"][serial]["energy_wh"]
        if device["gap_s"] == 0:
            assert abs(device["energy_wh"] - true_wh) <= 0.002 * true_wh, serial
        else:
            gaps += 1
            assert device["energy_low_wh"] <= true_wh <= device["energy_high_wh"], serial
        assert device["energy_low_wh"] <= device["energy_wh"] <= device["energy_high_wh"]
    assert 0 < gaps < len(summary["devices"])  # the month has both kinds


def test_bounds_are_no_wider_than_the_gaps_can_explain(made: Path) -> None:
    """The high bound is at most rated power through every gap second, with its stated margin."""
    for serial, device in read(made, "summary.json")["devices"].items():
        wide_wh = device["energy_high_wh"] - device["energy_low_wh"]
        # Beside the gaps: falling asleep and waking, each within a minute that nobody saw.
        assert wide_wh <= device["gap_s"] / 3600 * 5000 + 2 * 5000 / 60 + 2, serial


def test_every_coin_entry_is_exact(made: Path) -> None:
    assert read(made, "summary.json")["coin"] == read(made, "truth.json")["coin"]


def test_three_filings_in_three_formats_all_marked_simulated(made: Path) -> None:
    filings = made / "filings"
    stems = sorted(path.stem for path in filings.glob("*.json"))
    assert [stem.split("_")[0] for stem in stems] == ["ir-ntsw", "kz-quarterly", "ru-monthly"]
    for stem in stems:
        filing = read(filings, f"{stem}.json")
        assert "must not be filed" in filing["SIMULATED"] and filing["filing"]["simulated"] is True
        assert any(finding["code"] == "GEN-SIMULATED-001" for finding in filing["filing"]["findings"])
        assert "SIMULATED" in (filings / f"{stem}.csv").read_text(encoding="utf-8-sig")
        workbook = openpyxl.load_workbook(filings / f"{stem}.xlsx")
        for sheet in workbook:
            assert any("SIMULATED" in str(cell.value) for row in sheet.iter_rows(max_row=3) for cell in row)


def test_what_it_prints_says_where_everything_lies(made: Path) -> None:
    said = (made / "said.txt").read_text(encoding="utf-8")
    for word in ("SIMULATED", "readings", "batches", "kWh", "BTC", "gaps", "filings", "summary.json"):
        assert word in said


@pytest.mark.timeout(LIMIT_S + 30)
def test_same_seed_same_summary(made: Path, tmp_path: Path) -> None:
    subprocess.run(command(tmp_path / "again", "--exit"), capture_output=True, timeout=LIMIT_S, check=True)
    again = tmp_path / "again"
    assert (again / "summary.json").read_bytes() == (made / "summary.json").read_bytes()
    assert (again / "truth.json").read_bytes() == (made / "truth.json").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("after_s", [2.0, 9.0], ids=["while starting", "while sweeping"])
def test_interrupted_it_leaves_no_orphan(tmp_path: Path, number: int, after_s: float) -> None:
    folder = tmp_path / "cut"
    process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    assert len(mentioned(folder)) > 1
    process.send_signal(number)
    process.wait(30)
    until_s = time.monotonic() + 5
    while mentioned(folder) and time.monotonic() < until_s:
        time.sleep(0.1)
    assert mentioned(folder) == []


def test_killed_outright_its_processes_end_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(6)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    until_s = time.monotonic() + 10
    while mentioned(folder) and time.monotonic() < until_s:
        time.sleep(0.1)
    assert mentioned(folder) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--month", "2199-01"), "not over yet"),
        (("--month", "October"), "2026-10"),
        (("--miners", "2"), "miners"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    folder = tmp_path / "none"
    result = subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2 and told in result.stderr
    assert not folder.exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    result = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2 and "other files" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
