"""Reporting periods: a month or a quarter in civil time of an IANA zone, as half-open UTC instants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from reporting import solar_hijri
from reporting.errors import ReportingError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_US_PER_HOUR = 3_600_000_000

# The Gregorian 1700 and the Solar Hijri 1700 (2321) are both far from any period that can be filed.
_SOLAR_HIJRI_BEFORE = 1700

_TEXT = re.compile(r"(?P<year>\d{4})-(?:(?P<month>\d{2})|Q(?P<quarter>[1-4]))", re.ASCII)
_WOULD_BE_RIGHT = (
    "write a month as 2026-09 (Solar Hijri: 1405-07) or a quarter as 2026-Q3 (Solar Hijri: 1405-Q2)"
)


class PeriodKind(StrEnum):
    MONTH = "month"
    QUARTER = "quarter"


@dataclass(frozen=True, slots=True)
class Period:
    """`[start_us, end_us)`; `first_day` and `next_day` are the Gregorian civil dates of the two ends."""

    text: str
    kind: PeriodKind
    zone: str
    first_day: date
    next_day: date
    start_us: int
    end_us: int

    @classmethod
    def parse(cls, text: str, zone: str) -> Period:
        """The period that `text` names in `zone`; ReportingError says what would be right."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ReportingError(f"period {text!r} is not understood: {_WOULD_BE_RIGHT}")
        year = int(found["year"])
        if found["quarter"] is not None:
            kind, month, months = PeriodKind.QUARTER, 3 * int(found["quarter"]) - 2, 3
        else:
            kind, month, months = PeriodKind.MONTH, int(found["month"]), 1
        try:
            first = _first_of_month(year, month)
            following = _first_of_month(year + (month + months > 12), (month + months - 1) % 12 + 1)
        except ValueError as error:
            raise ReportingError(f"period {text!r} does not exist: {error}; {_WOULD_BE_RIGHT}") from error
        return cls(
            text, kind, zone, first, following, _midnight_us(first, zone), _midnight_us(following, zone)
        )

    @property
    def solar_hijri(self) -> bool:
        """True when the period is one of the Solar Hijri calendar."""
        return int(self.text[:4]) < _SOLAR_HIJRI_BEFORE

    @property
    def last_day(self) -> date:
        """The last civil day inside the period."""
        return self.next_day - timedelta(days=1)

    @property
    def hours(self) -> Decimal:
        """Hours that really passed, exact: a change of the zone's offset counts."""
        return Decimal(self.end_us - self.start_us) / _US_PER_HOUR

    def contains(self, instant_us: int) -> bool:
        """True when the instant lies in `[start_us, end_us)`."""
        return self.start_us <= instant_us < self.end_us


def local_time(instant_us: int, zone: str) -> datetime:
    """An instant as civil time of the zone, with its offset."""
    return (_EPOCH + instant_us * _US).astimezone(_zone(zone))


def local_text(instant_us: int, zone: str) -> str:
    """An instant as ISO 8601 civil time with offset; fractions only when there are any."""
    return local_time(instant_us, zone).isoformat()


def day_after_months(day: date, months: int, day_of_month: int) -> date:
    """The given day of the Gregorian month that lies `months` after the month of `day`."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, day_of_month)


def _first_of_month(year: int, month: int) -> date:
    if year < _SOLAR_HIJRI_BEFORE:
        return solar_hijri.to_gregorian(year, month, 1)
    return date(year, month, 1)


def _midnight_us(day: date, zone: str) -> int:
    # fold=0: where a change of offset skips or repeats midnight, this is the first instant of the civil day.
    midnight = datetime(day.year, day.month, day.day, tzinfo=_zone(zone))
    return (midnight - _EPOCH) // _US


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ReportingError(
            f"time zone {name!r} is unknown: write an IANA name such as Asia/Almaty"
        ) from error
