"""Bans of mining by region and day (R3), for filings and for whoever wants to know beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from reporting.rules.model import RuleBook, RuleValue, at

BAN, PLANNED = "ru.region_ban", "ru.region_ban_planned"


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban from `first_day` on; `where` names the part of the region, None is the whole."""

    region: str
    first_day: date
    where: str | None
    holds: bool  # already on the day that was asked of
    planned: bool  # its adoption was not found
    status: str
    reference: str

    @property
    def text(self) -> str:
        """One line for people: what is banned from when, and what is not certain of it."""
        source = f"{self.status}: {self.reference}"
        if self.planned:
            return f"a ban in part of {self.region} ({self.where}) was planned and is unconfirmed ({source})"
        when = "now" if self.holds else f"from {self.first_day} on"
        if self.where is None:
            return f"mining is banned in {self.region} {when} ({source})"
        where = f"part of {self.region} ({self.where})"
        return f"mining is banned in {where} {when}: confirm your municipality ({source})"


def in_season(ban: RuleValue, day: date) -> bool:
    """True if a ban that holds on a day bans on it: a seasonal one does in its season alone."""
    if not (isinstance(ban.value, dict) and "season_from_month" in ban.value):
        return True
    first = (ban.whole_number("season_from_month"), ban.whole_number("season_from_day"))
    last = (ban.whole_number("season_to_month"), ban.whole_number("season_to_day"))
    # The season runs over the turn of the year.
    return (day.month, day.day) >= first or (day.month, day.day) <= last


def ahead(book: RuleBook, region: str, today: date, days: int) -> list[Ban]:
    """The bans of today and of the days after it, each with the first of those days that it bans.

    A plan is told only where no ban holds.
    """
    found: dict[tuple[str, str, date], Ban] = {}
    for n in range(days + 1):
        day = today + timedelta(days=n)
        ban = at(book[BAN], on=day, key=region)
        value, planned = (ban, False) if ban is not None and in_season(ban, day) else (None, True)
        if value is None:
            value = at(book[PLANNED], on=day, key=region)
        if value is None:
            continue
        key = (PLANNED if planned else BAN, region, value.start)
        where = None if value.part("scope") == "whole" else str(value.part("where"))
        found.setdefault(key, Ban(region, day, where, n == 0, planned, value.status.value, value.reference))
    return list(found.values())
