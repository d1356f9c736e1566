"""The agent on a box whose clock is wrong: what it stores is dated right or said to be wrong, to the Wh."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent import config, keys, wire
from agent.app import Agent
from agent.readings import PowerOrigin, Reading, State
from agent.sweep import Target
from collector.ledger import tables
from collector.ledger.profile import SiteLedger
from collector.ledger.quantities import ENERGY, GAPS
from collector.store import Store, sqlite_url
from tests.agent.box import HOUR, OCTOBER_US, S, TestBox
from tests.collector.support import ledger_of

CONFIG = """
[agent]
org = "acme"
site = "north"
interval_s = 60
[network]
scan = ["127.0.0.0/30"]
[mqtt]
host = "127.0.0.1"
"""
DAY = 24 * HOUR
POWER_W = 3600
MINUTE = 60 * S


class Site:
    """A running agent's sweeps, a minute apart, of one device that draws 1 Wh a second; no sockets."""

    def __init__(self, folder: Path, box: TestBox) -> None:
        self.folder, self.box = folder, box
        self.settings = config.parse(CONFIG, folder / "agent.toml")
        if not (folder / "agent-state").exists():
            keys.create(self.settings.agent.state_dir)
        self.agent = self.start()

    def start(self) -> Agent:
        self.agent = Agent(self.settings, report=lambda _line: None, box=self.box)
        self.agent.targets = {"127.0.0.1": Target("127.0.0.1", "antminer")}
        return self.agent

    async def _poll(self, _address: str, _family: str | None, _full: bool) -> Reading:
        return Reading(
            0, "antminer", 2e14, "5s", POWER_W, PowerOrigin.PSU_MEASURED, serial="X1", state=State.MINING,
            uptime_s=self.box.up_us // S,
        )  # fmt: skip

    def sweeps(self, count: int) -> None:
        for _ in range(count):
            asyncio.run(self._sweep())
            self.box.pass_us(MINUTE)

    async def _sweep(self) -> None:
        await self.agent.sweep_once(self._poll)

    def stop(self) -> None:
        self.agent.intake.close(self.agent.clock.now_us())
        self.agent.spool.close()

    def packets(self) -> list[wire.Packet]:
        return [wire.open_packet(packet) for _, packet in self.agent.spool.packets(1, 10_000)]

    def ledger(self) -> tuple[int, int]:
        """(Wh, seconds of gaps) of the days around October 1st."""
        packets = [packet for _, packet in self.agent.spool.packets(1, 10_000)]
        store = ledger_of(self.folder / "collector", packets, OCTOBER_US + 3 * DAY)
        with store.read() as connection:
            columns = (
                SiteLedger(connection, "acme", "north")
                .site_profile(OCTOBER_US - DAY, OCTOBER_US + 4 * DAY)
                .columns
            )
        held = tables.contents(store)
        store.close()
        again = Store.open(sqlite_url(self.folder / "again.sqlite3"))
        tables.catch_up(again, "acme", self.folder / "collector" / "journal")
        assert tables.contents(again) == held
        again.close()
        return int(columns[ENERGY].sum()), int(columns[GAPS].sum()) // S


@pytest.mark.parametrize("wrong_us", [-20 * HOUR, -90 * S, 0, 90 * S, 20 * HOUR])
def test_a_clock_set_right_by_its_time_service_neither_makes_nor_loses_energy(
    tmp_path: Path, wrong_us: int
) -> None:
    site = Site(tmp_path, TestBox(wrong_us=wrong_us))
    site.sweeps(40)
    site.box.wrong_us, site.box.synchronised = 0, True
    site.sweeps(31)
    assert site.ledger() == (70 * 60, 0)
    site.stop()


def test_jumps_of_the_wall_clock_leave_no_trace_but_an_event(tmp_path: Path) -> None:
    site = Site(tmp_path, TestBox(synchronised=True))
    for wrong_us in (0, 3 * HOUR, -70 * DAY, 4000 * DAY, 0):
        site.box.wrong_us, site.box.synchronised = wrong_us, wrong_us == 0
        site.sweeps(10)
    assert site.ledger() == (49 * 60, 0)
    kinds = [r.kind for p in site.packets() for r in p.records if isinstance(r, wire.Event)]
    assert kinds.count("clock_not_followed") == 3 and "clock_step" not in kinds
    assert {p.envelope.clock_source for p in site.packets()} == {"kernel-sync", "holdover"}
    site.stop()


@pytest.mark.parametrize("wall_us", [0, (1 << 31) * S])
def test_a_box_that_wakes_in_1970_or_2038_stores_nothing_until_it_knows_better(
    tmp_path: Path, wall_us: int
) -> None:
    site = Site(tmp_path, TestBox())
    site.sweeps(10)
    site.stop()
    site.box.reboot(HOUR)
    site.box.wrong_us = wall_us - site.box.true_us
    site.start()
    stored = len(site.packets())
    site.sweeps(30)
    assert len(site.packets()) == stored and site.agent.intake.pressure.held
    assert "does not know the time" in site.agent.intake.pressure.trouble
    site.box.wrong_us, site.box.synchronised = 0, True
    site.sweeps(2)
    dates = [p.envelope.created_us for p in site.packets()]
    assert dates == sorted(dates) and dates[0] >= OCTOBER_US and dates[-1] < OCTOBER_US + 3 * HOUR
    energy_wh, gap_s = site.ledger()
    assert energy_wh == 9 * 60 + 31 * 60
    assert gap_s == HOUR // S + 30 + 60, "what the box was off, and the minute before it"
    site.stop()


def test_a_restart_of_the_agent_keeps_the_spans(tmp_path: Path) -> None:
    site = Site(tmp_path, TestBox(wrong_us=HOUR))
    site.sweeps(10)
    site.stop()
    site.box.wrong_us = 0
    site.start()
    site.sweeps(10)
    site.box.synchronised = True
    site.sweeps(11)
    assert site.ledger() == (30 * 60, 0)
    site.stop()
