"""The short form of `make chaos`: a few kills of each, the same comparisons; and that those can fail."""

from __future__ import annotations

import os
from itertools import islice

import pytest

from tests.chaos import plan
from tests.chaos.processes import mosquitto
from tests.chaos.run import Sizes, run

SEED = 4
KILLS = 3


@pytest.mark.skipif(
    mosquitto() is None and "CI" not in os.environ, reason="mosquitto is not installed (apt-get install it)"
)
def test_killed_cut_off_and_filled_up_nothing_is_lost_and_nothing_doubled() -> None:
    summary = run(SEED, Sizes(KILLS, sweep_pause_s=0.01, link_pause_s=3, disk_pause_s=2), print)
    assert summary.problems == []
    assert summary.kills == dict.fromkeys(("agent", "collector", *plan.BROKERS), KILLS)
    found = summary.result
    assert found.readings_stored == found.readings_in_journal == found.readings_in_ledger > 0
    assert (found.lost, found.doubled, found.rebuild_equal) == (0, 0, True)


def test_a_plan_of_faults_is_a_function_of_its_seed() -> None:
    def of(seed: int) -> list[object]:
        return [
            *(life for name in plan.RUNNING_S for life in plan.lives(seed, name, 20)),
            *islice(plan.link_faults(seed, 6), 20),
            *islice(plan.disk_faults(seed, 6), 20),
            *plan.clock_faults(seed, 10_000),
        ]

    assert of(1) == of(1) != of(2)
