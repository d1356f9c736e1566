"""Tariff zones by dated calendars: which zone each half-hour of a site is in, and what its kWh cost.

A calendar is a TOML file of the user's own; none is shipped, as tariffs are dated and differ by supplier.

    name = "Supplier X, two zones"      # what tables call it
    currency = "RUB"                    # needed where a price is given
    calendar = "gregorian"              # or "solar-hijri": whose months `months` counts
    holidays = [2026-11-04]

    [[zone]]                            # the first that fits a half-hour counts; what none fits is "no zone"
    name = "night"
    times = ["23:00-07:00"]             # civil time; over midnight: late and early part of the same day
    from = 2026-01-01                   # all of the rest may be left out
    until = 2027-01-01                  # the first day no longer
    months = [10, 11, 12]
    days = ["mon", "tue", "wed", "thu", "fri"]   # a holiday is "holiday" and no weekday
    price = 2.37                        # per kWh
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from collector.civil import CivilTime, month_of
from collector.ledger.quantities import Ints, Mask

NO_ZONE = "no zone"
_SLOTS = 48  # half-hours of a civil day; clocks that change skip some or come to some twice
_RANGE = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"]


def _times(text: str) -> str:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError("write civil times as 07:00-23:00")
    for hour, minute in (found.groups()[:2], found.groups()[2:]):
        if int(hour) > 24 or int(minute) > 59 or (int(hour) == 24 and int(minute)):
            raise ValueError(f"{hour}:{minute} is no time of a day")
        if int(minute) % 30:
            raise ValueError(
                f"{hour}:{minute} is inside a half-hour, which the ledger cannot split: "
                f"{hour}:{'00' if int(minute) < 30 else '30'} or the next"
            )
    if found[1] + found[2] == found[3] + found[4]:
        raise ValueError("is empty; leave times out for the whole day")
    return text


class Zone(BaseModel):
    """One row of a calendar: where it holds, what it is called and costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(min_length=1)]
    times: list[Annotated[str, AfterValidator(_times)]] = []
    start: date | None = Field(default=None, alias="from")
    until: date | None = None
    months: list[Annotated[int, Field(ge=1, le=12)]] = []
    days: list[_Day] = []
    price: Annotated[Decimal, Field(ge=0)] | None = None

    def fits(self, day: date, month: int, *, holiday: bool) -> bool:
        """True if it holds at some time of a civil day."""
        return (
            (self.start is None or self.start <= day)
            and (self.until is None or day < self.until)
            and (not self.months or month in self.months)
            and (not self.days or ("holiday" if holiday else _DAYS[day.weekday()]) in self.days)
        )

    def slots(self) -> Mask:
        """At which half-hours of a civil day it holds."""
        mask = np.full(_SLOTS, not self.times)
        for text in self.times:
            first, end = (
                2 * int(part[:2]) + int(part[3:]) // 30 for part in text.replace(" ", "").split("-")
            )
            if first < end:
                mask[first:end] = True
            else:
                mask[first:] = mask[:end] = True
        return mask


class Tariff(BaseModel):
    """A calendar of zones."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(min_length=1)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    calendar: Literal["gregorian", "solar-hijri"] = "gregorian"
    holidays: list[date] = []
    zone: Annotated[list[Zone], Field(min_length=1)]

    def rows(self, civil: CivilTime) -> Ints:
        """Of each half-hour, which row of `zone` it is in; -1 where none fits."""
        hijri, holidays = self.calendar == "solar-hijri", frozenset(self.holidays)
        slots = [zone.slots() for zone in self.zone]
        days, nth = np.unique(civil.day, return_inverse=True)
        table = np.full((len(days), _SLOTS), -1, np.int64)
        for n, ordinal in enumerate(days.tolist()):
            day = date.fromordinal(ordinal)
            month = month_of(day, hijri=hijri) % 12 + 1
            for row in reversed(range(len(self.zone))):
                if self.zone[row].fits(day, month, holiday=day in holidays):
                    table[n, slots[row]] = row
        found: Ints = table[nth, civil.minute // 30]
        return found


def load(path: Path) -> tuple[Tariff | None, list[str]]:
    """The calendar in a file, or every mistake in it."""
    try:
        content = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
        tariff = Tariff.model_validate(content)
    except OSError as error:
        return None, [f"{path}: {error.strerror}"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return None, [f"{path}: not TOML: {error}"]
    except ValidationError as error:
        return None, [f"{path}: {text}" for text in _problems(error)]
    wrong = [f"{path}: {text}" for text in _wrong(tariff)]
    return (None, wrong) if wrong else (tariff, [])


def _problems(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            model = Zone if item["loc"][0] == "zone" else Tariff
            known = ", ".join(field.alias or name for name, field in model.model_fields.items())
            message = f"unknown key; known here: {known}"
        yield f"{key.lstrip('.')}: {message} (given: {item['input']!r})"


def _wrong(tariff: Tariff) -> Iterator[str]:
    for n, zone in enumerate(tariff.zone):
        if zone.start is not None and zone.until is not None and zone.start >= zone.until:
            yield f"zone[{n}].until: {zone.until} is not after from {zone.start}"
        if zone.price is not None and tariff.currency is None:
            yield f'zone[{n}].price: of which currency? write currency = "RUB" or the like at the top'
        if zone.name == NO_ZONE:
            yield f"zone[{n}].name: {NO_ZONE} is what fits no zone; another name"
