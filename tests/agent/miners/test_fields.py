"""Single fields: a value that is one, or None."""

from __future__ import annotations

from typing import Any

import pytest

from agent.miners import fields
from agent.readings import Pool, ProtocolError, State


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("02:9C:70:E7:32:F3", "02:9c:70:e7:32:f3"),
        ("028dae0f601b", "02:8d:ae:0f:60:1b"),
        ("02-9C-70-E7-32-F3", "02:9c:70:e7:32:f3"),
        ("00:00:00:00:00:00", None),
        ("ff:ff:ff:ff:ff:ff", None),
        ("02:9M:70:E7:32:F3", None),
        ("02:9c:70:e7:32", None),
        (None, None),
        (29, None),
    ],
)
def test_mac(raw: Any, value: str | None) -> None:
    assert fields.mac(raw) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("THQING2BDJAB343ZD", "THQING2BDJAB343ZD"),
        (" SN1234 \n", "SN1234"),
        ("020100005ccc2285", "020100005ccc2285"),
        ("N/A", None),
        ("0000000000000000", None),
        ("HTM00000000000000000", None),
        ("01234567890123456789", None),
        ("ffffffff", None),
        ("SN\ufffd12", None),
        ("x" * 10_000, None),
        (12345678, None),
    ],
)
def test_serial(raw: Any, value: str | None) -> None:
    assert fields.serial(raw) == value


@pytest.mark.parametrize("raw", [None, True, "", "abc", "nan", "inf", float("nan"), 10**400, "1e999", [], {}])
def test_no_number(raw: Any) -> None:
    assert fields.number(raw) is None


@pytest.mark.parametrize(
    ("raw", "value"), [("3250 W", 3250.0), ("3250w", 3250.0), (0, None), (-1, None), (1e9, None), ("W", None)]
)
def test_power(raw: Any, value: float | None) -> None:
    assert fields.power(raw) == value


def test_text_that_cannot_be_written_down_again_is_cleaned() -> None:
    assert fields.line("farm\ud800.1\x07") == "farm.1"
    assert fields.text("\ud800") is None


def test_every_list_is_bounded() -> None:
    pools = {"POOLS": [{"URL": f"stratum+tcp://p{n}:1", "User": "u"} for n in range(10_000)]}
    found, _ = fields.pools(pools)
    assert len(found) == fields.MAX_ROWS


def test_reasons_are_complete_and_short() -> None:
    reading = fields.build("x", 1, {"hashrate_hs": 0.0}, {"mac": "m" * 9999}, full=False, failed={"a": "b"})
    assert set(reading.unknown) == set(fields.EXPECTED) - {"hashrate_hs"}
    assert reading.unknown["serial"] == "not asked in a sweep"
    assert reading.unknown["pools"] == "not in the replies (a: b)"
    assert len(reading.unknown["mac"]) == fields.MAX_TEXT and reading.state is State.UNKNOWN


def test_a_poll_that_read_nothing_is_no_reading() -> None:
    with pytest.raises(ProtocolError):
        fields.build("x", 1, {"make": "Bitmain", "state": State.IDLE}, {}, full=True)


def test_no_rate_in_the_first_minutes_is_no_idleness() -> None:
    assert fields.warming(State.IDLE, 60) is State.STARTING
    assert fields.warming(State.IDLE, fields.STARTING_S) is fields.warming(State.IDLE, None) is State.IDLE
    assert fields.warming(State.SLEEPING, 60) is State.SLEEPING


def test_a_pools_shares_difficulties_and_last_share_are_read_at_full_depth() -> None:
    row = {
        "POOL": 0, "URL": "stratum+tcp://p.example:1", "User": "u", "Priority": 2, "Accepted": 10,
        "Rejected": 2, "Stale": 1, "Difficulty Accepted": 1.5e10, "Difficulty Rejected": 6000000.0,
        "Difficulty Stale": "400000.0", "Last Share Time": "1:02:03",
    }  # fmt: skip
    (pool,), _ = fields.pools({"POOLS": [row]})
    assert (pool.priority, pool.accepted, pool.rejected, pool.stale) == (2, 10, 2, 1)
    assert (pool.difficulty_accepted, pool.difficulty_rejected, pool.difficulty_stale) == (1.5e10, 6e6, 4e5)
    assert pool.last_share_age_s == 3723
    (short,), _ = fields.pools({"POOLS": [row]}, full=False)
    assert (short.accepted, short.stale) == (10, 1)
    assert short.difficulty_accepted is None is short.last_share_age_s


@pytest.mark.parametrize(
    ("last", "accepted", "age_s"),
    [
        ("0:00:03", 5, 3),
        ("0:00:00", 0, None),  # no share yet
        ("0", 5, None),
        ("", 5, None),
        (1753431800, 5, 47),
        (31279, 5, None),  # neither an instant nor a span that it names
        (1753431848, 5, None),  # after the reply
        (0, 5, None),
    ],
)
def test_the_last_share_is_as_old_as_the_device_says_by_one_clock(
    last: object, accepted: int, age_s: int | None
) -> None:
    row = {"POOL": 0, "URL": "p:1", "User": "u", "Accepted": accepted, "Last Share Time": last}
    (pool,), _ = fields.pools({"STATUS": [{"STATUS": "S", "When": 1753431847}], "POOLS": [row]})
    assert pool.last_share_age_s == age_s


@pytest.mark.parametrize(
    ("pools", "active"),
    [
        ([(None, 7)], [True]),
        ([(False, 7), (None, None), (False, 0)], [False, True, False]),
        ([(None, 7), (None, 0), (None, 0)], [True, False, False]),  # the others never took a share
        ([(None, 7), (None, 3)], [None, None]),
        ([(None, 0), (None, 3)], [None, None]),  # the first is alive again, perhaps
        ([(None, 0), (None, 0)], [None, None]),
        ([(None, 7), (None, None)], [None, None]),
        ([(True, 7), (None, 0)], [True, None]),
        ([(False, 7)], [False]),
        ([], []),
    ],
)
def test_the_pool_that_must_give_the_work(
    pools: list[tuple[bool | None, int | None]], active: list[bool | None]
) -> None:
    listed = tuple(Pool(f"stratum+tcp://p:{n}", "u", on, n, shares) for n, (on, shares) in enumerate(pools))
    assert [pool.active for pool in fields.only_source(listed)] == active


def test_what_was_read_has_no_reason_why_not() -> None:
    values = {"power_w": 3000.0, "uptime_s": 60, "hashrate_hs": None}
    unknown = {
        "power_w": "no watts in the summary",
        "hashrate_hs": "no rate",
        "pools": "1 of the pools cannot be read",
    }
    found = fields.build("generic", 1, values, unknown, full=True)
    assert "power_w" not in found.unknown and found.unknown["hashrate_hs"] == "no rate"
    assert found.unknown["pools"] == "1 of the pools cannot be read"
