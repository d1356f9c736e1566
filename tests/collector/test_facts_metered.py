"""Facts with a main meter, and of a natural person with several sites."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.wire import Meter, RegisterReading, Registers
from collector.facts import period_facts
from reporting import api
from reporting.facts import PeriodFacts
from reporting.facts_json import decode_facts, encode_facts
from reporting.period import Period
from tests.collector.energy_farm import Farm
from tests.collector.support import SITE, T0, S

pytestmark = pytest.mark.usefixtures("both_stores")

H = 3600
DAY = 24 * H
QUARTER = Period.parse("2026-Q4", "UTC")
KZ = """
meter = "main"
[site.north.filer]
kind = "organisation"
name = "Miner LLC"
"""
END_S = 31 * DAY


def farm_of(folder: Path, from_s: int = -900, until_s: int = END_S + 900) -> Farm:
    """October: miners at 6 kW, the main meter at 6.6 kW and for half an hour at 8 kW."""
    farm = Farm(folder, "UTC", "kz", KZ)
    farm.run(0, END_S, [6000], every_s=1800)
    register, readings = 10**6, []
    for at_s in range(from_s, until_s + 1, 900):
        readings.append(Registers(T0 + at_s * S, 900, [RegisterReading("main", 0, register)]))
        register += (8000 if 5 * H <= at_s < 5 * H + 1800 else 6600) // 4
    farm.add(until_s, Meter(T0 + from_s * S, "main", "modbus", "10.0.9.1", step_wh=1), *readings)
    return farm


def october(farm: Farm) -> PeriodFacts:
    return period_facts(farm.store, farm.config, SITE, "2026-10", T0 + (END_S + DAY) * S)


def test_the_main_meters_energy_and_peak_are_in_the_facts(tmp_path: Path) -> None:
    energy = october(farm_of(tmp_path)).energy
    assert energy.energy_wh == 31 * 24 * 6000
    assert (energy.meter, energy.metered_wh) == ("main", 31 * 24 * 6600 + 700)
    assert energy.metered_low_wh is not None
    assert energy.metered_high_wh is not None
    assert energy.metered_low_wh < 31 * 24 * 6600 + 700 < energy.metered_high_wh
    assert (energy.metered_peak_wh, energy.metered_peak_us) == (4000, T0 + 5 * H * S)


@pytest.mark.parametrize(("from_s", "until_s"), [(900, END_S + 900), (-900, END_S - 900)])
def test_a_meter_that_was_not_read_through_the_period_is_not_reported(
    tmp_path: Path, from_s: int, until_s: int
) -> None:
    facts = october(farm_of(tmp_path, from_s, until_s))
    assert facts.energy.metered_wh is None
    assert any("meter main was not read on both sides of the period" in note for note in facts.notes)


def test_the_kazakh_form_states_the_meter_and_says_so(tmp_path: Path) -> None:
    facts = october(farm_of(tmp_path))
    whole = replace(
        facts, period="2026-Q4", start_us=QUARTER.start_us, end_us=QUARTER.end_us, taken_us=QUARTER.end_us
    )
    filing = api.prepare("kz-quarterly", whole)
    assert filing.field("energy_kwh").value == "4911.100"  # 744 h at 6.6 kW and 0.7 kWh more
    assert filing.field("energy_kwh").basis == {"energy.metered_wh": "4911100"}
    assert filing.field("peak_mw").value == "0.008000"
    assert filing.field("meter").value == "main"
    found = {finding.code for finding in filing.findings}
    assert "KZ-METER-004" in found
    assert "KZ-METER-001" not in found
    assert decode_facts(encode_facts(whole)) == whole


def test_facts_without_a_meter_have_the_bytes_they_had_before(tmp_path: Path) -> None:
    farm = Farm(tmp_path, "UTC", "kz", KZ.replace('meter = "main"', ""))
    farm.run(0, H, [1000])
    content = encode_facts(october(farm))
    assert b"meter" not in content
    assert b"person" not in content
    assert decode_facts(content) == october(farm)


PERSON = """
[site.north.filer]
kind = "natural_person"
name = "A miner"
[site.south]
name = "South"
country = "ru"
zone = "Europe/Moscow"
[site.south.filer]
kind = "natural_person"
name = "a miner "
"""


def test_a_persons_month_is_the_sum_of_all_sites_and_forecast_while_it_runs(tmp_path: Path) -> None:
    farm = Farm(tmp_path, "UTC", "ru", PERSON.partition("[site.south]")[0])
    farm.run(0, 5 * DAY, [9000], every_s=900)
    running = period_facts(farm.store, farm.config, SITE, "2026-10", T0 + 5 * DAY * S)
    assert running.person is not None
    assert running.person.energy_wh == running.energy.energy_wh == 5 * 24 * 9000
    assert running.person.forecast_wh == 31 * 24 * 9000
    found = {finding.code for finding in api.prepare("ru-monthly", running).findings}
    assert {"RU-LIMIT-006", "RU-LIMIT-008"} <= found
    assert decode_facts(encode_facts(running)) == running
    farm.write("UTC", "ru", PERSON)
    over = period_facts(farm.store, farm.config, SITE, "2026-10", T0 + 32 * DAY * S)
    assert over.person is not None
    assert over.person.sites == [SITE, "south"]
    assert over.person.forecast_wh is None
    assert over.person.energy_wh == 5 * 24 * 9000
    assert over.person.energy_high_wh == over.energy.energy_high_wh > over.energy.energy_wh
