"""The agent's time: steady spans whatever the wall clock does, and no date that nobody can stand for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.box_time import LinuxBox
from agent.clock import (
    FARTHEST_US,
    HOLDOVER,
    KERNEL_SYNC,
    SLEW_LIMIT_US,
    SLEW_PPM,
    UNSYNCHRONISED,
    WAIT_SYNCED_US,
    WAIT_US,
    Clock,
)
from agent.wire import EARLIEST_US
from tests.agent.box import HOUR, OCTOBER_US, S, TestBox

MINUTE = 60 * S
YEAR = 365 * 24 * HOUR


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "clock.json"


def test_a_first_start_takes_the_wall_clock_and_says_that_nobody_vouches_for_it(kept: Path) -> None:
    box = TestBox()
    clock = Clock(box, kept)
    change = clock.look()
    assert change is not None and change.event.kind == "clock_set"
    assert (clock.now_us(), clock.stated.source, clock.offset_us) == (box.true_us, UNSYNCHRONISED, None)


@pytest.mark.parametrize("wall_us", [0, 86_400 * S, (1 << 31) * S, (1 << 33) * S])
def test_a_dead_clock_is_never_taken_and_records_wait_until_a_time_service_answers(
    kept: Path, wall_us: int
) -> None:
    box = TestBox(wrong_us=wall_us - OCTOBER_US)
    clock = Clock(box, kept)
    for _ in range(300):
        assert clock.look() is None
        assert not clock.anchored and clock.now_us() == box.up_us < EARLIEST_US
        box.pass_us(MINUTE)
    first_us = clock.now_us()
    box.pass_us(MINUTE)
    box.wrong_us, box.synchronised = 0, True
    change = clock.look()
    assert change is not None and change.event.kind == "clock_set"
    assert first_us + change.shift_us == box.true_us - MINUTE, "what waited is dated right"
    assert clock.stated.source == KERNEL_SYNC


def test_after_another_boot_it_waits_for_the_time_service_that_it_had(kept: Path) -> None:
    box = TestBox(synchronised=True)
    Clock(box, kept).look()
    box.reboot(7 * HOUR)
    box.synchronised, box.wrong_us = False, -7 * HOUR  # the clock stood still with the box
    clock = Clock(box, kept, newest_us=OCTOBER_US)
    while box.up_us < WAIT_SYNCED_US:
        assert clock.look() is None
        box.pass_us(MINUTE)
    assert clock.look() is not None, "in the end the wall clock is all there is"


def test_a_box_that_never_had_one_waits_a_quarter_of_an_hour_only(kept: Path) -> None:
    box = TestBox()
    Clock(box, kept).look()
    box.reboot(HOUR)
    clock = Clock(box, kept, newest_us=OCTOBER_US)
    assert clock.look() is None
    box.pass_us(WAIT_US)
    assert clock.look() is not None


@pytest.mark.parametrize("ahead_us", [-MINUTE, 2 * YEAR])
def test_a_wall_clock_that_does_not_fit_the_past_is_not_taken_on_its_own_word(
    kept: Path, ahead_us: int
) -> None:
    box = TestBox(wrong_us=ahead_us)
    clock = Clock(box, kept, newest_us=OCTOBER_US)
    assert clock.look() is None
    box.synchronised, box.wrong_us = True, 0
    assert clock.look() is not None


def test_a_step_of_the_wall_clock_is_told_and_not_followed_while_the_time_service_is_silent(
    kept: Path,
) -> None:
    box = TestBox(synchronised=True)
    clock = Clock(box, kept)
    clock.look()
    box.synchronised, box.wrong_us = False, 5 * HOUR
    changes = [clock.look() for _ in range(3)]
    kinds = [change.event.kind for change in changes if change]
    assert kinds == ["clock_not_followed"], "told once"
    assert (clock.now_us(), clock.stated.source) == (box.true_us, HOLDOVER)
    box.pass_us(HOUR)
    clock.look()
    assert clock.stated.error_us == 360_000, "100 ppm of an hour"


@pytest.mark.parametrize("wrong_us", [-3 * HOUR, 3 * HOUR])
def test_a_time_that_nobody_vouched_for_is_corrected_once_and_what_it_dated_is_named(
    kept: Path, wrong_us: int
) -> None:
    box = TestBox(wrong_us=wrong_us)
    clock = Clock(box, kept)
    clock.look()
    since_us = clock.now_us()
    box.pass_us(HOUR)
    box.wrong_us, box.synchronised = 0, True
    change = clock.look()
    assert change is not None and change.shift_us == -wrong_us
    detail = change.event.detail
    assert (change.event.kind, detail["misdated"], detail["since_us"]) == (
        "clock_step", "true", str(since_us),
    )  # fmt: skip
    assert int(detail["new_us"]) - int(detail["old_us"]) == int(detail["step_us"]) == -wrong_us
    assert clock.now_us() == box.true_us and clock.look() is None


def test_a_frozen_virtual_machine_has_lost_time_and_dated_nothing_wrong(kept: Path) -> None:
    box = TestBox(synchronised=True)
    clock = Clock(box, kept)
    clock.look()
    box.pass_us(HOUR, frozen=True)
    change = clock.look()
    assert change is not None and change.shift_us == 0
    assert (change.event.detail["misdated"], clock.now_us()) == ("false", box.true_us)


def test_a_restart_of_the_agent_goes_on_with_the_anchor_of_this_boot(kept: Path) -> None:
    box = TestBox(wrong_us=HOUR)
    clock = Clock(box, kept)
    clock.look()
    box.pass_us(MINUTE)
    box.wrong_us = 0  # set back while the agent was down
    again = Clock(box, kept, newest_us=clock.now_us())
    assert again.now_us() == clock.now_us()
    assert again.look() is None or again.now_us() == clock.now_us(), "its past says otherwise"


def test_a_machine_set_back_to_a_snapshot_begins_without_an_anchor(kept: Path) -> None:
    box = TestBox()
    Clock(box, kept).look()
    box.up_us -= HOUR
    assert not Clock(box, kept).anchored


def test_a_file_that_says_nothing_is_a_first_start(kept: Path) -> None:
    kept.write_text("{")
    assert Clock(TestBox(), kept).look() is not None


MOVES = st.one_of(
    st.tuples(st.just("pass"), st.integers(0, 3 * HOUR)),
    st.tuples(st.just("wall"), st.integers(-3 * YEAR, 80 * YEAR)),
    st.tuples(st.just("nudge"), st.integers(-3 * S, 3 * S)),
    st.tuples(st.just("synchronise"), st.just(0)),
    st.tuples(st.just("lose"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("reboot"), st.integers(0, 40 * 24 * HOUR)),
)


@settings(max_examples=150)
@given(st.lists(MOVES, max_size=25), st.booleans())
def test_whatever_the_wall_clock_does_spans_are_those_that_passed(
    moves: list[tuple[str, int]], synchronised: bool
) -> None:
    """An instant, and the shifts that are told, make the time that passed."""
    box = TestBox(synchronised=synchronised)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clock.json"
        clock = Clock(box, path)
        clock.look()
        newest_us = None
        for kind, amount in moves:
            began_us, began_true_us = clock.now_us(), box.true_us
            if kind == "pass":
                box.pass_us(amount)
            elif kind == "wall":
                box.wrong_us, box.synchronised = amount, False
            elif kind == "nudge":
                box.wrong_us += amount
            elif kind == "synchronise":
                box.wrong_us, box.synchronised = 0, True
            elif kind == "lose":
                box.synchronised = False
            else:
                newest_us = clock.now_us() if clock.anchored else newest_us
                if kind == "reboot":
                    box.reboot(amount)
                    box.synchronised = False
                clock = Clock(box, path, newest_us)
            before_look_us = clock.now_us()
            change = clock.look()
            after_us = clock.now_us()
            if clock.anchored:
                assert EARLIEST_US <= after_us < FARTHEST_US
            else:
                assert after_us < EARLIEST_US, "undated, and plain to see"
            if kind in ("restart", "reboot"):
                continue
            passed_us = box.true_us - began_true_us
            slack_us = passed_us * SLEW_PPM // 1_000_000 + 1
            assert abs(before_look_us - began_us - passed_us) <= slack_us
            stood_still = change is not None and change.event.detail.get("misdated") == "false"
            if not stood_still:
                shift_us = change.shift_us if change else 0
                assert after_us == before_look_us + shift_us
            elif change is not None:
                assert int(change.event.detail["step_us"]) > SLEW_LIMIT_US


def test_this_box_tells_its_time() -> None:
    box = LinuxBox()
    one, two = box.look(), box.look()
    assert one.base_us <= two.base_us and one.wall_us > EARLIEST_US
    assert box.boot == LinuxBox().boot != ""
