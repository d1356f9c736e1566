"""A month of meters, decoded as the agent does and folded by the collector: right kWh, each fault named."""

from __future__ import annotations

from pathlib import Path

from agent.simulator import meter_story
from agent.simulator.meter_story import DAY_US
from collector.ledger import meters
from tests.collector.support import ORG, SITE, T0, Agent, ledger_of

END_US = T0 + 30 * DAY_US
# What the ledger names; a meter that was merely silent, or late by less than a day's habit, is none.
NAMED = {
    "reversed": "reversed",
    "rollover": "rollover",
    "replaced": "replaced",
    "frozen": "frozen",
    "reset": "reset",
}
# What nobody can know: the energy between the last reading of the old register and the first of the new one.
UNKNOWN_WH = {"replaced": 75_000, "reset": 75_000}
STEP_WH = 10


def test_a_month_of_faults_ends_with_the_right_kwh_and_every_fault_by_its_name(tmp_path: Path) -> None:
    stories = meter_story.story(T0, interval_s=1800)
    records = list(meter_story.records(stories, T0, END_US + 1))
    store = ledger_of(tmp_path, [Agent().batch(*records, created_us=T0)], END_US)
    with store.read() as connection:
        profiles = {
            one.life.name: meters.meter_profile(connection, ORG, SITE, one.life.name, T0, END_US)
            for one in stories
        }
    store.close()
    for one in stories:
        name, profile, truth_wh = one.life.name, profiles[one.life.name], one.life.truth_wh(T0, END_US)
        assert profile.low_wh.sum() <= truth_wh <= profile.high_wh.sum(), name
        missing_wh = truth_wh - int(profile.import_wh.sum())
        assert -2 * STEP_WH <= missing_wh <= UNKNOWN_WH.get(name, 2 * STEP_WH), name
        kinds = [finding.kind for finding in profile.findings]
        assert kinds == [NAMED[name]] if name in NAMED else "frozen" not in kinds, name
