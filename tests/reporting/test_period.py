"""Periods in civil time: tiling, offset changes, both calendars, refusals."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting import solar_hijri
from reporting.errors import ReportingError
from reporting.period import Period, local_text

ZONES = sorted(available_timezones())
SOLAR_YEARS = st.integers(solar_hijri.FIRST_YEAR + 1, solar_hijri.LAST_YEAR - 1)


@given(zone=st.sampled_from(ZONES), year=st.integers(1980, 2090))
def test_months_tile_the_quarters_and_the_year_in_any_zone(zone: str, year: int) -> None:
    months = [Period.parse(f"{year}-{month:02d}", zone) for month in range(1, 13)]
    following = Period.parse(f"{year + 1}-01", zone)
    for one, after in zip(months, [*months[1:], following], strict=True):
        assert one.start_us < one.end_us == after.start_us
    for number in range(4):
        quarter = Period.parse(f"{year}-Q{number + 1}", zone)
        assert (quarter.start_us, quarter.end_us) == (
            months[3 * number].start_us,
            months[3 * number + 2].end_us,
        )


@given(year=SOLAR_YEARS)
def test_solar_hijri_months_tile_the_year(year: int) -> None:
    months = [Period.parse(f"{year}-{month:02d}", "Asia/Tehran") for month in range(1, 13)]
    for one, after in zip(months, [*months[1:], Period.parse(f"{year + 1}-01", "Asia/Tehran")], strict=True):
        assert one.start_us < one.end_us == after.start_us


@given(day=st.dates(date(1922, 1, 1), date(2120, 1, 1)))
def test_solar_hijri_dates_round_trip(day: date) -> None:
    assert solar_hijri.to_gregorian(*solar_hijri.from_gregorian(day)) == day


@pytest.mark.parametrize(
    ("gregorian", "solar"),
    [
        # New year's days as Iran's calendar had them; 1399 and 1403 were leap years, 1404 was not.
        (date(1979, 2, 11), "1357/11/22"),
        (date(2019, 8, 4), "1398/05/13"),
        (date(2020, 3, 20), "1399/01/01"),
        (date(2021, 3, 20), "1399/12/30"),
        (date(2021, 3, 21), "1400/01/01"),
        (date(2024, 3, 20), "1403/01/01"),
        (date(2025, 3, 20), "1403/12/30"),
        (date(2025, 3, 21), "1404/01/01"),
        (date(2026, 3, 21), "1405/01/01"),
        (date(2026, 9, 23), "1405/07/01"),
    ],
)
def test_known_solar_hijri_dates(gregorian: date, solar: str) -> None:
    assert solar_hijri.text(gregorian) == solar


def test_almaty_gained_an_hour_in_the_first_quarter_of_2024() -> None:
    # 29 February ended in +6, 1 March begins at the moment the clock went back to +5: 91 days x 24 h + 1 h.
    quarter = Period.parse("2024-Q1", "Asia/Almaty")
    assert quarter.hours == 91 * 24 + 1
    assert local_text(quarter.start_us, quarter.zone) == "2024-01-01T00:00:00+06:00"
    assert local_text(quarter.end_us, quarter.zone) == "2024-04-01T00:00:00+05:00"


def test_tehran_had_summer_time_in_1401_and_none_after() -> None:
    # Farvardin has 31 days; in 1401 it lost the hour that summer time took, since 1402 nothing.
    assert Period.parse("1401-01", "Asia/Tehran").hours == 31 * 24 - 1
    assert Period.parse("1402-01", "Asia/Tehran").hours == 31 * 24


def test_solar_hijri_month_and_quarter() -> None:
    mehr = Period.parse("1405-07", "Asia/Tehran")
    assert (mehr.first_day, mehr.next_day, mehr.hours) == (
        date(2026, 9, 23),
        date(2026, 10, 23),
        Decimal(720),
    )
    assert mehr.last_day == mehr.next_day - timedelta(days=1)
    assert Period.parse("1405-Q3", "Asia/Tehran").start_us == mehr.start_us
    assert mehr.contains(mehr.start_us)
    assert not mehr.contains(mehr.end_us)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-9", "2026-13", "2026-00", "2026-Q5", "1405-13", "0001-01", "9999-12"]
)
def test_a_wrong_period_says_what_would_be_right(text: str) -> None:
    with pytest.raises(ReportingError, match=r"2026-09 .* 1405-07"):
        Period.parse(text, "UTC")


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../etc/passwd"])
def test_an_unknown_zone_says_what_would_be_right(zone: str) -> None:
    with pytest.raises(ReportingError, match="IANA name"):
        Period.parse("2026-09", zone)
