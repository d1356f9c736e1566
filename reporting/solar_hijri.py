"""Solar Hijri calendar by the 33-year leap rule, equal to Iran's civil calendar in the years allowed."""

from __future__ import annotations

from datetime import date, timedelta

# Years in which the arithmetic rule and the astronomical calendar agree; outside them a date is refused.
FIRST_YEAR = 1300
LAST_YEAR = 1500

_LEAP_REMAINDERS = frozenset({1, 5, 9, 13, 17, 22, 26, 30})
_NEW_YEAR_1300 = date(1921, 3, 21)


def is_leap(year: int) -> bool:
    """True when the last month of the year has 30 days."""
    return year % 33 in _LEAP_REMAINDERS


def month_days(year: int, month: int) -> int:
    """Days of a month: six of 31, five of 30, the last of 29 or 30."""
    if month <= 6:
        return 31
    return 30 if month < 12 or is_leap(year) else 29


def to_gregorian(year: int, month: int, day: int) -> date:
    """The Gregorian date of a Solar Hijri one; ValueError when there is no such day."""
    if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12 and 1 <= day <= month_days(year, month)):
        raise ValueError(f"{year:04d}-{month:02d}-{day:02d} is not a Solar Hijri date")
    days = sum(365 + is_leap(past) for past in range(FIRST_YEAR, year))
    days += sum(month_days(year, past) for past in range(1, month))
    return _NEW_YEAR_1300 + timedelta(days=days + day - 1)


def from_gregorian(day: date) -> tuple[int, int, int]:
    """(year, month, day) of a Gregorian date; ValueError outside the years this module knows."""
    year = day.year - 621
    if not FIRST_YEAR < year <= LAST_YEAR:
        raise ValueError(f"{day} is outside the Solar Hijri years {FIRST_YEAR} to {LAST_YEAR}")
    if day < to_gregorian(year, 1, 1):
        year -= 1
    left = (day - to_gregorian(year, 1, 1)).days
    month = 1
    while left >= month_days(year, month):
        left -= month_days(year, month)
        month += 1
    return year, month, left + 1


def text(day: date) -> str:
    """A Gregorian date as Solar Hijri `1405/07/01`, the way Iranian forms write it."""
    year, month, day_of_month = from_gregorian(day)
    return f"{year:04d}/{month:02d}/{day_of_month:02d}"
