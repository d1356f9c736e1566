"""`collector energy`: what it tells equals arithmetic, adds up, and is cut in the site's civil time."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest

from collector import app
from collector.facts import period_energy
from reporting.period import Period
from tests.collector.energy_farm import Farm
from tests.collector.support import SITE, T0, S

pytestmark = pytest.mark.usefixtures("both_stores")

H = 3600
OCTOBER = ("--from", "2026-10-01", "--until", "2026-10-02")


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    farm = Farm(tmp_path)
    farm.introduce(1, "10.0.0.1", "SN-1")
    farm.introduce(2, "10.0.0.2", "=SN-2")
    farm.run(0, 6 * H, [3000, 1500])
    farm.run(6 * H + 300, 24 * H, [3000, 1500])
    return farm


def test_constant_powers_by_any_resolution(farm: Farm) -> None:
    for resolution, cells in (("half-hour", 48), ("hour", 24), ("day", 1), ("month", 1), ("whole", 1)):
        told = farm.told(*OCTOBER, "--resolution", resolution)
        assert len(told["rows"]) == cells
        assert {row["energy_wh"] for row in told["rows"]} == {24 * 4500 // cells}
        assert told["total"]["energy_wh"] == told["total"]["low_wh"] == 24 * 4500
        assert told["total"]["mean_mw"] == told["total"]["peak_mw"] == "0.004500"
        assert told["total"]["covered_percent"] == "100.00"
    assert told["total"]["by_origin_wh"] == {"psu_measured": 24 * 4500}


@pytest.mark.parametrize("words", [(), ("--device", "sn-1"), ("--by", "device", "--resolution", "hour")])
def test_the_total_is_the_sum_of_the_rows(farm: Farm, words: tuple[str, ...]) -> None:
    farm.run(30 * H, 31 * H, [3000, None])  # a gap of both, and one that nobody has ended
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-03", *words)
    for name in ("energy_wh", "low_wh", "high_wh", "covered_us", "gap_us"):
        assert told["total"][name] == sum(row[name] for row in told["rows"]), name
    for name in ("by_origin_wh", "gap_by_cause_us"):
        for key, amount in told["total"][name].items():
            assert amount == sum(row[name].get(key, 0) for row in told["rows"]), (name, key)
    assert told["total"]["gap_us"] > 0


def test_devices_by_serial_id_or_the_beginning_of_one(farm: Farm) -> None:
    for key in ("SN-1", " sn-1", "00000000-0000-0000-0000-000000000001"):
        assert farm.told(*OCTOBER, "--device", key)["total"]["energy_wh"] == 24 * 3000
    several = farm.ask(*OCTOBER, "--device", "000000")
    assert several.exit_code == 2
    assert "2 devices bear it" in several.output
    none = farm.ask(*OCTOBER, "--device", "SN-9")
    assert (none.exit_code, "none of the 2 devices" in none.output) == (2, True)


def test_every_device_of_the_site(farm: Farm) -> None:
    told = farm.told(*OCTOBER, "--by", "device")
    assert {row["name"]: row["energy_wh"] for row in told["rows"]} == {"SN-1": 72_000, "=SN-2": 36_000}


def test_it_equals_the_facts_of_a_filing_with_gaps_that_are_still_open(farm: Farm) -> None:
    farm.run(40 * H, 41 * H, [3000, None])
    month = Period.parse("2026-10", "UTC")
    facts = period_energy(farm.store, farm.config, SITE, month, app.now_us())
    total = farm.told("--period", "2026-10")["total"]
    assert (total["energy_wh"], total["low_wh"]) == (facts.energy_wh, facts.energy_low_wh)
    assert abs(total["high_wh"] - facts.energy_high_wh) <= 1  # the ledger rounds a gap up once, not per part
    assert total["gap_us"] // S == facts.gap_s
    assert total["peak_wh"] == facts.peak_wh


def test_days_are_the_sites_own(tmp_path: Path) -> None:
    farm = Farm(tmp_path, "Asia/Irkutsk")  # +8
    farm.run(0, 24 * H, [2000])
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-03", "--resolution", "day")
    assert [row["energy_wh"] for row in told["rows"]] == [16 * 2000, 8 * 2000]
    assert told["rows"][0]["start"] == "2026-10-01T00:00+08:00"
    assert told["total"]["peak_start"] == "2026-10-01T08:00+08:00"


def test_a_day_of_25_hours_has_its_25_hours(tmp_path: Path) -> None:
    farm = Farm(tmp_path, "Europe/Berlin")
    first = 23 * 24 * H
    farm.run(first, first + 4 * 24 * H, [1000], every_s=600)
    told = farm.told("--from", "2026-10-25", "--until", "2026-10-27", "--resolution", "day")
    assert [row["energy_wh"] for row in told["rows"]] == [25_000, 24_000]
    assert {row["mean_mw"] for row in told["rows"]} == {"0.001000"}


def test_mean_peak_and_contracted_power(tmp_path: Path) -> None:
    farm = Farm(tmp_path, "UTC", "kz", "[site.north.investment]\ncontracted_mw = 0.008\n")
    farm.run(0, 5 * H, [3000])
    farm.run(5 * H + 300, 6 * H, [6000])
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-01T06:00")
    assert (told["contracted_mw"], told["total"]["peak_mw"]) == ("0.008", "0.006000")
    assert told["total"]["peak_start"] == "2026-10-01T05:30+00:00"
    output = farm.ask("--from", "2026-10-01", "--until", "2026-10-01T06:00").output
    assert "Power (sum of the miners): mean 0.00" in output
    assert "(75.00 % of the contracted), contracted 0.008 MW" in output


def test_the_day_on_which_almaty_left_its_zone_has_25_hours(tmp_path: Path) -> None:
    farm = Farm(tmp_path, "Asia/Almaty", "kz")
    start_s = (Period.parse("2024-02", "Asia/Almaty").start_us - T0) // S
    farm.run(start_s + 27 * 24 * H, start_s + 32 * 24 * H, [1000], every_s=900)
    told = farm.told("--from", "2024-02-28", "--until", "2024-03-03", "--resolution", "day")
    assert [row["energy_wh"] for row in told["rows"]] == [24_000, 25_000, 24_000, 24_000]
    assert [row["start"] for row in told["rows"][1:3]] == [
        "2024-02-29T00:00+06:00", "2024-03-01T00:00+05:00",
    ]  # fmt: skip
    months = farm.told("--from", "2024-02-28", "--until", "2024-03-03", "--resolution", "month")
    assert [row["energy_wh"] for row in months["rows"]] == [49_000, 48_000]


def test_csv_is_exact_and_no_formula(farm: Farm) -> None:
    result = farm.ask(*OCTOBER, "--by", "device", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.output)))
    assert [row["name"] for row in rows] == ["SN-1", "'=SN-2", ""]
    assert Decimal(rows[-1]["kwh"]) == sum(Decimal(row["kwh"]) for row in rows[:-1]) == Decimal("108.000")


def test_people_see_a_bounded_table(farm: Farm) -> None:
    farm.run(24 * H + 300, 6 * 24 * H, [3000, 1500], every_s=900)
    result = farm.ask("--from", "2026-10-01", "--until", "2026-10-06", "--resolution", "half-hour")
    assert result.exit_code == 0
    assert "40 more rows are in --csv and --json." in result.output
    assert "2026-10-01T00:00+00:00" in result.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "give --period 2026-10, or --from and --until"),
        (("--period", "2026-10", "--from", "2026-10-01"), "give --period"),
        (("--from", "2026-10-01"), "give --period"),
        (("--from", "2026-10-02", "--until", "2026-10-01"), "is not after --from"),
        (("--period", "2026-13"), "2026-13"),
        (("--period", "2026-10", "--site", "south"), "no section [site.south]"),
        (("--from", "2999-10-01", "--until", "2999-10-02"), "has not begun"),
    ],
)
def test_mistakes_of_the_asker_end_with_2(farm: Farm, words: tuple[str, ...], why: str) -> None:
    result = farm.ask(*words)
    assert (result.exit_code, why in result.output) == (2, True), result.output


def test_a_time_that_still_runs_ends_with_the_half_hour_that_runs(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    now_s = (app.now_us() - T0) // S
    farm.run(now_s - 2 * H, now_s, [3600])
    today = farm.told("--from", "2026-10-01", "--until", "2999-01-01", "--resolution", "whole")
    assert 0 <= today["total"]["end_us"] - app.now_us() <= 1800 * S
    assert today["total"]["energy_wh"] == 7200
    assert today["total"]["gap_us"] == 0
