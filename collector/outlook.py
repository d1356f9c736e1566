"""What lies ahead of a site in Russia: bans of its region, and the limit of a natural person's month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from collector import civil, energy_read
from collector import quota as limits
from collector.config import Config
from collector.ledger.profile import SiteLedger
from collector.ledger.quantities import DAY_US, HALF_HOUR_US
from collector.quota import Bounds, Quota, SiteMonth
from reporting import quantity
from reporting.countries.ru.bans import Ban, ahead
from reporting.facts import Filer, FilerKind, Site
from reporting.period import Period
from reporting.rules import at, load

# Two months: time to move machines, or to end a contract.
BAN_DAYS = 60
_LIMIT = "ru.natural_person_limit_kwh"


@dataclass(frozen=True, slots=True)
class PersonMonth:
    """A natural person's limit in the month that runs, over all sites of theirs in this configuration."""

    month: str
    zone: str  # of the site that was asked of
    quota: Quota
    status: str
    reference: str


def bans(site: Site, now_us: int) -> list[Ban]:
    """The bans of a site's region, today and in the BAN_DAYS after it; none where no region is declared."""
    if site.country != "ru" or not site.region:
        return []
    return ahead(load("ru"), site.region, civil.day_of(now_us, site.zone), BAN_DAYS)


def person_month(connection: Connection, config: Config, site: str, now_us: int) -> PersonMonth | None:
    """The limit of the natural person who files for a site; None if nobody such does or no limit holds."""
    declared = config.sites[site]
    filer, zone = declared.filer, declared.site.zone
    if declared.site.country != "ru" or filer is None or filer.kind is not FilerKind.NATURAL_PERSON:
        return None
    today = civil.day_of(now_us, zone)
    rule = at(load("ru")[_LIMIT], on=today)
    if rule is None:
        return None
    month = f"{today:%Y-%m}"
    months = [_site_month(connection, config, name, month, now_us) for name in person_sites(config, filer)]
    found = limits.quota(months, int(rule.amount * 1000))
    return PersonMonth(month, zone, found, rule.status.value, rule.reference)


def person_sites(config: Config, filer: Filer) -> list[str]:
    """The sites for which the same natural person files: by INN, or by name where none is declared."""

    def who(of: Filer) -> tuple[str, str]:
        return ("inn", of.inn) if of.inn else ("name", of.name.strip().casefold())

    return [
        name
        for name, declared in config.sites.items()
        if declared.site.country == "ru"
        and declared.filer is not None
        and declared.filer.kind is FilerKind.NATURAL_PERSON
        and who(declared.filer) == who(filer)
    ]


def _site_month(connection: Connection, config: Config, site: str, month: str, now_us: int) -> SiteMonth:
    period = Period.parse(month, config.sites[site].site.zone)
    first_us = min(period.start_us, now_us // HALF_HOUR_US * HALF_HOUR_US)
    first_us -= (limits.WINDOW_DAYS + 1) * DAY_US
    of = energy_read.span(connection, config, site, first_us, period.end_us, now_us, False)
    profile = energy_read.site_profile(SiteLedger(connection, config.org, site), of)
    # A half-hour that the ledger has not wholly reached is not known yet.
    reached = max(0, (of.horizon_us - of.start_us) // HALF_HOUR_US)
    known = profile._replace(columns=profile.columns[:, :reached])
    return limits.site_month(site, known, first_us, period.start_us, period.end_us)


def outlook(connection: Connection, config: Config, site: str, now_us: int) -> dict[str, Any]:
    """Bans ahead, the limit or None, and both in lines for people; the keys are a contract of `--json`."""
    found = bans(config.sites[site].site, now_us)
    month = person_month(connection, config, site, now_us)
    return {
        "bans": [
            {
                "region": ban.region, "from": ban.first_day.isoformat(), "part": ban.where,
                "planned": ban.planned, "status": ban.status, "reference": ban.reference,
            }
            for ban in found
        ],
        "limit": None if month is None else content(month),
        "lines": list(lines(found, month)),
    }  # fmt: skip


def content(found: PersonMonth) -> dict[str, Any]:
    """The limit as values; energy in Wh, instants in civil time."""
    of = found.quota
    return {
        "month": found.month, "sites": list(of.sites), "limit_wh": of.limit_wh,
        "used_wh": _bounds(of.used), "forecast_wh": None if of.forecast is None else _bounds(of.forecast),
        "exceeded": {
            name: None if us is None else civil.text(us, found.zone)
            for name, us in (
                ("earliest", of.crossing.earliest_us), ("likely", of.crossing.likely_us),
                ("latest", of.crossing.latest_us),
            )
        },
        "method": limits.METHOD, "status": found.status, "reference": found.reference,
    }  # fmt: skip


def _bounds(of: Bounds) -> dict[str, int]:
    return {"low": of.low, "likely": of.likely, "high": of.high}


def lines(bans_found: Sequence[Ban], found: PersonMonth | None) -> Iterator[str]:
    """What there is to warn of, for people."""
    for ban in bans_found:
        yield f"Warning: {ban.text}."
    if found is None:
        return
    of = found.quota
    used = f"{_kwh(of.used)} of {quantity.kwh(of.limit_wh):,.0f} kWh used"
    until = "no forecast yet (less than a day of readings)"
    if of.forecast is not None:
        until = f"by the end of the month {_kwh(of.forecast)} kWh ({limits.METHOD})"
    yield f"Limit of a natural person, {found.month}, sites {', '.join(of.sites)}: {used}; {until}."
    if of.crossing.earliest_us is not None:
        earliest, likely, latest = (
            "not this month" if us is None else str(civil.day_of(us, found.zone))
            for us in (of.crossing.earliest_us, of.crossing.likely_us, of.crossing.latest_us)
        )
        yield (
            f"Warning: the limit is exceeded on {likely}, at the earliest {earliest}, at the latest {latest} "
            f"({found.status}: {found.reference})."
        )


def _kwh(of: Bounds) -> str:
    return f"{quantity.kwh(of.likely):,} ({quantity.kwh(of.low):,} to {quantity.kwh(of.high):,})"
