"""Civil time over half-hours: the local day and hour of each, and where hours, days and months begin.

Half-hours are atomic. A day or month begins with its first instant and ends with the next one's, so one in
which the zone's offset changes is as long as it really was.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from collector.ledger.quantities import DAY_US, HALF_HOUR_US, Ints
from reporting import solar_hijri
from reporting.errors import ReportingError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_HOUR_US = 2 * HALF_HOUR_US
_FIRST_DAY = date(1970, 1, 1).toordinal()


class Resolution(StrEnum):
    """How long the cells of a table are."""

    HALF_HOUR = "half-hour"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    WHOLE = "whole"


class CivilTime(NamedTuple):
    """Half-hours in local time: civil date as a proleptic ordinal, minute of the day, offset from UTC."""

    start_us: Ints
    day: Ints
    minute: Ints
    offset_us: Ints


def civil_time(start_us: int, end_us: int, zone: str) -> CivilTime:
    """The half-hours of a time in a zone, whose offsets are whole half-hours."""
    starts_us = np.arange(start_us, end_us, HALF_HOUR_US)
    offset_us = _offsets_us(starts_us, zone)
    day, in_day_us = np.divmod(starts_us + offset_us, DAY_US)
    # Where midnight comes twice, the new day has begun with the first.
    day = np.maximum.accumulate(day) + _FIRST_DAY
    return CivilTime(starts_us, day, in_day_us // 60_000_000, offset_us)


def edges_us(
    start_us: int, end_us: int, zone: str, resolution: Resolution, *, hijri_months: bool = False
) -> Ints:
    """Where the cells of a time begin, and its end; the first and last are cut by the time itself."""
    if resolution is Resolution.WHOLE:
        return np.array([start_us, end_us])
    if resolution is Resolution.HALF_HOUR:
        return np.arange(start_us, end_us + 1, HALF_HOUR_US)
    civil = civil_time(start_us, end_us, zone)
    if resolution is Resolution.HOUR:
        # An hour that comes twice is two hours: their offsets differ.
        keys = [civil.day, civil.minute // 60, civil.offset_us]
    elif resolution is Resolution.DAY:
        keys = [civil.day]
    else:
        keys = [_months(civil.day, hijri_months)]
    new = np.any([np.diff(key) != 0 for key in keys], axis=0)
    return np.concatenate([[start_us], civil.start_us[1:][new], [end_us]])


def instant_us(text: str, zone: str) -> int:
    """A civil day or time such as 2026-10-01 or 2026-10-01T06:30, or one with its own offset, as an instant.

    ReportingError unless it exists there and begins a half-hour. Of a time that comes twice: the first.
    """
    try:
        if len(text) == len("2026-10-01"):
            day = date.fromisoformat(text)
            local, exists = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)), True
        else:
            local = datetime.fromisoformat(text)
            local = local if local.tzinfo is not None else local.replace(tzinfo=ZoneInfo(zone))
            back = local.astimezone(UTC).astimezone(local.tzinfo)
            exists = back.replace(tzinfo=None) == local.replace(tzinfo=None)
        found_us = (local - _EPOCH) // _US
    except (ValueError, OverflowError) as error:
        raise ReportingError(f"{text!r}: write a day as 2026-10-01 or a time as 2026-10-01T06:30") from error
    if not exists:
        raise ReportingError(f"{text} does not exist in {zone}: clocks went forward over it")
    if found_us % HALF_HOUR_US:
        raise ReportingError(f"{text} does not begin a half-hour in {zone}: the ledger has no finer grain")
    return found_us


def text(instant: int, zone: str) -> str:
    """An instant as civil time with its offset, to the minute: 2026-10-01T06:30+03:30."""
    return (_EPOCH + instant * _US).astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")


def day_of(instant: int, zone: str) -> date:
    """The civil day of an instant."""
    return (_EPOCH + instant * _US).astimezone(ZoneInfo(zone)).date()


def _offsets_us(starts_us: Ints, zone: str) -> Ints:
    # An offset is asked for at each UTC midnight, and at each half-hour only of a day in which it changes.
    days = starts_us // DAY_US
    kept = {day: _offset_us(day * DAY_US, zone) for day in range(int(days[0]), int(days[-1]) + 2)}
    at_midnight = np.array([kept[day] for day in sorted(kept)])
    offsets_us: Ints = at_midnight[days - days[0]]
    for n in np.flatnonzero(offsets_us != at_midnight[days - days[0] + 1]).tolist():
        offsets_us[n] = _offset_us(int(starts_us[n]), zone)
    return offsets_us


def _offset_us(instant: int, zone: str) -> int:
    offset = (_EPOCH + instant * _US).astimezone(ZoneInfo(zone)).utcoffset()
    assert offset is not None
    offset_us = offset // _US
    if offset_us % HALF_HOUR_US:
        raise ReportingError(f"zone {zone}: its offset {offset} is no multiple of 30 minutes")
    return offset_us


def _months(days: Ints, hijri: bool) -> Ints:
    unique, nth = np.unique(days, return_inverse=True)
    found: Ints = np.array([month_of(date.fromordinal(day), hijri=hijri) for day in unique.tolist()])[nth]
    return found


def month_of(day: date, *, hijri: bool) -> int:
    """A number of a day's month that grows with time; January of the Gregorian year 1 is 12."""
    year, month = solar_hijri.from_gregorian(day)[:2] if hijri else (day.year, day.month)
    return year * 12 + month - 1
