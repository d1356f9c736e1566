"""Civil time: cells tile a time, and are as long as the zone's clocks made them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import civil
from collector.civil import Resolution
from collector.ledger.quantities import HALF_HOUR_US
from reporting.errors import ReportingError
from reporting.period import Period

HOUR_US = 2 * HALF_HOUR_US
ZONES = ("UTC", "Europe/Berlin", "Europe/Moscow", "Asia/Almaty", "Asia/Tehran", "Asia/Irkutsk",
         "America/Havana", "Australia/Lord_Howe", "America/St_Johns")  # fmt: skip


def hours_of_days(month: str, zone: str) -> list[float]:
    period = Period.parse(month, zone)
    edges = civil.edges_us(period.start_us, period.end_us, zone, Resolution.DAY)
    return [(b - a) / HOUR_US for a, b in pairwise(edges.tolist())]


@pytest.mark.parametrize(
    ("month", "zone", "day", "hours"),
    [
        ("2024-02", "Asia/Almaty", 29, 25),  # from +6 to +5 at midnight after February 29
        ("2026-03", "Europe/Berlin", 29, 23),
        ("2026-10", "Europe/Berlin", 25, 25),
        ("2026-03", "America/Havana", 8, 23),  # clocks go forward over midnight itself
        ("2022-03", "Asia/Tehran", 22, 23),  # its last summer time
        ("2026-04", "Australia/Lord_Howe", 5, 24.5),  # by half an hour
    ],
)
def test_a_day_in_which_the_clocks_change_is_as_long_as_it_was(
    month: str, zone: str, day: int, hours: float
) -> None:
    found = hours_of_days(month, zone)
    assert found[day - 1] == hours
    assert {h for n, h in enumerate(found) if n != day - 1} == {24}


def test_an_hour_that_comes_twice_is_two() -> None:
    start_us = civil.instant_us("2026-10-25", "Europe/Berlin")
    edges = civil.edges_us(start_us, start_us + 25 * HOUR_US, "Europe/Berlin", Resolution.HOUR)
    assert np.diff(edges).tolist() == [HOUR_US] * 25
    texts = [civil.text(us, "Europe/Berlin") for us in edges[2:4].tolist()]
    assert texts == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]


@given(
    zone=st.sampled_from(ZONES),
    start=st.integers(900_000, 1_000_000),
    length=st.integers(1, 3000),
    resolution=st.sampled_from(list(Resolution)),
)
def test_cells_tile_any_time_and_begin_where_the_clock_says(
    zone: str, start: int, length: int, resolution: Resolution
) -> None:
    start_us, end_us = start * HALF_HOUR_US, (start + length) * HALF_HOUR_US
    edges = civil.edges_us(start_us, end_us, zone, resolution)
    assert (edges[0], edges[-1]) == (start_us, end_us)
    assert (np.diff(edges) > 0).all()
    for edge in edges[1:-1].tolist():
        local = datetime.fromtimestamp(edge / 1e6, UTC).astimezone(ZoneInfo(zone))
        before = datetime.fromtimestamp(edge / 1e6 - 1, UTC).astimezone(ZoneInfo(zone))
        if resolution is Resolution.DAY:
            assert local.date() > before.date()
        if resolution is Resolution.MONTH:
            assert (local.year, local.month) > (before.year, before.month)


@pytest.mark.parametrize("zone", ZONES)
def test_months_are_the_periods_of_filings(zone: str) -> None:
    quarter = Period.parse("2024-Q1", zone)
    edges = civil.edges_us(quarter.start_us, quarter.end_us, zone, Resolution.MONTH).tolist()
    months = [Period.parse(f"2024-0{n}", zone) for n in (1, 2, 3)]
    assert edges == [*(month.start_us for month in months), quarter.end_us]


def test_months_of_a_solar_hijri_quarter_are_solar_hijri() -> None:
    quarter = Period.parse("1405-Q3", "Asia/Tehran")
    edges = civil.edges_us(
        quarter.start_us, quarter.end_us, "Asia/Tehran", Resolution.MONTH, hijri_months=True
    ).tolist()
    months = [Period.parse(f"1405-0{n}", "Asia/Tehran") for n in (7, 8, 9)]
    assert edges == [*(month.start_us for month in months), quarter.end_us]


@pytest.mark.parametrize(
    ("text", "zone", "why"),
    [
        ("2026-03-29T02:30", "Europe/Berlin", "does not exist"),
        ("2026-10-01T06:15", "UTC", "does not begin a half-hour"),
        ("01.10.2026", "UTC", "write a day as"),
    ],
)
def test_times_that_are_none_are_refused_with_what_is_right(text: str, zone: str, why: str) -> None:
    with pytest.raises(ReportingError, match=why):
        civil.instant_us(text, zone)
