"""Regional bans (R3): whether mining in the site's region is banned on days of the period."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from reporting.countries.ru.bans import BAN, PLANNED, in_season
from reporting.draft import Draft
from reporting.rules.model import RuleValue


def check_region(draft: Draft) -> None:
    """Adds the findings on the ban of the region, at most one of each kind."""
    region = draft.facts.site.region
    if not region:
        draft.find("RU-REGION-001", "site.region")
        return
    banned = [(day, ban) for day in _days(draft) if (ban := _ban_on(draft, day, region)) is not None]
    if banned:
        first, ban = banned[0]
        if ban.part("scope") == "whole":
            draft.find(
                "RU-REGION-002", "site.region", region=region, day=first.isoformat(), status=ban.status.value
            )
        else:
            draft.find("RU-REGION-003", "site.region", region=region, part=ban.part("where"))
    banned_days = {day for day, _ in banned}
    planned = (draft.rule_if_any(PLANNED, day, region) for day in _days(draft) if day not in banned_days)
    unconfirmed = next((value for value in planned if value is not None), None)
    if unconfirmed is not None:
        draft.find("RU-REGION-004", "site.region", region=region, part=unconfirmed.part("where"))


def _days(draft: Draft) -> Iterator[date]:
    day = draft.period.first_day
    while day < draft.period.next_day:
        yield day
        day += timedelta(days=1)


def _ban_on(draft: Draft, day: date, region: str) -> RuleValue | None:
    ban = draft.rule_if_any(BAN, day, region)
    return ban if ban is not None and in_season(ban, day) else None
