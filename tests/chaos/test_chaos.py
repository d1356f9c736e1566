"""The short form of `make chaos`: a few kills of each, the same comparisons; and that those can fail."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from agent import sweep
from agent.identity import Roster
from agent.readings import DeviceError, Failure
from agent.sweep import Outcome
from agent.wire import Record
from tests.chaos import plan
from tests.chaos.check import Result, Told, check
from tests.chaos.processes import mosquitto
from tests.chaos.run import Sizes, run
from tests.chaos.site import INTERVAL_S, Site
from tests.collector.support import Agent, ledger_of

SEED = 4
KILLS = 5


@pytest.mark.skipif(
    mosquitto() is None and "CI" not in os.environ, reason="mosquitto is not installed (apt-get install it)"
)
def test_killed_cut_off_and_filled_up_nothing_is_lost_and_nothing_doubled() -> None:
    summary = run(SEED, Sizes(KILLS, 0.01, link_pause_s=3, disk_pause_s=2, haste=4), print)
    assert summary.problems == []
    assert summary.kills == dict.fromkeys(("agent", "running agent", "collector", *plan.BROKERS), KILLS)
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


SITE = Site(seed=1, devices=3)
SWEEPS = 70


def swept(roster: Roster, number: int, more: float) -> list[Record]:
    """The records of one sweep; every device draws so many times what it does in truth."""

    def outcome(address: str) -> Outcome:
        try:
            reading = SITE.poll(address, number)
        except DeviceError as error:
            return Outcome(address, Failure(SITE.at_us(number), error.kind, str(error)))
        assert reading.power_w is not None
        return Outcome(address, msgspec.structs.replace(reading, power_w=reading.power_w * more))

    return sweep.records(SITE.at_us(number), INTERVAL_S, [*map(outcome, SITE.devices)], roster)[0]


def compared(folder: Path, told: Told, sweeps: list[int], more: float = 1.0) -> Result:
    """The comparison over a journal and ledger of these sweeps."""
    agent, roster = Agent("chaos", SITE.name), Roster()
    end_us = SITE.at_us(SWEEPS)
    packets = [agent.batch(*swept(roster, n, more), created_us=SITE.at_us(n)) for n in sweeps]
    ledger_of(folder, packets, end_us, "chaos").close()
    return check(told, SITE, None, "chaos", folder, folder / "again.sqlite3")


def as_told(sweeps: int) -> Told:
    told = Told()
    for n in range(sweeps):
        told.hear(f"begun {n}")
        told.hear(f"stored {n + 1} {n} {sum(not SITE.fails(address, n) for address in SITE.devices)}")
    return told


def test_the_comparison_sees_what_is_lost_doubled_or_wrong_by_a_watt_hour(tmp_path: Path) -> None:
    whole = list(range(SWEEPS))
    good = compared(tmp_path / "good", as_told(SWEEPS), whole)
    assert good.problems == [] and good.readings_stored == good.readings_in_ledger > 200
    lost = compared(tmp_path / "lost", as_told(SWEEPS), whole[:-1])
    assert lost.lost == 3 and lost.problems
    hole = compared(tmp_path / "hole", as_told(SWEEPS - 1), whole[:30] + whole[31:])
    assert any("sweeps in the journal" in problem for problem in hole.problems)
    doubled = compared(tmp_path / "doubled", as_told(SWEEPS), [*whole, 5])
    assert doubled.doubled == 1 and doubled.problems
    # 3 kW over 70 minutes: a part in two thousand is more than a Wh.
    wrong = compared(tmp_path / "wrong", as_told(SWEEPS), whole, more=1.0005)
    assert any("Wh" in problem for problem in wrong.problems)


def test_a_spool_that_forgot_what_it_had_stored_is_a_problem() -> None:
    told = as_told(3)
    told.hear("stands 4")  # one was under way
    assert told.problems == []
    told.hear("stands 2")
    assert told.problems
