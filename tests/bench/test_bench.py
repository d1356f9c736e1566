"""The benchmark runs and writes its rows as promised; how fast anything is, is no test's business."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench import farm, ledger_rows
from bench.__main__ import NAMES
from bench.digest import Digest
from bench.replier import Model
from bench.rows import PEERS, Row
from demo.processes import free_ports

ROOT = Path(__file__).resolve().parents[2]
LOST = [package for package in (*PEERS, "duckdb") if importlib.util.find_spec(package) is None]
is_root = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.mark.skipif(
    bool(LOST) or not is_root or (shutil.which("mosquitto") is None and "CI" not in os.environ),
    reason="needs the bench extra, mosquitto, and root for port 80",
)
def test_a_quick_run_writes_every_row(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == list(NAMES)
    for row in rows:
        assert row["unit"] and isinstance(row["ours"], int | float) and row["ours"] >= 0
        assert set(row["peers"]) in ({*PEERS}, {*ledger_rows.PEERS}, {ledger_rows.DATABASE}, set())
        for peer, value in row["peers"].items():
            # A peer that could not do it has no figure, and the text says why.
            assert value is None or value > 0
            assert value is not None or any(peer in remark for remark in row["remarks"])


def test_a_ratio_says_how_many_times_better_we_are() -> None:
    rate = Row("a", "1/s", 600.0, {"pyasic": 100.0, "pyasic_rs": None}, more_is_better=True)
    time = Row("b", "s", 2.0, {"pyasic": 3.0, "pyasic_rs": None}, more_is_better=False)
    assert (rate.ratio("pyasic"), time.ratio("pyasic"), rate.ratio("pyasic_rs")) == (6.0, 1.5, None)


def test_only_a_whatsminer_takes_joined_commands() -> None:
    asked = b'{"command":"summary+pools"}'
    assert json.loads(Model("whatsminer").cgminer(asked)[:-1]).keys() == {"summary", "pools", "id"}
    assert json.loads(Model("antminer").cgminer(asked)[:-1])["STATUS"][0]["STATUS"] == "E"


def test_a_page_of_an_antminer_asks_for_digest() -> None:
    page = Model("antminer").page(b"GET /cgi-bin/get_system_info.cgi HTTP/1.1\r\n\r\n")
    assert page.startswith(b"HTTP/1.1 401") and b"WWW-Authenticate: Digest" in page
    assert not Digest("r", "u", "p", "n").holds(b"GET / HTTP/1.1\r\nAuthorization: Digest nonce=n\r\n\r\n")


def test_devices_beyond_one_process_files_are_served_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replier out of files would leave connections waiting: devices that are well would look hung."""
    monkeypatch.setattr(farm.resource, "getrlimit", lambda _which: (0, 2 * farm.FILES_A_DEVICE))
    devices = farm.targets(5, ["antminer"], farm.base())
    port, other = free_ports(2)
    with farm.replying(devices, port, other):
        for address, _ in devices:
            with socket.create_connection((address, port), timeout=10) as device:
                device.sendall(b'{"command":"version"}')
                assert b"Antminer" in device.recv(4096)
