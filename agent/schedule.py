"""When what falls due: sweeps on a grid, polls spread over each, full polls spread over their period."""

from __future__ import annotations

import hashlib


class Grid:
    """Starts of sweeps, a whole number of intervals after the first: a late one shifts none after it."""

    def __init__(self, interval_s: float, began_s: float) -> None:
        self._interval_s, self._began_s = interval_s, began_s
        self.number = 0

    @property
    def start_s(self) -> float:
        """When the sweep that is due starts."""
        return self._began_s + self.number * self._interval_s

    def ended(self, now_s: float) -> int:
        """The sweep has ended: how many starts have passed meanwhile; the next one is due."""
        missed = max(0, int((now_s - self._began_s) / self._interval_s) - self.number)
        self.number += missed + 1
        return missed


def phases(address: str) -> tuple[float, float]:
    """Where in a sweep and where in the period of full polls a device stands, each from 0 to below 1.

    The same at every start and on every box, so that a device is asked at a steady pace; two independent
    ones, so that the full polls of a sweep do not fall on one moment of it.
    """
    digest = hashlib.blake2b(address.encode(), digest_size=8).digest()
    first, second = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
    return first / 2**32, second / 2**32


def is_due(last_us: int | None, now_us: int, every_us: int, phase: float) -> bool:
    """True where the device's own slot has begun since: never later than `every_us` after the last."""
    if last_us is None:
        return True
    offset_us = int(phase * every_us)
    return (now_us + offset_us) // every_us != (last_us + offset_us) // every_us
