"""Where the hashrate goes: a change of pool, user or payout address is an event, an unlisted pool an alarm.

Hosts are compared whole and exactly: `pool.example.evil.net` is not `pool.example`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.payout import payee
from agent.wire import Event, Inventory, PoolUse


@dataclass(frozen=True, slots=True)
class ExpectedPool:
    """A pool this farm mines to; `user` is a regular expression for the whole user string."""

    host: str
    port: int
    user: str = ".*"

    def covers(self, pool: PoolUse) -> bool:
        """True for this very host and port, with a user that fits."""
        return endpoint(pool.url) == (self.host.lower(), self.port) and bool(
            re.fullmatch(self.user, pool.user)
        )


def endpoint(url: str) -> tuple[str, int] | None:
    """(host, port) of a pool's url, with or without a scheme; None where there is none to be told."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number
        return None
    return (host.lower(), port) if host and port else None


class PoolWatch:
    """Each device's pools as last told; `take` an inventory, get what changed and what is not expected."""

    def __init__(self, expected: Sequence[ExpectedPool], known: Iterable[Inventory] = ()) -> None:
        self._expected = tuple(expected)
        self._pools = {inventory.device: inventory.pools for inventory in known}
        self._alarmed: dict[bytes, set[tuple[str, str]]] = {}  # only devices that have such a pool

    @property
    def unexpected_count(self) -> int:
        """Devices that now have a pool which nobody listed."""
        return len(self._alarmed)

    def take(self, inventory: Inventory) -> list[Event]:
        """Events of this inventory: pool_changed, pool_switched, pool_unexpected."""
        device, at_us, now = inventory.device, inventory.at_us, inventory.pools
        before = self._pools.get(device)
        self._pools[device] = now
        events = []
        if before is not None and _settings(before) != _settings(now):
            events.append(Event(at_us, "pool_changed", device, _change(before, now)))
        elif before is not None and _active(before) != _active(now):
            detail = {"old": _text(_active(before)), "new": _text(_active(now))}
            events.append(Event(at_us, "pool_switched", device, detail))
        alarmed, strange = self._alarmed.get(device, set()), self._unexpected(now)
        for pool in strange:
            if (pool.url, pool.user) not in alarmed:
                detail = {"url": pool.url, "user": pool.user, "active": str(bool(pool.active)).lower()}
                events.append(Event(at_us, "pool_unexpected", device, detail))
        if strange:
            self._alarmed[device] = {(pool.url, pool.user) for pool in strange}
        else:
            self._alarmed.pop(device, None)
        return events

    def _unexpected(self, pools: Sequence[PoolUse]) -> list[PoolUse]:
        if not self._expected:
            return []  # nothing listed: nothing can be off the list
        return [p for p in pools if p.url and not p.fee and not any(e.covers(p) for e in self._expected)]


def _settings(pools: Sequence[PoolUse]) -> list[tuple[str, str]]:
    return [(pool.url, pool.user) for pool in pools if not pool.fee]


def _change(before: Sequence[PoolUse], now: Sequence[PoolUse]) -> dict[str, str]:
    """The old and the new, what of it changed, and the payout addresses where they did."""
    before, now = ([pool for pool in pools if not pool.fee] for pools in (before, now))
    detail = {"old": _text(before), "new": _text(now)}
    parts: dict[str, Callable[[PoolUse], str]] = {
        "pool": lambda pool: pool.url,
        "account": lambda pool: payee(pool.user).account,
        "worker": lambda pool: payee(pool.user).worker,
        "address": lambda pool: pool.address or "",
    }
    sides = {name: [sorted(map(part, pools)) for pools in (before, now)] for name, part in parts.items()}
    changed = [name for name, (old, new) in sides.items() if old != new]
    if "address" in changed:
        old, new = (", ".join(sorted(set(filter(None, side)))) for side in sides["address"])
        detail |= {"old_address": old or "none", "new_address": new or "none"}
    return detail | {"changed": ",".join(changed) or "order"}


def _active(pools: Sequence[PoolUse]) -> list[PoolUse]:
    return [pool for pool in pools if pool.active and not pool.fee]


def _text(pools: Sequence[PoolUse]) -> str:
    return "; ".join(f"{pool.url} {pool.user}" for pool in pools) or "none"
