"""Meters in the running agent: from the wire into the spool, beside miners, whatever fails."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import time
import urllib.request
from fractions import Fraction
from pathlib import Path

import pytest

from agent import app, config, wire
from agent.clock import now_us
from agent.meters import register_map
from agent.meters.config import ModbusMeter
from agent.meters.meter_sweep import MeterSweep, wait_s
from agent.meters.told import Told
from agent.readings import DeviceTimeout, Unreachable
from agent.simulator.meter_life import Curve, MeterFault, MeterLife
from agent.simulator.meter_modbus import Unit
from agent.wire import Record
from demo.processes import free_ports
from tests.agent.meters import grid
from tests.agent.test_app import configured, spooled

NOWHERE = "127.90.90.90/32"
LIMIT_S = 30.0


def recorded(path: Path) -> tuple[list[wire.Meter], list[wire.Registers]]:
    records = [r for packet in spooled(path) for r in packet.records]
    meters = [r for r in records if isinstance(r, wire.Meter)]
    return meters, [r for r in records if isinstance(r, wire.Registers)]


def test_registers_of_two_maps_reach_the_spool_and_a_dead_meter_says_why(tmp_path: Path) -> None:
    began_us = now_us() - 3600 * 1_000_000
    curve = Curve(3, began_us)
    lives = {1: MeterLife("a", curve), 7: MeterLife("b", curve, serial="4711", start_wh=10**9)}
    rules = {1: register_map.load("sdm630"), 7: register_map.load("abb_b23")}
    port, dead = free_ports(2)
    path = configured(
        tmp_path, (dead, dead), NOWHERE,
        *(f'[[meter]]\nname = "{name}"\nsource = "modbus"\naddress = "127.0.0.1:{where}"\nunit = {unit}\n'
          f'map = "{map_name}"\ninterval_s = 1\nct_ratio = "{ratio}"'
          for name, where, unit, map_name, ratio in (
              ("feeder-1", port, 1, "sdm630", "200/5"), ("rack-7", port, 7, "abb_b23", "1"),
              ("gone", dead, 1, "sdm630", "1"))),
    )  # fmt: skip
    units = {n: Unit(lives[n], rules[n], Fraction(40 if n == 1 else 1)) for n in lives}
    command = [sys.executable, "-m", "hashledger", "agent", "run", "--config", str(path)]
    with grid.running(lambda: grid.gateway(units, now_us, port)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            page, ends_s = "", time.monotonic() + LIMIT_S
            url = f"http://127.0.0.1:{config.load(path).exporter.port}/metrics"
            while page.count("hashledger_agent_meter_reading_age_seconds{") < 2 and time.monotonic() < ends_s:
                time.sleep(0.3)
                try:
                    with urllib.request.urlopen(url, timeout=5) as reply:
                        page = reply.read().decode()
                except OSError:
                    continue
            time.sleep(1.5)  # a second pass at least
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
    assert 'hashledger_agent_meter_import_watt_hours_total{meter="rack-7",model="B21"} 1.0' in page
    assert 'hashledger_agent_meter_problem{kind="unreachable",meter="gone"} 1.0' in page
    meters, passes = recorded(path)
    assert len(passes) >= 2
    by_name = {meter.meter: meter for meter in meters}
    assert by_name["feeder-1"].ct_ratio == "40" and by_name["feeder-1"].register_map == "sdm630"
    assert by_name["rack-7"].serial == "4711" and by_name["rack-7"].step_wh == 10
    assert by_name["gone"].source == "modbus" and by_name["gone"].serial is None
    for one in passes:
        got = {r.meter: r for r in one.readings}
        assert set(got) == {"feeder-1", "rack-7", "gone"}
        assert got["gone"].import_wh is None and got["gone"].problem.startswith("unreachable: ")
        for name, life, coarse_wh in (("feeder-1", lives[1], 40), ("rack-7", lives[7], 10)):
            reading = got[name]
            shown = life.shown(one.at_us + reading.delay_ms * 1000)
            assert shown is not None and reading.import_wh is not None and reading.problem == ""
            # The register's step, and what is counted between the instant of the meter and ours.
            assert abs(reading.import_wh - shown.import_wh) <= coarse_wh + 1
            assert reading.power_mw is not None and reading.power_mw > 0


def swept(meters: list[ModbusMeter], results: list[dict[str, Told | Exception]]) -> list[Record]:
    """The records of passes in which each meter gives what is listed."""
    records: list[Record] = []
    sweep = MeterSweep(meters, lambda: grid.START_US, records.extend)

    async def passes() -> None:
        for given in results:

            async def read(result: Told | Exception) -> Told:
                if isinstance(result, Exception):
                    raise result
                return result

            reads = {name: (lambda r=result: read(r)) for name, result in given.items()}
            await sweep.once(60, reads)

    asyncio.run(passes())
    return records


def meter(name: str, **more: object) -> ModbusMeter:
    return ModbusMeter.model_validate(
        {"name": name, "source": "modbus", "address": "h", "map": "sdm630", **more}
    )


def test_a_meter_is_told_at_the_start_and_when_it_changes() -> None:
    """A changed serial is another meter: what was known of the first is not its own."""
    tells: list[dict[str, Told | Exception]] = [
        {"m": DeviceTimeout("no answer")},
        {"m": Told(import_wh=Fraction(1), serial="A", firmware="1", step_wh=Fraction(10))},
        {"m": Told(import_wh=Fraction(1), serial="A", step_wh=Fraction(10))},
        {"m": DeviceTimeout("no answer")},
        {"m": Told(import_wh=Fraction(1), serial="B", step_wh=Fraction(10))},
    ]
    records = swept([meter("m")], tells)
    told = [(r.serial, r.firmware, r.step_wh) for r in records if isinstance(r, wire.Meter)]
    assert told == [(None, None, None), ("A", "1", 10), ("B", None, 10)]
    assert len([r for r in records if isinstance(r, wire.Registers)]) == len(tells)


def test_every_meter_has_a_reading_in_every_pass() -> None:
    names = ("a", "b", "c")
    given: dict[str, Told | Exception] = {
        "a": Told(import_wh=Fraction(12_345, 10), export_wh=Fraction(0), power_w=Fraction(-5, 3)),
        "b": Unreachable("h:502: does not accept a connection"),
        "c": Told(unread={"import_wh": "protocol: nan is no number"}, power_w=Fraction(1)),
    }
    records = swept([meter(n, ct_ratio=40) for n in names], [given])
    (registers,) = [r for r in records if isinstance(r, wire.Registers)]
    assert [r.meter for r in registers.readings] == list(names)
    a, b, c = registers.readings
    assert (a.import_wh, a.export_wh, a.power_mw, a.problem) == (49_380, 0, -66_667, "")
    assert (b.import_wh, b.problem) == (None, "unreachable: h:502: does not accept a connection")
    assert (c.import_wh, c.power_mw, c.problem) == (None, 40_000, "protocol: import_wh: nan is no number")


def test_a_meter_that_hangs_holds_up_no_other() -> None:
    async def slow() -> Told:
        await asyncio.sleep(3600)
        return Told()

    async def quick() -> Told:
        return Told(import_wh=Fraction(5))

    records: list[Record] = []
    meters = [meter("slow", interval_s=1, deadline_s=0.2), meter("quick", interval_s=1, deadline_s=0.2)]
    sweep = MeterSweep(meters, lambda: grid.START_US, records.extend)
    registers = asyncio.run(sweep.once(1, {"slow": slow, "quick": quick}))
    assert [r.import_wh for r in registers.readings] == [None, 5]
    assert registers.readings[0].problem.startswith("timeout: ")


def test_passes_fall_on_the_boundaries_of_half_hours() -> None:
    at_us = grid.START_US + 17 * 1_000_000 + 1
    assert wait_s(at_us, 60) == 42.999999
    assert wait_s(grid.START_US, 60) == 60


def test_a_story_of_faults_is_told_as_it_happens() -> None:
    """Reversed, rolled over, replaced, frozen, reset, lagging: the registers say so, the truth goes on."""
    hour = grid.HOUR_US

    def at(n: float) -> int:
        return grid.START_US + int(n * hour)

    truth = grid.life()
    reversed_ = grid.life(faults=(MeterFault("reversed", at(2), at(5)),))
    before, after, later = (reversed_.shown(at(n)) for n in (2, 5, 7))
    assert before and after and later
    assert before.import_wh == after.import_wh
    assert after.export_wh == truth.truth_wh(at(2), at(5)) == later.export_wh
    assert later.import_wh - after.import_wh == truth.truth_wh(at(5), at(7))
    middle = reversed_.shown(at(3))
    assert middle and middle.power_w < 0 < later.power_w

    rolled = grid.life(start_wh=999_900_000, modulus_wh=10**9).shown(at(3))
    assert rolled and rolled.import_wh == 999_900_000 + truth.truth_wh(at(0), at(3)) - 10**9

    replaced = grid.life(faults=(MeterFault("replaced", at(4), serial="2002", start_wh=77),)).shown(at(6))
    assert replaced and replaced.serial == "2002"
    assert replaced.import_wh == 77 + truth.truth_wh(at(4), at(6))

    frozen = grid.life(faults=(MeterFault("frozen", at(1), at(6)),))
    assert frozen.shown(at(1)) == frozen.shown(at(5.9))
    assert frozen.shown(at(6)) == truth.shown(at(6))

    reset = grid.life(start_wh=500, faults=(MeterFault("reset", at(3)),)).shown(at(5))
    assert reset and reset.import_wh == truth.truth_wh(at(3), at(5)) and reset.serial == "1001"

    lagging = grid.life(faults=(MeterFault("lagging", at(0), lag_us=15 * 60 * 1_000_000),))
    assert lagging.shown(at(3)) == truth.shown(at(2.75))
    assert grid.life(faults=(MeterFault("silent", at(1), at(2)),)).shown(at(1.5)) is None


def test_the_curve_integrates_exactly() -> None:
    """The sum over any partition is the whole: fractions, no rounding."""
    curve = Curve(11, grid.START_US)
    cuts = [grid.START_US + n * 777_777_777 for n in range(40)]
    parts = sum(curve.energy_wh(b) - curve.energy_wh(a) for a, b in itertools.pairwise(cuts))
    assert parts == curve.energy_wh(cuts[-1]) - curve.energy_wh(cuts[0])
    assert curve.energy_wh(grid.START_US) == 0


def test_what_no_meter_needs_is_not_imported() -> None:
    """An agent without meters pays for none of their protocols."""
    code = "import sys, agent.cli, agent.app; print({'pymodbus', 'pysnmp'} & {*sys.modules})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_a_fault_of_ours_begins_the_meters_anew_and_the_miners_never_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dead,) = free_ports(1)
    row = f'name = "m"\nsource = "modbus"\naddress = "127.0.0.1:{dead}"\nmap = "sdm630"\ninterval_s = 1'
    path = configured(tmp_path, (dead, dead), NOWHERE, "[[meter]]", row)
    monkeypatch.setattr(app, "METERS_AGAIN_S", 0.05)
    made = app.Agent(config.load(path), report=lambda _line: None)
    monkeypatch.setattr(made.meters, "_about", lambda *_: 1 / 0)
    asyncio.run(made.run(max_sweeps=2))
    records = [r for packet in spooled(path) for r in packet.records]
    restarts = [r.detail for r in records if isinstance(r, wire.Event) and r.kind == "meters_restarted"]
    assert len(restarts) >= 2 and "ZeroDivisionError" in restarts[0]["error"]
    assert len([r for r in records if isinstance(r, wire.Sweep)]) == 2
