"""What metrics tell of meters, the limit and bans: worked out once a half-hour, nothing changes sooner."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from collector import civil, metered, outlook
from collector.config import Config
from collector.ledger.quantities import HALF_HOUR_US
from collector.metered import OfNode
from collector.outlook import PersonMonth
from collector.store import Store
from reporting.countries.ru.bans import Ban


@dataclass(frozen=True, slots=True)
class SiteState:
    """One site; `month` stands with the first site of the person."""

    site: str
    nodes: Sequence[OfNode]  # the last whole civil day
    month: PersonMonth | None
    ban_days: int | None  # until the first ban that is certain; 0 is now


class HalfHourly:
    """The sites of a configuration, kept until the half-hour is over."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config
        self._lock = threading.Lock()
        self._half_hour: int | None = None
        self._sites: list[SiteState] = []

    def sites(self, now_us: int) -> list[SiteState]:
        """How things stand at the begin of the half-hour."""
        half_hour = now_us // HALF_HOUR_US
        with self._lock:
            if half_hour != self._half_hour:
                with self._store.read() as connection:
                    self._sites = [
                        _site(connection, self._config, name, now_us) for name in self._config.sites
                    ]
                self._half_hour = half_hour
            return self._sites


def _site(connection: Connection, config: Config, name: str, now_us: int) -> SiteState:
    month = outlook.person_month(connection, config, name, now_us)
    if month is not None and month.quota.sites[0] != name:
        month = None
    site = config.sites[name].site
    days = ban_days(outlook.bans(site, now_us), now_us, site.zone)
    return SiteState(name, metered.yesterday(connection, config, name, now_us), month, days)


def ban_days(bans: Sequence[Ban], now_us: int, zone: str) -> int | None:
    """Days until the first ban that is more than a plan; None if there is none ahead."""
    today = civil.day_of(now_us, zone)
    return min(((ban.first_day - today).days for ban in bans if not ban.planned), default=None)
