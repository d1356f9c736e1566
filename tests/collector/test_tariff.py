"""Tariff calendars: every half-hour in one zone, exact kWh and cost, borders only where half-hours meet."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import civil, tariff
from collector.config import ConfigError
from collector.tariff import Tariff
from reporting.period import Period
from tests.collector.energy_farm import Farm
from tests.collector.support import SITE

H = 3600
THREE_ZONES = """
name = "Three zones"
currency = "RUB"
holidays = [2026-10-02]
[[zone]]
name = "night"
times = ["23:00-07:00"]
price = 2.10
[[zone]]
name = "peak"
times = ["10:00-12:00", "17:00-21:00"]
days = ["mon", "tue", "wed", "thu", "fri"]
price = 6.55
[[zone]]
name = "day"
price = 4.3
"""


def calendar(folder: Path, text: str) -> Tariff:
    (folder / "tariff.toml").write_text(text)
    found, wrong = tariff.load(folder / "tariff.toml")
    assert found is not None, wrong
    return found


def zones(of: Tariff, start: str, until: str, zone: str) -> list[str]:
    time = civil.civil_time(civil.instant_us(start, zone), civil.instant_us(until, zone), zone)
    return ["-" if row < 0 else of.zone[row].name for row in of.rows(time).tolist()]


def test_first_row_that_fits_and_holidays_are_no_weekdays(tmp_path: Path) -> None:
    of = calendar(tmp_path, THREE_ZONES)
    thursday = zones(of, "2026-10-01", "2026-10-02", "Asia/Irkutsk")
    assert (
        thursday
        == ["night"] * 14
        + ["day"] * 6
        + ["peak"] * 4
        + ["day"] * 10
        + ["peak"] * 8
        + ["day"] * 4
        + ["night"] * 2
    )
    holiday = zones(of, "2026-10-02", "2026-10-03", "Asia/Irkutsk")
    assert holiday == ["night"] * 14 + ["day"] * 32 + ["night"] * 2


def test_kwh_and_cost_of_each_zone_are_exact(tmp_path: Path) -> None:
    (tmp_path / "tariff.toml").write_text(THREE_ZONES)
    farm = Farm(tmp_path, "UTC", more='tariff = "tariff.toml"')
    farm.run(0, 24 * H, [3000])
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-02", "--by", "zone")
    assert {row["key"]: (row["energy_wh"], Decimal(row["cost"])) for row in told["rows"]} == {
        "night": (24_000, Decimal("2.10") * 24),
        "peak": (18_000, Decimal("6.55") * 18),
        "day": (30_000, Decimal("4.3") * 30),
    }
    assert {row["mean_mw"] for row in told["rows"]} == {"0.003000"}
    assert Decimal(told["total"]["cost"]) == sum(Decimal(row["cost"]) for row in told["rows"])
    assert (told["tariff"], told["currency"]) == ("Three zones", "RUB")
    result = farm.ask("--from", "2026-10-01", "--until", "2026-10-02", "--by", "zone")
    assert "cost, RUB" in result.output


def test_hours_that_come_twice_or_never_are_counted_as_they_passed(tmp_path: Path) -> None:
    of = calendar(tmp_path, 'name = "n"\n[[zone]]\nname = "night"\ntimes = ["02:00-03:00"]\n')
    assert zones(of, "2026-10-25", "2026-10-26", "Europe/Berlin").count("night") == 4
    assert zones(of, "2026-03-29", "2026-03-30", "Europe/Berlin").count("night") == 0
    midnight = calendar(tmp_path, 'name = "n"\n[[zone]]\nname = "late"\ntimes = ["23:00-24:00"]\n')
    assert zones(midnight, "2024-02-29", "2024-03-01", "Asia/Almaty").count("late") == 4


def test_hour_classes_by_solar_hijri_months(tmp_path: Path) -> None:
    of = calendar(
        tmp_path,
        'name = "hour classes"\ncalendar = "solar-hijri"\n'
        '[[zone]]\nname = "peak"\nmonths = [7]\ntimes = ["18:00-22:00"]\n[[zone]]\nname = "middle"\n',
    )
    mehr = Period.parse("1405-07", "Asia/Tehran")
    days = [mehr.first_day, mehr.last_day, mehr.next_day]
    peaks = [
        zones(of, day.isoformat(), date.fromordinal(day.toordinal() + 1).isoformat(), "Asia/Tehran").count(
            "peak"
        )
        for day in days
    ]
    assert peaks == [8, 8, 0]


def test_dated_rows_change_on_their_day(tmp_path: Path) -> None:
    of = calendar(
        tmp_path,
        'name = "n"\n[[zone]]\nname = "old"\nuntil = 2026-10-02\n[[zone]]\nname = "new"\nfrom = 2026-10-03\n',
    )
    found = zones(of, "2026-10-01", "2026-10-04", "Asia/Tehran")
    assert found == ["old"] * 48 + ["-"] * 48 + ["new"] * 48


def test_a_price_that_is_missing_is_told_and_not_zero(tmp_path: Path) -> None:
    text = 'name = "n"\ncurrency = "RUB"\n[[zone]]\nname = "a"\ntimes = ["00:00-12:00"]\nprice = 2\n'
    (tmp_path / "tariff.toml").write_text(text)
    farm = Farm(tmp_path, "UTC", more='tariff = "tariff.toml"')
    farm.run(0, 24 * H, [1000])
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-02", "--by", "zone")
    assert [(row["key"], row.get("cost")) for row in told["rows"]] == [("a", "24"), ("no zone", None)]
    assert told["notes"] == ["some energy lies in zones without a price: the cost is that of the others"]


times = st.tuples(st.integers(0, 47), st.integers(1, 48)).filter(lambda t: t[0] != t[1] and t != (0, 48))


@given(
    rows=st.lists(st.tuples(times, st.lists(st.integers(1, 12), max_size=3)), min_size=1, max_size=5),
    start=st.integers(900_000, 1_000_000),
    length=st.integers(1, 400),
    zone=st.sampled_from(["Europe/Berlin", "Asia/Almaty", "Asia/Tehran", "Asia/Irkutsk"]),
)
def test_every_half_hour_is_in_the_first_row_that_fits(
    rows: list[tuple[tuple[int, int], list[int]]], start: int, length: int, zone: str
) -> None:
    def clock(slot: int) -> str:
        return f"{slot // 2:02d}:{slot % 2 * 30:02d}"

    of = Tariff.model_validate(
        {
            "name": "n",
            "zone": [
                {"name": f"z{n}", "times": [f"{clock(a)}-{clock(b)}"], "months": months}
                for n, ((a, b), months) in enumerate(rows)
            ],
        }
    )
    time = civil.civil_time(start * 1_800_000_000, (start + length) * 1_800_000_000, zone)
    found = of.rows(time)
    for n in range(length):
        slot, month = int(time.minute[n]) // 30, date.fromordinal(int(time.day[n])).month
        fits = [
            row
            for row, ((a, b), months) in enumerate(rows)
            if (a <= slot < b if a < b else slot >= a or slot < b) and (not months or month in months)
        ]
        assert found[n] == (fits[0] if fits else -1)
    assert np.all(found < len(rows))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[zone]]\nname = "a"\ntimes = ["07:15-23:00"]', "zone[0].times[0]: 07:15 is inside a half-hour"),
        ('[[zone]]\nname = "a"\ntimes = ["7-23"]', "write civil times as 07:00-23:00"),
        ('[[zone]]\nname = "a"\ntimes = ["07:00-25:00"]', "25:00 is no time of a day"),
        ('[[zone]]\nname = "a"\ntimes = ["07:00-07:00"]', "is empty; leave times out"),
        ('[[zone]]\nname = "a"\nprice = 1', "zone[0].price: of which currency?"),
        ('[[zone]]\nname = "a"\nhours = 1', "zone[0].hours: unknown key; known here: name, times, from, "),
        ('[[zone]]\nname = "a"\nfrom = 2026-01-02\nuntil = 2026-01-02', "zone[0].until: 2026-01-02 is not"),
        ('[[zone]]\nname = "no zone"', "zone[0].name: no zone is what fits no zone"),
        ('[[zone]]\nname = "a"\nmonths = [13]', "zone[0].months[0]:"),
        ("zone = []", "zone:"),
        ("[[zone", "not TOML"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "tariff.toml").write_text(f'name = "n"\n{text}\n')
    with pytest.raises(ConfigError) as error:
        Farm(tmp_path, more='tariff = "tariff.toml"')
    (problem,) = error.value.problems
    assert f"site.{SITE}.tariff: " in problem
    assert "tariff.toml" in problem
    assert told in problem


def test_zones_need_a_calendar(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    result = farm.ask("--from", "2026-10-01", "--until", "2026-10-02", "--by", "zone")
    assert (result.exit_code, f"site.{SITE}.tariff: is missing" in result.output) == (2, True)
