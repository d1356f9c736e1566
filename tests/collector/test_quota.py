"""A natural person's month: used to the Wh, forecast within bounds, the day on which the limit is passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import config, outlook
from collector.ledger.profile import Totals
from collector.ledger.quantities import (
    BELOW_WH,
    COVERED_US,
    GAP_US,
    GAP_WH,
    HALF_HOUR_US,
    ORIGIN_NAMES,
    QUANTITIES,
    WH,
    Ints,
)
from collector.quota import Quota, SiteMonth, quota, site_month
from reporting.period import Period
from tests.collector.energy_farm import Farm
from tests.collector.support import SITE, T0, S

pytestmark = pytest.mark.usefixtures("both_stores")

PSU = ORIGIN_NAMES.index("psu_measured")
MONTH = 1488  # half-hours of October in UTC
LIMIT = 6_000_000
H = 3600
DAY = 24 * H


def profile(wh: Ints, gap_wh: Ints | None = None, below: int = 0) -> Totals:
    columns = np.zeros((QUANTITIES, len(wh)), np.int64)
    columns[WH + PSU], columns[COVERED_US + PSU] = wh, np.where(wh > 0, HALF_HOUR_US, 0)
    columns[BELOW_WH] = np.minimum(below, wh)
    if gap_wh is not None:
        columns[GAP_WH], columns[GAP_US] = gap_wh, np.where(gap_wh > 0, HALF_HOUR_US, 0)
    return Totals(columns, np.zeros_like(wh), np.zeros_like(wh))


def month(wh: Ints, site: str = "a", before: int = 0, **more: Any) -> SiteMonth:
    """October; the profile begins so many half-hours before it."""
    first_us = T0 - before * HALF_HOUR_US
    return site_month(site, profile(wh, **more), first_us, T0, T0 + MONTH * HALF_HOUR_US)


def test_a_constant_load_is_forecast_exactly_and_passes_the_limit_on_its_half_hour() -> None:
    found = quota([month(np.full(10 * 48, 5000))], LIMIT)
    assert (found.used.low, found.used.likely, found.used.high) == (2_400_000,) * 3
    assert found.forecast is not None
    assert (found.forecast.low, found.forecast.likely, found.forecast.high) == (MONTH * 5000,) * 3
    # 1,200 half-hours are the limit itself; the next one passes it.
    at_us = T0 + 1200 * HALF_HOUR_US
    assert found.crossing.earliest_us == found.crossing.likely_us == found.crossing.latest_us == at_us


def test_a_limit_that_is_passed_already_says_when() -> None:
    found = quota([month(np.full(20 * 48, 10_000))], LIMIT)
    assert found.crossing.likely_us == T0 + 600 * HALF_HOUR_US
    assert found.used.likely > LIMIT


def test_sites_of_a_person_are_added_up() -> None:
    apart = [quota([month(np.full(10 * 48, wh))], LIMIT) for wh in (3000, 2000)]
    assert all(found.crossing.latest_us is None for found in apart)
    both = quota([month(np.full(10 * 48, 3000)), month(np.full(10 * 48, 2000), "b")], LIMIT)
    assert both.used.likely == sum(found.used.likely for found in apart)
    assert both.crossing.likely_us == T0 + 1200 * HALF_HOUR_US


def test_the_week_before_counts_though_it_lies_in_another_month() -> None:
    found = quota([month(np.full(8 * 48, 4000), before=7 * 48)], LIMIT)
    assert found.used.likely == 48 * 4000
    assert found.forecast is not None
    assert found.forecast.likely == MONTH * 4000


def test_nights_off_are_known_and_dark_nights_are_not() -> None:
    day = np.array([4000] * 24 + [0] * 24)
    known = quota([month(np.tile(day, 6))], LIMIT)
    assert known.forecast is not None
    assert known.forecast.likely == 31 * 24 * 4000
    dark = quota([month(np.tile(day, 6), gap_wh=np.tile(np.array([0] * 24 + [4400] * 24), 6))], LIMIT)
    assert dark.forecast is not None
    assert dark.forecast.low == 31 * 24 * 4000
    assert dark.forecast.high == 31 * 24 * 8400
    assert dark.forecast.likely == 6 * 24 * 4000 + 25 * 48 * 4000  # as on average while it was read


def test_less_than_a_day_of_readings_forecasts_nothing() -> None:
    wh = np.zeros(10 * 48, np.int64)
    wh[-47:] = 4000
    found = quota([month(wh)], LIMIT)
    assert found.forecast is None
    assert found.used.likely == 47 * 4000
    assert quota([month(wh), month(np.full(480, 9000), "b")], LIMIT).forecast is None


@given(
    wh=st.lists(st.integers(1, 8000), min_size=48, max_size=MONTH),
    before=st.integers(0, 300),
    below=st.integers(0, 500),
    limit=st.integers(1, 12_000_000),
    dark=st.sets(st.integers(0, MONTH - 1), max_size=60),
)
def test_bounds_enclose_what_is_likely_and_days_follow_their_order(
    wh: list[int], before: int, below: int, limit: int, dark: set[int]
) -> None:
    load = np.array(wh)
    gap_wh = np.zeros_like(load)
    for n in dark:
        if n < len(load):
            load[n], gap_wh[n] = 0, 9000  # more than any reading
    found = quota([month(load, before=before, gap_wh=gap_wh, below=below)], limit)
    assert found.used.low <= found.used.likely <= found.used.high
    forecast = found.forecast
    if forecast is not None:
        assert forecast.low <= forecast.likely <= forecast.high
        assert found.used.low <= forecast.low
        assert found.used.high <= forecast.high
        assert (found.crossing.likely_us is None) == (forecast.likely <= limit)
        assert (found.crossing.earliest_us is None) == (forecast.high <= limit)
    for first, then in (("earliest_us", "likely_us"), ("likely_us", "latest_us")):
        sooner, later = getattr(found.crossing, first), getattr(found.crossing, then)
        assert later is None or (sooner is not None and sooner <= later)


@given(wh=st.lists(st.integers(0, 8000), min_size=MONTH, max_size=MONTH), cut=st.integers(48, MONTH))
def test_at_the_end_of_the_month_the_forecast_is_what_was_used(wh: list[int], cut: int) -> None:
    load = np.array(wh)
    load[0] = 1
    found = quota([month(load)], LIMIT)
    assert found.forecast == found.used
    past: Quota = quota([month(load[:cut])], LIMIT)
    assert past.used.likely == int(load[:cut].sum())


PERSON = """
region = "{region}"
[site.north.filer]
kind = "natural_person"
name = "A miner"
inn = "{inn}"
[site.south]
name = "South"
country = "ru"
zone = "Europe/Moscow"
[site.south.filer]
kind = "natural_person"
name = "A miner"
inn = "{inn}"
[site.east]
name = "East"
country = "ru"
zone = "Asia/Irkutsk"
[site.east.filer]
kind = "sole_trader"
name = "A miner"
inn = "{inn}"
"""


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path, "Asia/Irkutsk", more=PERSON.format(region="RU-BU", inn="500100732259"))


def instant(text: str) -> int:
    return Period.parse(text, "Asia/Irkutsk").start_us


def test_the_month_that_runs_out_of_the_ledger(farm: Farm) -> None:
    """8 kW at one site of two: 6,000 kWh are 31.25 days of it; 10 kW pass them on the 26th."""
    start_s = (instant("2026-10") - T0) // S
    farm.run(start_s, start_s + 12 * DAY, [8000, 2000], every_s=900)
    now_us = T0 + (start_s + 12 * DAY) * S
    with farm.store.read() as connection:
        found = outlook.person_month(connection, farm.config, SITE, now_us)
    assert found is not None
    assert found.quota.sites == (SITE, "south")  # not the sole trader's
    assert found.quota.used.likely == 12 * 24 * 10_000
    assert found.quota.forecast is None  # nothing was ever read at the other site
    farm.write("Asia/Irkutsk", "ru", PERSON.format(region="RU-BU", inn="1").partition("[site.south]")[0])
    with farm.store.read() as connection:
        alone = outlook.person_month(connection, farm.config, SITE, now_us)
        said = list(outlook.lines([], alone))
    assert alone is not None
    assert alone.quota.forecast is not None
    assert alone.quota.forecast.likely == 31 * 24 * 10_000
    assert outlook.content(alone)["exceeded"]["likely"] == "2026-10-26T00:00+08:00"
    assert "2,880.000" in said[0]
    assert "exceeded on 2026-10-26" in said[1]


def test_the_limit_is_the_natural_persons_alone(farm: Farm) -> None:
    with farm.store.read() as connection:
        assert outlook.person_month(connection, farm.config, "east", T0) is None
        before = instant("2024-09")  # before the decree
        assert outlook.person_month(connection, farm.config, SITE, before) is None


@pytest.mark.parametrize(
    ("region", "day", "told"),
    [
        ("RU-DA", "2026-10-01", "mining is banned in RU-DA now"),
        ("RU-DA", "2024-11-15", "mining is banned in RU-DA from 2025-01-01 on"),
        ("RU-IRK", "2026-10-01", "in part of RU-IRK (south) now: confirm your municipality"),
        ("RU-BU", "2025-09-20", "from 2025-11-15 on: confirm your municipality"),
        ("RU-BU", "2026-06-01", "planned and is unconfirmed"),
        ("RU-KYA", "2026-10-01", None),
    ],
)
def test_bans_are_told_before_they_begin(tmp_path: Path, region: str, day: str, told: str | None) -> None:
    farm = Farm(tmp_path, "Asia/Irkutsk", more=f'region = "{region}"')
    now_us = config_instant(day)
    found = outlook.bans(farm.config.sites[SITE].site, now_us)
    said = list(outlook.lines(found, None))
    assert (told is None and not said) or any(told is not None and told in line for line in said), said


def config_instant(day: str) -> int:
    return instant(day[:7]) + (int(day[8:]) - 1) * DAY * S


def test_a_season_is_told_two_months_before_and_not_earlier(tmp_path: Path) -> None:
    farm = Farm(tmp_path, "Asia/Irkutsk", more='region = "RU-ZAB"')
    of = farm.config.sites[SITE].site
    assert not [ban for ban in outlook.bans(of, config_instant("2025-09-15")) if not ban.planned]
    (ban,) = [ban for ban in outlook.bans(of, config_instant("2025-09-16")) if not ban.planned]
    assert ban.first_day.isoformat() == "2025-11-15"


def test_status_and_energy_warn(farm: Farm) -> None:
    assert config.load(farm.path).sites[SITE].site.region == "RU-BU"
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-02", "--site", SITE)
    assert told["outlook"]["bans"]
    assert told["outlook"]["limit"]["limit_wh"] == LIMIT
    output = farm.ask("--from", "2026-10-01", "--until", "2026-10-02", "--site", SITE).output
    assert "RU-BU" in output
    assert "Limit of a natural person" in output
