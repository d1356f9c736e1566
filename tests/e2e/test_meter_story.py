"""The simulator's month of meters through fold, ledger and derivation: right kWh, each event named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collector.ledger import meters
from collector.ledger.quantities import HALF_HOUR_US
from tests.collector.support import ORG, SITE, T0, Agent, S, ledger_of

meter_story = pytest.importorskip(
    "agent.simulator.meter_story", reason="the simulated meters are not here yet"
)

DAYS, INTERVAL_S, STEP_WH = 26, 300, 10
END_US = T0 + DAYS * 86_400 * S
# Of each meter, named after what befalls it: the events that are deduced, and whether energy went unread.
EVENTS = {
    "good": [], "reversed": ["reversed"], "rollover": ["rollover"], "replaced": ["replaced"],
    "frozen": ["frozen"], "reset": ["reset"], "lagging": ["lagging"], "silent": [],
}  # fmt: skip
UNREAD = {"replaced", "reset"}


def test_every_mishap_is_named_and_every_kwh_is_there(tmp_path: Path) -> None:
    stories = meter_story.story(T0, interval_s=INTERVAL_S)
    records = list(meter_story.records(stories, T0, END_US + 1))
    agent = Agent(synthetic=True)
    packets = [agent.batch(*records[n : n + 100], created_us=T0) for n in range(0, len(records), 100)]
    store = ledger_of(tmp_path, packets, END_US)
    edges = np.arange(T0, END_US + 1, HALF_HOUR_US)
    with store.read() as connection:
        histories = {one.life.name: meters.history(connection, ORG, SITE, one.life.name) for one in stories}
    store.close()
    assert {name: [f.kind for f in history.findings] for name, history in histories.items()} == EVENTS
    for one in stories:
        name, history = one.life.name, histories[one.life.name]
        truth = [one.life.truth_wh(T0, at_us) for at_us in edges.tolist()]
        missing = truth[-1] - int(history.profile(edges[[0, -1]]).import_wh[0])
        most = 50 * 1000 * 3 * INTERVAL_S // 3600 if name in UNREAD else 2 * STEP_WH
        assert -2 * STEP_WH <= missing <= most, name
        cells = history.profile(edges)
        for n, (low, high) in enumerate(zip(cells.low_wh.tolist(), cells.high_wh.tolist(), strict=True)):
            assert low <= truth[n + 1] - truth[n] <= high, (name, n)
        assert (cells.read_us + cells.gap_us == HALF_HOUR_US).all()
