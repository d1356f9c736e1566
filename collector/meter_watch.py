"""The meters as `/metrics` shows them: last readings, and the events that nobody has answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from collector.ledger import meters
from collector.ledger.meters import MeterNow
from collector.ledger.quantities import DAY_US
from collector.store import Store, schema

# Events older than a month are settled with the month's filings.
WATCHED_DAYS = 31
# Deriving a month of a hundred meters takes seconds: not at each scrape.
RENEWED_US = 600_000_000


@dataclass(slots=True)
class MeterWatch:
    """Every site's meters; what takes long is renewed every ten minutes."""

    store: Store
    org: str
    _events: dict[str, Counter[str]] = field(default_factory=dict)
    _events_us: int = 0

    def now(self) -> dict[str, list[MeterNow]]:
        """The meters of each site that has any."""
        with self.store.read() as connection:
            return {site: meters.meters(connection, self.org, site) for site in self._sites(connection)}

    def events(self, now_us: int) -> dict[str, Counter[str]]:
        """By site and kind, how many events of the last month nobody has answered."""
        if now_us - self._events_us >= RENEWED_US:
            with self.store.read() as connection:
                self._events = {
                    site: self._unanswered(connection, site, now_us) for site in self._sites(connection)
                }
            self._events_us = now_us
        return self._events

    def _unanswered(self, connection: Connection, site: str, now_us: int) -> Counter[str]:
        since_us = now_us - WATCHED_DAYS * DAY_US
        return Counter(
            deduced.kind
            for meter in meters.meters(connection, self.org, site)
            for deduced in meters.history(connection, self.org, site, meter.meter, since_us).findings
            if deduced.confirmed is None and deduced.until_us >= since_us
        )

    def _sites(self, connection: Connection) -> list[str]:
        found: set[str] = set()
        for table in (schema.meter_told, schema.meter_day, schema.meter_entry):
            query = select(table.c.site).where(table.c.org == self.org).distinct()
            found.update(connection.execute(query).scalars())
        return sorted(found)
