"""A meter's registers: exact where two readings say so, inside the bounds everywhere, every mishap named."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.wire import Meter, RegisterReading
from collector.ledger import rules
from collector.ledger.deductions import derive
from collector.ledger.meter_entries import MeterEntry, event_id
from collector.ledger.quantities import HALF_HOUR_US, Ints
from collector.ledger.registers import History, RegisterRow, Running
from tests.collector.meter_model import HOUR_US, MW_US_PER_WH, Load, Register, polls, registered, rows
from tests.collector.support import SITE, T0, S

DAY_US = 24 * HOUR_US
KW = 1_000_000  # in mW


def edges(hours: float, first_us: int = T0, every_us: int = HALF_HOUR_US) -> Ints:
    return np.arange(first_us, first_us + round(hours * HOUR_US) + 1, every_us)


def entry(kind: str, at_us: int, **content: object) -> MeterEntry:
    said = {"site": SITE, "meter": "main", "entered_us": at_us + HOUR_US, "by": "operator", "why": "seen"}
    return MeterEntry(kind=kind, at_us=at_us, **said, **content)  # type: ignore[arg-type]


def described(at_us: int = T0, **content: object) -> Meter:
    return Meter(at_us, "main", "modbus", "10.0.0.5:502/1", **content)  # type: ignore[arg-type]


def kinds(history: History) -> list[str]:
    return [finding.kind for finding in history.findings]


def holds(history: History, load: Load, edges_us: Ints) -> None:
    """Every cell's bounds hold the truth, and the best figures add up exactly however they are cut."""
    profile = history.profile(edges_us)
    for n, (a, b) in enumerate(zip(edges_us[:-1].tolist(), edges_us[1:].tolist(), strict=True)):
        used = load.used(a, b)
        low, high = int(profile.low_wh[n]), int(profile.high_wh[n])
        assert low * MW_US_PER_WH <= used <= high * MW_US_PER_WH, (n, low, used / MW_US_PER_WH, high)
    assert (profile.read_us + profile.gap_us == np.diff(edges_us)).all()
    whole = history.profile(edges_us[[0, -1]])
    assert int(profile.import_wh.sum()) == int(whole.import_wh[0])
    assert int(profile.export_wh.sum()) == int(whole.export_wh[0])
    assert int(profile.read_us.sum()) == int(whole.read_us[0])


def total_wh(history: History, first_us: int, last_us: int) -> int:
    return int(history.profile(np.array([first_us, last_us])).import_wh[0])


def day_and_night(days: int, day_mw: int = 900 * KW, night_mw: int = 600 * KW) -> Load:
    return Load([(T0 + n * DAY_US // 2, night_mw if n % 2 else day_mw) for n in range(2 * days)])


def test_the_story_of_a_meter_ends_with_the_right_energy_and_each_event_named() -> None:
    """Rolled over, transformers turned round for 3 days, replaced, frozen for 5 hours."""
    load = day_and_night(14)
    old = Register(
        load, step_wh=10, modulus_wh=10**9, start_wh=10**9 - 20_000_000, tells_power=True,
        reversed_us=(T0 + 3 * DAY_US, T0 + 6 * DAY_US),
    )  # fmt: skip
    changed_us = T0 + 8 * DAY_US + 5 * 60 * S
    new = Register(
        load, step_wh=10, modulus_wh=10**9, start_wh=1230, begun_us=changed_us, tells_power=True,
        frozen_us=(T0 + 10 * DAY_US, T0 + 10 * DAY_US + 5 * HOUR_US),
    )  # fmt: skip
    end_us = T0 + 12 * DAY_US
    before = [us for us in polls(12 * 24) if us < changed_us - 60 * S]
    after = [us for us in polls(12 * 24) if us > changed_us + 60 * S]
    readings = rows(lambda us: (old if us < changed_us else new).read(us), [*before, *after])
    told = [
        described(serial="111", step_wh=10, modulus_wh=10**9),
        described(changed_us + 120 * S, serial="222", step_wh=10, modulus_wh=10**9),
    ]
    history = derive(registered(readings), told)
    assert kinds(history) == ["rollover", "reversed", "replaced", "frozen"]
    rollover, turned, replaced, frozen = history.findings
    assert turned.from_us == T0 + 3 * DAY_US
    assert turned.until_us == T0 + 6 * DAY_US
    assert frozen.from_us == T0 + 10 * DAY_US
    assert frozen.until_us == T0 + 10 * DAY_US + 5 * HOUR_US
    assert rollover.until_us - rollover.from_us == 60 * S
    assert replaced.from_us < changed_us < replaced.until_us
    # Nobody read the old meter's end: 4 minutes are a gap; all else is there to the step.
    unread = load.used(replaced.from_us, replaced.until_us) // MW_US_PER_WH
    truth = load.used(T0, end_us) // MW_US_PER_WH
    assert abs(total_wh(history, T0, end_us) - (truth - unread)) <= 3 * 10
    assert total_wh(history, T0, end_us) < truth
    holds(history, load, edges(12 * 24))

    end, start = old.read(changed_us), new.read(changed_us)
    said = entry(
        "replaced", changed_us + 1800 * S, end_import_wh=end.import_wh, start_import_wh=start.import_wh,
        end_export_wh=end.export_wh, start_export_wh=start.export_wh, serial="222",
    )  # fmt: skip
    history = derive(registered(readings), told, [said])
    assert kinds(history) == ["rollover", "reversed", "replaced", "frozen"]
    assert history.findings[2].confirmed is True
    assert abs(total_wh(history, T0, end_us) - truth) <= 3 * 10
    assert int(history.profile(np.array([T0, end_us])).export_wh[0]) == 0
    holds(history, load, edges(12 * 24))


def test_a_rollover_is_exact_also_when_the_modulus_was_not_told() -> None:
    load = Load([(T0, 50 * KW)])
    meter = Register(load, modulus_wh=10**8, start_wh=10**8 - 60_000)
    history = derive(registered(rows(meter.read, polls(4))))
    assert kinds(history) == ["rollover"]
    assert history.findings[0].detail["modulus_is"].startswith("not told")
    assert total_wh(history, T0, T0 + 4 * HOUR_US) == 200_000
    holds(history, load, edges(4))


def test_an_export_register_rolls_over_by_itself() -> None:
    """Turned round for three hours, and the export register, nearly full, begins anew meanwhile."""
    load = Load([(T0, 60 * KW)])
    meter = Register(load, start_wh=5000, reversed_us=(T0 + 4 * HOUR_US, T0 + 7 * HOUR_US))
    readings = []
    for row in rows(meter.read, polls(12)):
        read = row.reading
        export_wh = (10**6 - 100_500 + (read.export_wh or 0)) % 10**6
        readings.append(row._replace(reading=RegisterReading("main", 0, read.import_wh, export_wh)))
    history = derive(registered(readings), [described(step_wh=1, modulus_wh=10**6)])
    assert kinds(history) == ["reversed", "export_rollover"]
    assert total_wh(history, T0, T0 + 12 * HOUR_US) == 720_000
    holds(history, load, edges(12))


def test_a_gap_of_hours_loses_no_energy_and_knows_no_more_than_that() -> None:
    load = Load([(T0, 60 * KW), (T0 + 3 * HOUR_US, 20 * KW)])
    times = [us for us in polls(10) if not T0 + 2 * HOUR_US < us < T0 + 7 * HOUR_US]
    history = derive(registered(rows(Register(load).read, times)), [described(step_wh=1)])
    profile = history.profile(edges(10))
    assert total_wh(history, T0, T0 + 10 * HOUR_US) == 180_000 + 140_000
    assert profile.low_wh[5] == 0  # in the gap anything may have been
    assert profile.high_wh[5] >= 60_000 + 80_000
    assert int(profile.gap_us.sum()) == 5 * HOUR_US
    assert int(profile.gap_by_cause_us["agent_down"].sum()) == 5 * HOUR_US
    whole = history.profile(np.array([T0, T0 + 10 * HOUR_US]))
    # A month that holds the whole gap knows its energy to the step and the meter's class.
    assert int(whole.high_wh[0] - whole.low_wh[0]) == 2 + 2 * 3_200
    holds(history, load, edges(10))
    assert kinds(history) == []


def test_a_reset_is_a_gap_with_bounds() -> None:
    load = Load([(T0, 60 * KW)])
    before, after = Register(load, start_wh=123_456), Register(load, begun_us=T0 + 2 * HOUR_US + 30 * S)
    history = derive(
        registered(rows(lambda us: (before if us <= T0 + 2 * HOUR_US else after).read(us), polls(5)))
    )
    assert kinds(history) == ["reset"]
    assert 299_000 <= total_wh(history, T0, T0 + 5 * HOUR_US) <= 300_000
    holds(history, load, edges(5))
    # A person who knows better says so, and then it is that.
    name = event_id("reset", history.findings[0].from_us)
    said = entry("correct", T0, event=name, import_wh=1000)
    history = derive(
        registered(rows(lambda us: (before if us <= T0 + 2 * HOUR_US else after).read(us), polls(5))),
        [described(step_wh=1)], [said],
    )  # fmt: skip
    assert total_wh(history, T0, T0 + 5 * HOUR_US) == 300_000
    assert history.findings[0].confirmed is True


@pytest.mark.parametrize("tells_power", [True, False])
def test_a_frozen_interface_costs_no_energy(tells_power: bool) -> None:
    load = day_and_night(2)
    meter = Register(load, tells_power=tells_power, frozen_us=(T0 + 9 * HOUR_US, T0 + 14 * HOUR_US))
    history = derive(registered(rows(meter.read, polls(24))), [described(step_wh=1)])
    assert kinds(history) == ["frozen"]
    assert total_wh(history, T0, T0 + DAY_US) == load.used(T0, T0 + DAY_US) // MW_US_PER_WH
    holds(history, load, edges(24))


def test_a_register_that_stood_while_power_flowed_is_a_gap_with_bounds() -> None:
    load = day_and_night(2)
    lost = (T0 + 9 * HOUR_US, T0 + 14 * HOUR_US)
    meter = Register(load, tells_power=True, lost_us=lost)
    history = derive(registered(rows(meter.read, polls(24))), [described(step_wh=1)])
    assert kinds(history) == ["frozen"]
    missing = load.used(*lost)
    assert total_wh(history, T0, T0 + DAY_US) == (load.used(T0, T0 + DAY_US) - missing) // MW_US_PER_WH
    holds(history, load, edges(24))
    assert int(history.profile(edges(24)).gap_by_cause_us["frozen"].sum()) == 5 * HOUR_US


def test_what_the_devices_used_tells_a_frozen_register_from_one_at_rest() -> None:
    load = day_and_night(2)
    lost = (T0 + 9 * HOUR_US, T0 + 14 * HOUR_US)
    readings = registered(rows(Register(load, lost_us=lost).read, polls(24)))
    assert kinds(derive(readings, [described(step_wh=1)])) == []  # a rest of five hours, for all it knows
    cells = edges(24)
    used = [load.used(a, b) * 8 // 10 // MW_US_PER_WH for a, b in pairwise(cells.tolist())]  # the rest cools
    seen = np.array(used, np.int64)
    history = derive(readings, [described(step_wh=1)], load=Running(cells, seen, seen, seen))
    assert kinds(history) == ["frozen"]
    assert "devices behind it" in history.findings[0].detail["made_of_it"]
    holds(history, load, cells)


def test_a_load_at_rest_is_at_rest() -> None:
    load = Load([(T0, 60 * KW), (T0 + 2 * HOUR_US, 0), (T0 + 9 * HOUR_US, 60 * KW)])
    for tells_power in (True, False):
        meter = Register(load, tells_power=tells_power)
        history = derive(registered(rows(meter.read, polls(12))), [described(step_wh=1)])
        assert kinds(history) == []
        profile = history.profile(edges(12))
        assert profile.import_wh[5:17].tolist() == [0] * 12
        assert profile.high_wh[5:17].tolist() == [1] * 12
        holds(history, load, edges(12))


def test_a_meter_that_lags_is_named_once_and_exact_in_sum() -> None:
    load = day_and_night(2)
    meter = Register(load, every_us=900 * S, tells_power=True)
    history = derive(registered(rows(meter.read, polls(24))), [described(step_wh=1)])
    assert kinds(history) == ["lagging"]
    assert history.findings[0].detail["every_s"] == "900"
    assert total_wh(history, T0, T0 + DAY_US) == load.used(T0, T0 + DAY_US) // MW_US_PER_WH
    holds(history, load, edges(24))


@pytest.mark.parametrize("every_s", [60, 300])
def test_a_gateway_that_shows_what_was_is_named_and_bounded(every_s: int) -> None:
    """For two hours it gives the registers of a quarter of an hour ago, and then those of now again."""
    load = day_and_night(2)
    meter = Register(load, start_wh=10**7)
    from_us, until_us, late_us = T0 + 11 * HOUR_US, T0 + 13 * HOUR_US, 900 * S
    readings = rows(
        lambda us: meter.read(us - late_us if from_us <= us < until_us else us), polls(24, every_s)
    )
    history = derive(registered(readings), [described(step_wh=1)])
    assert kinds(history) == ["lagging"]
    (lagging,) = history.findings
    assert (lagging.from_us, lagging.until_us) == (from_us - every_s * S, until_us)
    assert total_wh(history, T0, T0 + DAY_US) == load.used(T0, T0 + DAY_US) // MW_US_PER_WH
    holds(history, load, edges(24))


def test_a_coarse_register_does_not_lag() -> None:
    load = Load([(T0, 30 * KW)])
    meter = Register(load, step_wh=10_000)
    history = derive(registered(rows(meter.read, polls(48))), [described(step_wh=10_000)])
    assert kinds(history) == []
    holds(history, load, edges(48))


@pytest.mark.parametrize("wrong", [0, 2**31, 5])
def test_a_misread_register_is_set_aside(wrong: int) -> None:
    load = Load([(T0, 60 * KW)])
    meter = Register(load, start_wh=700_000)
    readings = rows(meter.read, polls(4))
    for n in (100, 101):
        row = readings[n]
        readings[n] = row._replace(reading=row.reading.__class__("main", 0, wrong, 0))
    history = derive(registered(readings), [described(step_wh=1)])
    assert kinds(history) == ["misread"]
    assert total_wh(history, T0, T0 + 4 * HOUR_US) == 240_000
    holds(history, load, edges(4))


def test_a_leap_counts_only_when_a_person_says_so() -> None:
    load = Load([(T0, 60 * KW)])
    plain, leapt = Register(load, start_wh=5000), Register(load, start_wh=5000 + 2**24)
    readings = rows(lambda us: (plain if us < T0 + 2 * HOUR_US else leapt).read(us), polls(4))
    history = derive(registered(readings), [described(step_wh=1)])
    assert kinds(history) == ["jump"]
    assert total_wh(history, T0, T0 + 4 * HOUR_US) == 240_000 - 1000
    holds(history, load, edges(4))
    name = event_id("jump", history.findings[0].from_us)
    history = derive(registered(readings), [described(step_wh=1)], [entry("correct", T0, event=name)])
    assert history.findings[0].confirmed is False
    assert total_wh(history, T0, T0 + 4 * HOUR_US) == 240_000 + 2**24


def test_a_load_switched_on_all_at_once_is_no_leap() -> None:
    load = Load([(T0, 200_000), (T0 + 3 * HOUR_US, 2000 * KW)])
    history = derive(registered(rows(Register(load).read, polls(6))), [described(step_wh=1)])
    assert kinds(history) == []
    holds(history, load, edges(6))


def test_typed_readings_alone_make_a_month_exact() -> None:
    said = [
        entry("read", T0 + day * DAY_US, import_wh=wh)
        for day, wh in ((0, 1_000_000), (10, 7_000_000), (30, 9_000_000))
    ]
    history = derive(registered([]), (), said)
    assert total_wh(history, T0, T0 + 30 * DAY_US) == 8_000_000
    assert total_wh(history, T0, T0 + 5 * DAY_US) == 3_000_000
    assert kinds(history) == []
    corrected = entry("read", T0 + 10 * DAY_US, import_wh=6_000_000, supersedes=said[1].id)
    assert total_wh(derive(registered([]), (), [*said, corrected]), T0, T0 + 10 * DAY_US) == 5_000_000


def test_a_typed_reading_that_the_wire_contradicts_is_set_aside() -> None:
    load = Load([(T0, 60 * KW)])
    readings = registered(rows(Register(load).read, polls(4)))
    right = entry("read", T0 + 2 * HOUR_US + 90 * S, import_wh=121_000)
    wrong = entry("read", T0 + 3 * HOUR_US, import_wh=500)
    history = derive(readings, [described(step_wh=1)], [right, wrong])
    assert kinds(history) == ["typed_disagrees"]
    assert total_wh(history, T0, T0 + 4 * HOUR_US) == 240_000
    holds(history, load, edges(4))


def test_what_falls_all_the_time_is_no_register() -> None:
    readings = [
        RegisterRow(T0 + n * S, n + 1, "box-1", 1, False, RegisterReading("main", 0, 10 * (n % 2)))
        for n in range(50_000)
    ]
    history = derive(registered(readings))
    assert kinds(history) == ["unusable"]
    assert total_wh(history, T0, T0 + 50_000 * S) == 0
    profile = history.profile(np.array([T0, T0 + 50_000 * S]))
    assert int(profile.gap_us[0]) == 50_000 * S


def test_a_rule_holds_from_its_day_on_and_never_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = rules._FILE.read_text("utf-8")
    table = text[text.index("[[registers]]") : text.index("# Per mille of the energy")]
    later = table.replace("from = 2020-01-01", "from = 2026-10-02").replace(
        "frozen_s = 3600", "frozen_s = 14400"
    )
    changed = tmp_path / "rules.toml"
    changed.write_text(text + "\n" + later, "utf-8")
    load = day_and_night(3)
    meter = Register(load, tells_power=True, frozen_us=(T0 + 2 * HOUR_US, T0 + 4 * HOUR_US))
    again = Register(load, tells_power=True, frozen_us=(T0 + 26 * HOUR_US, T0 + 28 * HOUR_US))
    readings = rows(lambda us: (meter if us < T0 + DAY_US else again).read(us), polls(48))
    assert kinds(derive(registered(readings), [described(step_wh=1)])) == ["frozen", "frozen"]
    monkeypatch.setattr(rules, "_FILE", changed)
    rules._dated.cache_clear()
    try:
        history = derive(registered(readings), [described(step_wh=1)])
    finally:
        monkeypatch.undo()
        rules._dated.cache_clear()
    assert [(f.kind, f.from_us) for f in history.findings] == [("frozen", T0 + 2 * HOUR_US)]
    assert total_wh(history, T0, T0 + 48 * HOUR_US) == load.used(T0, T0 + 48 * HOUR_US) // MW_US_PER_WH
