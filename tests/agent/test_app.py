"""The running agent against the simulated farm: scan, sweep, spool, restart, and a miner that calls."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent import config, identity, keys, wire
from agent.app import ROSTER_FILE, SPOOL_FILE, Agent, author
from agent.cli import agent
from agent.clock import now_us
from agent.readings import Reading
from agent.simulator.farm import Farm
from agent.simulator.faults import NO_FAULTS, Fault
from agent.simulator.plan import plan
from agent.simulator.serve import serve
from agent.spool import Spool
from demo.processes import free_ports

FARM = Farm(plan(5, 6, "2026-09"))
NETWORK = FARM.plan.site("ru").network
LIMIT_S = 30.0


@contextmanager
def farm_up(ports: tuple[int, int], faults: Mapping[str, Fault] = NO_FAULTS) -> Iterator[None]:
    """The farm, listening, in a thread of its own."""
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def live() -> None:
        async with await serve(FARM, now_us, cgminer_port=ports[0], http_port=ports[1], faults=faults):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    assert ready.wait(LIMIT_S)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def ports() -> tuple[int, int]:
    cgminer, http = free_ports(2)
    return cgminer, http


def configured(folder: Path, ports: tuple[int, int], scan: str, *more: str) -> Path:
    """An agent's configuration whose broker is not there: what it reads stays in the spool."""
    broker, exporter = free_ports(2)
    path = folder / "agent.toml"
    path.write_text(
        f'[agent]\norg = "o"\nsite = "s"\ninterval_s = 1\nsynthetic = true\n'
        f'[network]\nscan = ["{scan}"]\ncgminer_port = {ports[0]}\nhttp_port = {ports[1]}\n'
        + "\n".join(more)
        + f'\n[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n[exporter]\nport = {exporter}\n'
    )
    keys.create(config.load(path).agent.state_dir)
    return path


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hashledger", "agent", "run", "--config", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def spooled(path: Path) -> list[wire.Packet]:
    loaded = config.load(path)
    spool = Spool(loaded.agent.state_dir / SPOOL_FILE, author(loaded))
    packets = [wire.open_packet(packet) for _, packet in spool.packets(1, 1000)]
    spool.close()
    return packets


def inventories(path: Path) -> list[wire.Inventory]:
    return [r for packet in spooled(path) for r in packet.records if isinstance(r, wire.Inventory)]


def test_what_is_read_is_in_the_spool_signed_though_no_broker_is_there(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    path = configured(tmp_path, ports, NETWORK)
    with farm_up(ports):
        result = run(path, "--sweeps", "2")
    assert result.returncode == 0, result.stderr
    there = [FARM.device_at("ru", a, now_us()) for a in FARM.addresses("ru", now_us())]
    assert {i.serial or i.mac for i in inventories(path)} == {device.key for device in there if device}
    sweeps = [r for packet in spooled(path) for r in packet.records if isinstance(r, wire.Sweep)]
    assert [len(sweep.devices) // 16 for sweep in sweeps] == [len(there)] * 2
    assert all(packet.envelope.synthetic for packet in spooled(path))


def test_a_restart_keeps_the_identities_and_the_chain(tmp_path: Path, ports: tuple[int, int]) -> None:
    path = configured(tmp_path, ports, NETWORK)
    with farm_up(ports):
        for _ in range(2):
            assert run(path, "--sweeps", "1").returncode == 0
    packets = spooled(path)
    assert [packet.envelope.seq for packet in packets] == list(range(1, len(packets) + 1))
    assert len({packet.envelope.session for packet in packets}) == 2
    told = inventories(path)  # each device once a session, under the same identity
    assert len(told) == 2 * len({inventory.device for inventory in told}) > 0


def test_a_device_that_was_excluded_since_is_not_touched_any_more(tmp_path: Path) -> None:
    ports = (9, 9)
    path = configured(tmp_path, ports, "10.0.0.0/24")
    roster = identity.Roster()
    for number in (1, 2):
        address = f"10.0.0.{number}"
        roster.observe(address, Reading(1, "antminer", serial=f"S{number}"), None, {})
    identity.save(roster, config.load(path).agent.state_dir / ROSTER_FILE)
    text = path.read_text().replace("[network]", '[network]\nexclude = ["10.0.0.2/32"]')
    path.write_text(text)
    running = Agent(config.load(path), report=lambda _line: None)
    running.spool.close()
    assert list(running.targets) == ["10.0.0.1"] and len(running.roster.devices) == 2


def test_a_miner_that_calls_is_looked_at_before_the_next_scan(tmp_path: Path, ports: tuple[int, int]) -> None:
    """The "IP report" button: a datagram from an address of the configured networks."""
    (udp,) = free_ports(1)
    caller = FARM.addresses("ir", now_us())[0]
    path = configured(tmp_path, ports, f"{caller}/32", f"ip_report_ports = [{udp}]", "rescan_s = 3600")
    command = [sys.executable, "-m", "hashledger", "agent", "run", "--config", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "0 new among 1" in process.stdout.readline()  # nobody is there yet
        with farm_up(ports), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as call:
            call.bind((caller, 0))
            for _ in range(int(LIMIT_S)):  # a line a second
                call.sendto(f"{caller},02:00:00:00:00:01".encode(), ("127.0.0.1", udp))
                if "1 read" in process.stdout.readline():
                    break
            else:
                pytest.fail("the caller was never read")
            port = config.load(path).exporter.port
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
                assert reply.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_what_an_operator_types_against_a_living_farm(
    tmp_path: Path, ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = {a: FARM.device_at("ru", a, now_us()) for a in FARM.addresses("ru", now_us())}
    address, device = next((a, d) for a, d in there.items() if d and d.serial)
    moved = ("--cgminer-port", str(ports[0]), "--http-port", str(ports[1]))

    def typed(*arguments: str) -> Result:
        result = CliRunner().invoke(agent, [*arguments, *moved])
        assert result.exit_code == 0, result.output
        return result

    with farm_up(ports):
        found = [json.loads(line) for line in typed("scan", NETWORK, "--json").stdout.splitlines()]
        assert [one["address"] for one in found] == list(there)
        assert '"SUMMARY"' in typed("probe", address, "--raw").output
        assert device.serial in typed("probe", address).output
        typed("capture", address, "--out", "out")
    (capture,) = (path.parent for path in (tmp_path / "out").rglob("device.toml"))
    assert len(list(capture.iterdir())) > 3
    for path in capture.iterdir():
        text = path.read_text(encoding="utf-8").lower()
        assert device.mac not in text and (device.serial or "").lower() not in text, path.name


def test_a_sweep_that_cannot_end_in_time_says_so_and_why(tmp_path: Path, ports: tuple[int, int]) -> None:
    """Every device hangs from the second sweep on: the places are taken, and the event names by what."""
    address = FARM.addresses("ru", now_us())[0]
    path = configured(tmp_path, ports, f"{address}/32", "deadline_s = 2.5", "concurrency = 1", "spread = 0.0")
    faults: dict[str, Fault] = {}
    command = [sys.executable, "-m", "hashledger", "agent", "run", "--config", str(path)]
    with farm_up(ports, faults):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            failed = 0
            for line in process.stdout:
                if "1 read" in line:
                    faults[address] = Fault.SILENCE
                failed += "1 failed" in line
                if failed == 2:
                    break
            url = f"http://127.0.0.1:{config.load(path).exporter.port}/metrics"
            with urllib.request.urlopen(url, timeout=5) as reply:
                page = reply.read().decode()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
    events = [r for packet in spooled(path) for r in packet.records if isinstance(r, wire.Event)]
    overrun = next(event.detail for event in events if event.kind == "sweep_overrun")
    assert int(overrun["left_out"]) >= 1 and overrun["failed"] == "1 timeout"
    assert overrun["cause"].startswith(f"{address} alone took longer")
    assert re.search(r"^hashledger_agent_sweeps_left_out_total [1-9]", page, re.MULTILINE)
    assert [e.detail["new"] for e in events if e.kind == "state_changed"][:1] == ["timeout"]
