"""The limit of a natural person (R2) over all known sites of the person: passed, or forecast to be."""

from __future__ import annotations

from reporting import quantity
from reporting.draft import Draft
from reporting.facts import PersonMonth
from reporting.period import local_time
from reporting.rules.model import RuleValue


def check_person(draft: Draft, person: PersonMonth, limit: RuleValue, basis: RuleValue) -> None:
    """Adds the findings on what was used and, of a month that runs, on what is forecast."""
    sites, kwh = ", ".join(person.sites), quantity.kwh_text
    if quantity.kwh(person.energy_wh) > limit.amount:
        used = kwh(person.energy_wh)
        draft.find(
            "RU-LIMIT-004", "person.energy_wh", kwh=used, sites=sites, limit=limit.text, status=limit.status
        )
    else:
        if quantity.kwh(person.energy_high_wh) > limit.amount:
            high = kwh(person.energy_high_wh)
            draft.find("RU-LIMIT-005", "person.energy_high_wh", high=high, sites=sites, limit=limit.text)
        _check_forecast(draft, person, limit)
    draft.find("RU-LIMIT-008", "ru.natural_person_limit_basis", sites=sites, basis=basis.text)


def _check_forecast(draft: Draft, person: PersonMonth, limit: RuleValue) -> None:
    low, likely, high = person.forecast_low_wh, person.forecast_wh, person.forecast_high_wh
    if low is None or likely is None or high is None:
        return
    shown = {"high": quantity.kwh_text(high), "limit": limit.text}
    if quantity.kwh(likely) > limit.amount and person.exceeded_us is not None:
        shown |= {"kwh": quantity.kwh_text(likely), "low": quantity.kwh_text(low)}
        draft.find("RU-LIMIT-006", "person.forecast_wh", day=_day(draft, person.exceeded_us), **shown)
    elif quantity.kwh(high) > limit.amount and person.exceeded_earliest_us is not None:
        day = _day(draft, person.exceeded_earliest_us)
        draft.find("RU-LIMIT-007", "person.forecast_high_wh", day=day, **shown)


def _day(draft: Draft, instant_us: int) -> str:
    return local_time(instant_us, draft.period.zone).date().isoformat()
