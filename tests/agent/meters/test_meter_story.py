"""The month of meters: its records bear the truth to the step, and each fault can be seen in them."""

from __future__ import annotations

from agent.simulator import meter_story
from agent.simulator.meter_story import DAY_US
from agent.wire import Meter, RegisterReading, Registers
from tests.agent.meters.grid import START_US

INTERVAL_S = 1800
END_US = START_US + 30 * DAY_US
STEP_WH = 10


def test_the_months_records_bear_the_truth_and_its_faults() -> None:
    stories = meter_story.story(START_US, interval_s=INTERVAL_S)
    told = list(meter_story.records(stories, START_US, END_US))
    passes = [r for r in told if isinstance(r, Registers)]
    assert len(passes) == 30 * 48
    by_meter: dict[str, list[RegisterReading]] = {one.life.name: [] for one in stories}
    for one in passes:
        for reading in one.readings:
            by_meter[reading.meter].append(reading)
    truths = {one.life.name: one.life.truth_wh(START_US, passes[-1].at_us) for one in stories}

    def counted(name: str) -> int:
        first, last = by_meter[name][0].import_wh, by_meter[name][-1].import_wh
        assert first is not None and last is not None
        return last - first

    for name in ("good", "frozen", "lagging", "silent"):
        assert abs(counted(name) - truths[name]) <= STEP_WH
    export_wh = by_meter["reversed"][-1].export_wh
    assert export_wh and abs(counted("reversed") + export_wh - truths["reversed"]) <= 2 * STEP_WH
    assert abs(counted("rollover") + 10**9 - truths["rollover"]) <= STEP_WH
    assert counted("reset") < 0

    meters = [r for r in told if isinstance(r, Meter)]
    assert [m.serial for m in meters if m.meter == "replaced"] == ["1004", "2005"]
    assert {m.modulus_wh for m in meters if m.meter == "rollover"} == {10**9}
    silent = [r for r in by_meter["silent"] if r.import_wh is None]
    assert len(silent) == 24 and all(r.problem.startswith("timeout: ") for r in silent)
    still = [
        a.import_wh == b.import_wh for a, b in zip(by_meter["frozen"], by_meter["frozen"][1:], strict=False)
    ]
    assert sum(still) == 9  # ten half-hours of five hours, the first of which moved on
