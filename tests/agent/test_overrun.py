"""A sweep that did not end in time says why: the places, one device, or the box itself."""

from __future__ import annotations

import pytest

from agent.exporter import Seen
from agent.overrun import explain


def polls(count: int, took_s: float, result: str = "reading", first: int = 0) -> list[Seen]:
    return [Seen(f"10.0.0.{n}", "", result, took_s=took_s) for n in range(first, first + count)]


@pytest.mark.parametrize(
    ("rows", "took_s", "cause"),
    [
        (polls(100, 10.0, "timeout") + polls(50, 0.1), 101.0, "polls that ended in timeout: raise"),
        (polls(150, 7.0), 105.0, "polls that ended in reading: raise"),
        (polls(1, 61.0, "timeout", 99) + polls(50, 0.1), 61.0, "10.0.0.99 alone took longer"),
        (polls(150, 0.1), 70.0, "processor or the disk"),
        ([], 70.0, "processor or the disk"),
    ],
    ids=["hung devices", "slow devices", "one device", "slow box", "nothing polled"],
)
def test_the_cause_is_where_the_time_went(rows: list[Seen], took_s: float, cause: str) -> None:
    assert cause in explain(rows, took_s=took_s, interval_s=60, concurrency=10)["cause"]


def test_counts_seconds_and_the_slowest_are_told() -> None:
    rows = polls(2, 10.0, "timeout", 7) + polls(3, 0.5) + polls(1, 0.0, "auth", 20)
    told = explain(rows, took_s=70.4, interval_s=60, concurrency=200)
    assert (told["interval_s"], told["took_s"], told["targets"]) == ("60", "70.4", "6")
    assert told["failed"] == "2 timeout, 1 auth"
    assert told["seconds"] == "timeout 20, reading 2, auth 0"
    assert told["slowest"].startswith("10.0.0.7 10.0, 10.0.0.8 10.0, 10.0.0.0 0.5")
