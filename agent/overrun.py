"""Why a sweep did not end within its interval: where its time went, and what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

SLOWEST = 5  # named in the event
# Above it the polls waited for each other; below it something else than the devices took the time.
FULL_SHARE = 0.7


class Polled(Protocol):
    """What is known of one poll after the sweep."""

    @property
    def address(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def took_s(self) -> float: ...


def explain(polls: Sequence[Polled], *, took_s: float, interval_s: float, concurrency: int) -> dict[str, str]:
    """The event's detail: counts and seconds by result, the slowest devices, and the cause in words."""
    kinds = {poll.result for poll in polls}
    spent = {kind: sum(poll.took_s for poll in polls if poll.result == kind) for kind in kinds}
    seconds = sorted(spent.items(), key=lambda pair: pair[1], reverse=True)
    slowest = sorted(polls, key=lambda poll: poll.took_s, reverse=True)[:SLOWEST]
    failed = Counter(poll.result for poll in polls if poll.result != "reading")
    return {
        "interval_s": f"{interval_s:g}",
        "took_s": f"{took_s:.1f}",
        "targets": str(len(polls)),
        "failed": _listed(f"{count} {kind}" for kind, count in failed.most_common()),
        "seconds": _listed(f"{kind} {total:.0f}" for kind, total in seconds),
        "slowest": _listed(f"{poll.address} {poll.took_s:.1f}" for poll in slowest),
        "cause": _cause(seconds, slowest, took_s, interval_s, concurrency),
    }


def _cause(
    seconds: Sequence[tuple[str, float]],
    slowest: Sequence[Polled],
    took_s: float,
    interval_s: float,
    concurrency: int,
) -> str:
    if slowest and slowest[0].took_s >= interval_s:
        return f"{slowest[0].address} alone took longer than the interval: shorten the deadline"
    busy_s = sum(total for _, total in seconds)
    if busy_s >= FULL_SHARE * took_s * concurrency:
        kind, most_s = seconds[0]
        return (
            f"all {concurrency} places were taken, {most_s / busy_s:.0%} of the time by polls that ended in"
            f" {kind}: raise network.concurrency or the interval"
        )
    return "the polls left room: the processor or the disk of this box is too slow for the interval"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "none"
