"""Meters in `collector energy`: their kWh, against the miners behind them, and allotted to the Wh."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.wire import Meter, RegisterReading, Registers
from collector.facts import period_facts
from tests.collector.energy_farm import Farm
from tests.collector.support import T0, S

pytestmark = pytest.mark.usefixtures("both_stores")

H = 3600
DAY = 24 * H
TREE = """
meter = "main"
[site.north.node.rack-a]
networks = ["10.0.1.0/24"]
meter = "pdu"
[site.north.node.rack-b]
networks = ["10.0.2.0/24"]
[site.north.filer]
kind = "organisation"
name = "Miner LLC"
[client.acme]
name = "Acme LLC"
[[client.acme.holds]]
site = "north"
nodes = ["rack-a"]
[client.beta]
name = "Beta LLC"
[[client.beta.holds]]
site = "north"
nodes = ["rack-b"]
until = 2026-10-02
"""
ONE_DAY = ("--from", "2026-10-01", "--until", "2026-10-02")


def read(farm: Farm, start_s: int, end_s: int, every_s: int = 300, **powers_w: int) -> None:
    """Registers of meters with constant loads since T0."""
    farm.add(
        end_s,
        *(Meter(T0 + start_s * S, name, "modbus", "10.0.9.1", step_wh=1) for name in powers_w),
        *(
            Registers(
                T0 + at_s * S,
                every_s,
                [RegisterReading(name, 0, 10**6 + power_w * at_s // H) for name, power_w in powers_w.items()],
            )
            for at_s in range(start_s, end_s + 1, every_s)
        ),
    )


def farm_of(folder: Path, more: str = TREE) -> Farm:
    farm = Farm(folder, "UTC", more=more)
    for n, address in enumerate(("10.0.1.1", "10.0.1.2", "10.0.2.1"), 1):
        farm.introduce(n, address, f"SN-{n}")
    return farm


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    """6 kW of miners in two racks, the main meter at 6.6 kW, a rack's own at 3 kW: it agrees."""
    farm = farm_of(tmp_path)
    farm.run(0, 2 * DAY, [1000, 2000, 3000])
    read(farm, 0, 2 * DAY, main=6600, pdu=3000)
    return farm


def test_a_meter_in_time_is_its_registers_with_bounds_of_its_class(farm: Farm) -> None:
    told = farm.told(*ONE_DAY, "--meter", "main", "--resolution", "half-hour")
    assert {row["energy_wh"] for row in told["rows"]} == {3300}
    total = told["total"]
    assert (total["energy_wh"], total["by_origin_wh"]) == (24 * 6600, {"meter": 24 * 6600})
    assert total["low_wh"] <= total["energy_wh"] <= total["high_wh"]
    assert total["high_wh"] - total["low_wh"] <= 24 * 6600 * 2 * 0.011  # class 1, a step and two readings
    assert total["gap_us"] == 0
    assert "unsure_below_wh" not in total


def test_nodes_are_compared_with_their_own_meters(farm: Farm) -> None:
    told = farm.told(*ONE_DAY, "--by", "meter")
    found = {row["node"]: row for row in told["rows"]}
    assert set(found) == {"north", "rack-a"}
    main, rack = found["north"], found["rack-a"]
    assert (main["metered_wh"], main["miners_wh"], main["difference_wh"]) == (158_400, 144_000, 14_400)
    assert (main["factor"], rack["factor"]) == ("1.100000", "1.000000")
    assert rack["state"] == "agree"
    assert farm.told(*ONE_DAY, "--meter", "pdu", "--by", "meter")["rows"] == [rack]
    output = farm.ask(*ONE_DAY, "--by", "meter").output
    assert "1.100000" in output
    rows = list(csv.DictReader(io.StringIO(farm.ask(*ONE_DAY, "--by", "meter", "--csv").output)))
    assert Decimal(rows[0]["difference_kwh"]) == Decimal("14.400")


def test_a_load_that_nobody_declared_drifts(tmp_path: Path) -> None:
    farm = farm_of(tmp_path)
    farm.run(0, 9 * DAY, [1000, 2000, 3000], every_s=900)
    read(farm, 0, 8 * DAY, every_s=900, main=6600)
    register = 10**6 + 6600 * 8 * 24
    farm.add(
        9 * DAY,
        *(
            Registers(
                T0 + (8 * DAY + at_s) * S, 900, [RegisterReading("main", 0, register + 7000 * at_s // H)]
            )
            for at_s in range(900, DAY + 1, 900)
        ),
    )
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-10", "--by", "meter", "--meter", "main")
    assert [row["drift"] for row in told["rows"]] == [False] * 8 + [True]
    assert told["rows"][-1]["usual_factor"] == "1.100000"
    one_day = farm.told("--from", "2026-10-09", "--until", "2026-10-10", "--by", "meter", "--meter", "main")
    assert one_day["rows"][0]["drift"]  # the days before count, though they are not shown


def allotted(told: dict[str, Any]) -> dict[str, int]:
    return {row["name"]: row["energy_wh"] for row in told["rows"]}


def test_a_meters_kwh_are_allotted_to_devices_and_clients_to_the_wh(farm: Farm) -> None:
    told = farm.told(*ONE_DAY, "--meter", "main", "--by", "device")
    assert allotted(told) == {"SN-1": 26_400, "SN-2": 52_800, "SN-3": 79_200}
    assert {row["name"]: row["by_energy_wh"] for row in told["rows"]}["SN-3"] == 72_000
    assert told["total"]["energy_wh"] == 158_400
    two_days = ("--from", "2026-10-01", "--until", "2026-10-03", "--meter", "main", "--by", "client")
    assert allotted(farm.told(*two_days)) == {
        "Acme LLC": 2 * 79_200, "Beta LLC": 79_200, "(nobody)": 79_200,
    }  # fmt: skip
    by_day = farm.told(*two_days, "--resolution", "day")
    assert [(row["start"][:10], row["name"]) for row in by_day["rows"]] == [
        ("2026-10-01", "Acme LLC"), ("2026-10-01", "Beta LLC"),
        ("2026-10-02", "Acme LLC"), ("2026-10-02", "(nobody)"),
    ]  # fmt: skip


@pytest.mark.parametrize("rule", ["energy", "nameplate", "none"])
def test_whatever_the_rule_and_the_resolution_it_adds_up_to_the_meter(tmp_path: Path, rule: str) -> None:
    farm = farm_of(tmp_path, f'overhead = "{rule}"\n{TREE}')
    farm.run(0, 5 * H, [1003, 1999, 3001])
    farm.run(9 * H, 20 * H, [1003, None, 3001])  # nobody seen for hours, one for longer
    read(farm, 0, 26 * H, main=6607)
    metered = farm.told(*ONE_DAY, "--meter", "main")["total"]["energy_wh"]
    assert metered == 24 * 6607
    for words in (
        ("device",),
        ("client",),
        ("device", "--resolution", "hour"),
        ("client", "--resolution", "day"),
    ):
        told = farm.told(*ONE_DAY, "--meter", "main", "--by", *words)
        assert told["total"]["energy_wh"] == sum(row["energy_wh"] for row in told["rows"]) == metered
        assert min(row["energy_wh"] for row in told["rows"]) > 0
        assert told["rule"] == rule
        assert "(unallotted)" in allotted(told)
        assert ("(overhead)" in allotted(told)) == (rule == "none")


@pytest.mark.parametrize("running", [True, False])
def test_a_register_that_stood_while_its_devices_ran_was_frozen_and_one_at_rest_was_not(
    tmp_path: Path, running: bool
) -> None:
    farm = farm_of(tmp_path)
    rest_s = (6 * H + 900, 12 * H + 900)
    at_rest_w = 2000 if running else 0
    for from_s, until_s, power_w in ((0, rest_s[0], 2000), (*rest_s, at_rest_w), (rest_s[1], DAY, 2000)):
        farm.run(from_s + 300, until_s, [power_w, power_w, power_w])
    register, readings = 10**6, []
    for at_s in range(0, DAY + 1, 300):
        readings.append(Registers(T0 + at_s * S, 300, [RegisterReading("main", 0, register)]))
        if not rest_s[0] <= at_s < rest_s[1]:
            register += 500
    farm.add(DAY, Meter(T0, "main", "modbus", "10.0.9.1", step_wh=1), *readings)
    told = farm.told(*ONE_DAY, "--meter", "main")
    assert any("frozen" in note for note in told["notes"]) == running, told["notes"]
    facts = [note for note in period_notes(farm) if "frozen" in note]
    assert bool(facts) == running


def period_notes(farm: Farm) -> list[str]:
    return period_facts(farm.store, farm.config, "north", "2026-10", T0 + 40 * DAY * S).notes


def test_zones_of_a_meter(tmp_path: Path) -> None:
    (tmp_path / "tariff.toml").write_text(
        'name = "two"\n[[zone]]\nname = "night"\ntimes = ["23:00-07:00"]\n[[zone]]\nname = "day"\n'
    )
    farm = farm_of(tmp_path, f'tariff = "tariff.toml"\n{TREE}')
    read(farm, 0, 24 * H, main=6000)
    told = farm.told(*ONE_DAY, "--meter", "main", "--by", "zone")
    assert {row["key"]: row["energy_wh"] for row in told["rows"]} == {"night": 48_000, "day": 96_000}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--meter", "gone"), "none of north; known: main, pdu"),
        (("--meter", "main", "--node", "rack-a"), "of one thing at a time"),
        (("--by", "meter", "--device", "SN-1"), "leave --device and --client out"),
        (("--by", "meter", "--node", "rack-b"), "no node with this meter; meters in the tree: main, pdu"),
    ],
)
def test_mistakes_end_with_2(farm: Farm, words: tuple[str, ...], why: str) -> None:
    result = farm.ask(*ONE_DAY, *words)
    assert (result.exit_code, why in result.output) == (2, True), result.output


def test_a_register_that_leaps_beyond_all_use_is_allotted_to_nobody(tmp_path: Path) -> None:
    farm = farm_of(tmp_path)
    farm.run(0, 2 * H, [1000, 2000, 3000])
    readings = [RegisterReading("main", 0, wh) for wh in (0, 9 * 10**14)]
    farm.add(2 * H, *(Registers(T0 + n * 300 * S, 300, [reading]) for n, reading in enumerate(readings)))
    told = farm.told(*ONE_DAY, "--meter", "main", "--by", "device")
    assert (told["rows"], told["total"]["energy_wh"]) == ([], 0)


def test_a_meter_that_is_nowhere_in_the_tree_cannot_be_allotted(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, "")
    read(farm, 0, H, main=6000)
    result = farm.ask(*ONE_DAY, "--meter", "main", "--by", "device")
    assert (result.exit_code, "which devices are behind it?" in result.output) == (2, True)
