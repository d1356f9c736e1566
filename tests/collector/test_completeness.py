"""Completeness: every poll that should have been is received, told as failed, or missing."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import FailedPoll, RegisterReading, Registers, Sweep
from collector.completeness import Completeness, Polls
from tests.collector.support import A_TEXT, AGENT, B_TEXT, SITE, T0, A, B, S, sweep

ALL = (None, date.min, date.max)
DAY_S = 86_400
MINUTE_S = 60


def swept(at_s: float, *devices: bytes, lost: tuple[bytes, ...] = (), interval_s: int = MINUTE_S) -> Sweep:
    failures = [FailedPoll(device, "10.0.0.1", 0, "timeout", "") for device in lost]
    return sweep(at_s, [{"device": device, "power_w": 1} for device in devices], failures, interval_s)


def seen(*sweeps: Sweep, zone: str = "UTC") -> Completeness:
    found = Completeness(zone=zone)
    for each in sweeps:
        found.sweep(SITE, AGENT, each)
    return found


def rows(found: Completeness, count: int = 100) -> list[tuple[str, str, Polls]]:
    return [(row.device, row.day, row.polls) for row in found.worst(*ALL, count)]


def test_all_that_came_lacks_nothing() -> None:
    found = seen(*(swept(MINUTE_S * n, A, B) for n in range(1440)))
    assert rows(found) == []
    (total,) = found.totals(*ALL)
    assert total[:6] == (SITE, AGENT, "sweeps", 2, 1440, 1440)
    assert total.polls == (2880, 2880, 0, 0)


def test_failed_polls_are_told_and_polls_of_nobody_are_missing() -> None:
    found = seen(
        swept(0, A, B), swept(60, A, lost=(B,)), swept(120, A), swept(180, A, B), swept(240, A)
    )  # fmt: skip
    # B's last appearance is at 180: after it nothing is expected of it.
    assert rows(found) == [(B_TEXT, "2026-10-01", Polls(4, 2, 1, 1))]


def test_sweeps_that_did_not_come_are_missing_in_the_days_that_they_belong_to() -> None:
    """Silent from 22:00 for 51 hours: two hours of the first day, two whole ones, one hour of the fourth."""
    began_s = 22 * 3600
    sweeps = [swept(began_s - 60, A), swept(began_s + 51 * 3600, A), swept(began_s + 51 * 3600 + 60, A)]
    assert rows(seen(*sweeps)) == [
        (A_TEXT, "2026-10-02", Polls(1440, 0, 0, 1440)),
        (A_TEXT, "2026-10-03", Polls(1440, 0, 0, 1440)),
        (A_TEXT, "2026-10-01", Polls(121, 1, 0, 120)),
        (A_TEXT, "2026-10-04", Polls(62, 2, 0, 60)),
    ]
    (total,) = seen(*sweeps).totals(*ALL)
    assert (total.sweeps_expected, total.sweeps_received) == (51 * 60 + 3, 3)


def test_days_are_the_zones() -> None:
    at_s = 20.5 * 3600  # midnight in Tehran
    sweeps = [swept(at_s - 60, A), swept(at_s, A), swept(at_s + 120, A)]
    assert [row[1] for row in rows(seen(*sweeps))] == ["2026-10-01"]
    assert [row[1:] for row in rows(seen(*sweeps, zone="Asia/Tehran"))] == [("2026-10-02", Polls(3, 2, 0, 1))]
    late = Completeness({SITE: "Asia/Tehran"})
    for each in sweeps:
        late.sweep(SITE, AGENT, each)
    assert [row.day for row in late.worst(*ALL, 9)] == ["2026-10-02"]


def test_a_late_sweep_is_no_missing_one_and_a_new_interval_counts_from_its_sweep_on() -> None:
    assert rows(seen(swept(0, A), swept(85, A), swept(120, A), swept(150, A, interval_s=30))) == []


def test_a_clock_set_back_makes_no_poll_expected_twice() -> None:
    found = seen(swept(0, A), swept(7200, A), swept(60, A), swept(7260, A))
    assert rows(found) == [(A_TEXT, "2026-10-01", Polls(123, 4, 0, 119))]


def test_meters_count_by_their_name() -> None:
    found = Completeness()
    for n, import_wh in enumerate((5, None, 6)):
        found.registers(SITE, AGENT, Registers(T0 + n * 60 * S, 60, [RegisterReading("m1", 0, import_wh)]))
    found.registers(SITE, AGENT, Registers(T0 + 300 * S, 60, [RegisterReading("exactly-16-chars", 0, 1)]))
    found.registers(SITE, AGENT, Registers(T0 + 360 * S, 60, [RegisterReading("m1", 0, 7)]))
    assert rows(found) == [("m1", "2026-10-01", Polls(7, 3, 1, 3))]
    assert found.totals(*ALL)[0].kind == "registers"


def test_the_worst_come_first_and_are_bounded() -> None:
    devices = [UUID(int=n).bytes for n in range(10, 30)]
    sweeps = [swept(60 * n, *(d for k, d in enumerate(devices) if n in (0, 40) or n >= k)) for n in range(41)]
    found = seen(*sweeps)
    assert [polls.missing for _, _, polls in rows(found, 3)] == [18, 17, 16]
    assert len(rows(found)) == 18
    assert len(found.worst(SITE, date(2026, 10, 1), date(2026, 10, 1), 5)) == 5
    assert (
        found.worst("south", date.min, date.max, 5) == found.worst(None, date.min, date(2026, 9, 30), 5) == []
    )


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.sets(st.integers(0, 4)), st.sets(st.integers(0, 4))),
        min_size=1, max_size=60,
    ),
    st.integers(600, 7200),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_it_counts_as_a_walk_over_every_slot_does(
    steps: list[tuple[int, set[int], set[int]]], interval_s: int
) -> None:
    """Against a model that writes every slot of every device down."""
    ids = [UUID(int=n + 1).bytes for n in range(5)]
    found, slots, slot = Completeness(), [], 0
    for step, read, lost in steps:
        slot += step
        lost = lost - read
        at_s = slot * interval_s
        found.sweep(
            SITE, AGENT, swept(at_s, *(ids[n] for n in read), lost=tuple(ids[n] for n in lost),
                               interval_s=interval_s),
        )  # fmt: skip
        slots.append((slot, read, lost))
    expected: dict[tuple[str, str], np.ndarray] = {}
    for n in range(5):
        mine = [at for at, read, lost in slots if n in read | lost]
        for at in range(mine[0], mine[-1] + 1) if mine else ():
            day = date.fromordinal(date(2026, 10, 1).toordinal() + at * interval_s // DAY_S).isoformat()
            counts = expected.setdefault((str(UUID(bytes=ids[n])), day), np.zeros(3, int))
            counts += [
                1,
                any(at == s and n in r for s, r, _ in slots),
                any(at == s and n in f for s, _, f in slots),
            ]
    lacking = {
        key: Polls(*map(int, c), int(c[0] - c[1] - c[2])) for key, c in expected.items() if c[0] > c[1]
    }
    assert {(device, day): polls for device, day, polls in rows(found, 10_000)} == lacking
    (total,) = found.totals(*ALL)
    assert total.polls.expected == sum(int(c[0]) for c in expected.values())
    assert (total.sweeps_received, total.sweeps_expected) == (len(steps), slot - steps[0][0] + 1)
