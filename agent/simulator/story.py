"""The events of a month: everything a farm's evidence has to survive, once each at least.

Every event lies within one civil day of its site, between 03:00 and 21:00, and a device has at most one event
a day. So events of one device never overlap, and the first and last two hours of the month are quiet.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.simulator.model import Device, Event, EventKind, Site

_EARLIEST_S, _LATEST_S = 3 * 3600, 14 * 3600  # local time of day at which an event starts
_OUTAGE_S = 7 * 3600
# Exactly two polls of a 60 s grid fall into any half-open 120 s.
_STALL_S = 120
# One device in three loses power in a month, and never fewer than three do.
_POWER_LOSS_EVERY = 3
_MIN_POWER_LOSSES = 3
# Hosts that no device is given at first.
_FREE_HOSTS = (211, 250)


class _Calendar:
    """Hands out instants that never overlap: one event a day for a device, none on its site's own days."""

    def __init__(self, rng: random.Random, sites: tuple[Site, ...]) -> None:
        self._rng = rng
        self._sites = {site.name: site for site in sites}
        self._taken: set[tuple[str, int]] = set()  # (site or MAC, day)

    def take(self, site_name: str, mac: str | None, length_s: int) -> tuple[int, int]:
        """A free [start, end) of that length for the device, or for the site as a whole."""
        site = self._sites[site_name]
        days = round((site.end_us - site.start_us) / 86_400e6)
        owners = {site_name, mac or site_name}
        free = [day for day in range(days) if not any((owner, day) in self._taken for owner in owners)]
        day = self._rng.choice(free)
        self._taken.add((mac or site_name, day))
        first = datetime.fromtimestamp(site.start_us // 1_000_000, tz=ZoneInfo(site.zone))
        midnight = (first.replace(tzinfo=None) + timedelta(days=day)).replace(tzinfo=ZoneInfo(site.zone))
        start_s = int(midnight.astimezone(UTC).timestamp()) + self._rng.randint(_EARLIEST_S, _LATEST_S)
        return start_s * 1_000_000, (start_s + length_s) * 1_000_000


def story(
    rng: random.Random, sites: tuple[Site, ...], devices: list[Device], spare: Device
) -> tuple[Event, ...]:
    """The month's events in order of start; `spare` is the unit that takes a swapped one's place."""
    calendar = _Calendar(rng, sites)

    def happens(
        kind: EventKind,
        site: str,
        length_s: int,
        device: Device | None = None,
        address: str | None = None,
        successor: str | None = None,
    ) -> Event:
        mac = device.mac if device else None
        start_us, end_us = calendar.take(site, mac, length_s)
        return Event(kind, site, start_us, end_us, mac, address, successor)

    # Outages of a whole site first: they take their days from every device there.
    events = [
        happens(EventKind.NETWORK_OUTAGE, "kz", _OUTAGE_S),
        happens(EventKind.UPLINK_OUTAGE, "ru", _OUTAGE_S),
    ]
    swapped = rng.choice(_fitting(devices, site="ru", family="antminer"))
    others = [device for device in devices if device is not swapped]  # nothing else happens to that one
    moved = rng.choice(_fitting(others, site="ir", family="antminer"))
    sleeper = rng.choice(_fitting(others, family="whatsminer"))
    staller = rng.choice(others)
    network = moved.address.rsplit(".", 1)[0]
    events += [
        happens(EventKind.SWAP, "ru", rng.randint(300, 1500), swapped, successor=spare.mac),
        happens(
            EventKind.ADDRESS_CHANGE,
            moved.site,
            rng.randint(60, 120),
            moved,
            address=f"{network}.{rng.randint(*_FREE_HOSTS)}",
        ),
        happens(EventKind.SLEEP, sleeper.site, rng.randint(2 * 3600, 6 * 3600), sleeper),
        happens(EventKind.STALL, staller.site, _STALL_S, staller),
    ]
    for device in rng.sample(others, max(_MIN_POWER_LOSSES, len(devices) // _POWER_LOSS_EVERY)):
        events.append(happens(EventKind.POWER_LOSS, device.site, rng.randint(1200, 5 * 3600), device))
    return tuple(sorted(events, key=lambda event: (event.start_us, event.kind, event.mac or "")))


def _fitting(devices: list[Device], *, family: str, site: str | None = None) -> list[Device]:
    return [device for device in devices if device.model.family == family and site in (None, device.site)]
