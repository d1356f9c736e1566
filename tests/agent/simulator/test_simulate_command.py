"""`agent simulate`: the fleet's options, clear refusals, and a farm shared by processes."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.simulator import capacity
from agent.simulator.cli import simulate
from agent.simulator.fleet import fleet
from tests.ports import free_port


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--month is needed"),
        (["--families", "antminr=1"], "no antminr"),
        (["--families", "antminer=x"], "family=weight"),
        (["--devices", "0"], "devices: 0"),
        (["--devices", "10", "--fault", "%5:sleepy"], "'sleepy' is none of"),
        (["--month", "2026-10", "--fault", "silence"], "WHO:WHAT"),
    ],
)
def test_a_wrong_option_is_told(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(simulate, ["serve", *arguments])
    assert result.exit_code == 2 and says in result.output


def test_too_few_descriptors_are_told() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        with pytest.raises(OSError, match=f"may have {limits[1]}.*--processes 2"):
            capacity.raise_limit(limits[1] + 1)
        assert capacity.raise_limit(100) == limits[1] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_small_farm_asks_for_little() -> None:
    small = fleet(7, 30, {"antminer": 1, "axeos": 1, "whatsminer-v3": 1})  # 2, 1 and 3 ports a device
    assert capacity.descriptors(small) == 60 + 60 + capacity.OWN_DESCRIPTORS
    assert capacity.descriptors(small, 2) == 30 + 30 + capacity.OWN_DESCRIPTORS
    assert capacity.descriptors(fleet(7, 9000, {"luxos": 1})) < 20_000


def test_a_fleet_has_its_truth(tmp_path: Path) -> None:
    arguments = ["truth", "--devices", "5", "--families", "avalon", "--month", "2026-10", "--out"]
    assert CliRunner().invoke(simulate, [*arguments, str(tmp_path)]).exit_code == 0
    told = json.loads((tmp_path / "truth.json").read_text())
    assert set(told["devices"]) == {device.key for device in fleet(7, 5, {"avalon": 1}).devices}


def listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_fleet_is_served_until_the_command_ends(processes: str, ending: signal.Signals) -> None:
    port = free_port()
    command = "from hashledger import main; main()"
    arguments = ["agent", "simulate", "serve", "--devices", "6", "--families", "luxos", "--seed", "5"]
    ports = ["--cgminer-port", str(port), "--http-port", str(free_port())]
    child = subprocess.Popen(
        [sys.executable, "-c", command, *arguments, *ports, "--processes", processes, "--fault", "%20:half"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "READY\n"
        devices = fleet(5, 6, {"luxos": 1}).devices

        async def ask(address: str) -> bytes:
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"config")
            told = await reader.read()
            writer.close()
            return told

        whole = [asyncio.run(ask(device.address)).endswith(b"\0") for device in devices]
        assert whole == [False, True, True, True, True, False]
        os.kill(child.pid, ending)
        child.wait(10)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            asyncio.run(ask(devices[1].address))
        except ConnectionError:  # refused, or reset by a part of it that is just ending
            if not listens(devices[1].address, port):
                return
        time.sleep(0.1)
    raise AssertionError("somebody still listens")
