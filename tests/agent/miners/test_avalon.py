"""Shapes of Canaan's text field, in small replies written here."""

from __future__ import annotations

import pytest

from agent.miners import avalon
from agent.readings import PowerOrigin, Reading, State


def reading(*units: str, **summary: object) -> Reading:
    rows = [{f"MM ID{place}": unit} for place, unit in enumerate(units)]
    replies = {"stats": {"STATS": rows}, "summary": {"SUMMARY": [{"Elapsed": 60, **summary}]}}
    return avalon.parse(replies, 1)


@pytest.mark.parametrize(
    ("slots", "power_w", "origin"),
    [
        ("PS[0 1214 1316 242 3189 1320 3504]", 3504.0, PowerOrigin.WALL_MEASURED),
        ("PS[0 1222 4 0 0 2245 146]", 146.0, PowerOrigin.WALL_MEASURED),
        ("PS[0 1214 1316 242 3189 1320]", 3189.0, PowerOrigin.DC_OUTPUT),
        ("PS[0 1214 1316 242 3189 1320 0]", 3189.0, PowerOrigin.DC_OUTPUT),
        ("PS[0 1214 1316 242 3189 1320 12]", 3189.0, PowerOrigin.DC_OUTPUT),
        ("PS[0 1 2 3 3526 5 3700] WALLPOWER[3731]", 3731.0, PowerOrigin.WALL_MEASURED),
        ("PS[0 0 0 0 0 2245 0] MPO[800]", None, None),
        ("PS[] MPO[3200]", None, None),
        ("MPO[3200]", None, None),
    ],
)
def test_which_side_of_the_supply(slots: str, power_w: float | None, origin: PowerOrigin | None) -> None:
    found = reading(f"GHSspd[81000.5] {slots}")
    assert (found.power_w, found.power_origin) == (power_w, origin)
    assert (found.power_w is None) == ("power_w" in found.unknown)


def test_units_behind_one_controller_are_summed_or_not_at_all() -> None:
    one, other = "GHSspd[7000] PS[0 0 0 0 900 0 1000]", "GHSspd[6000] PS[0 0 0 0 800 0 0]"
    both = reading(one, other)
    assert both.hashrate_hs == pytest.approx(13e12)
    assert (both.power_w, both.power_origin) == (1700.0, PowerOrigin.DC_OUTPUT)
    assert reading(one, "GHSspd[6000]").power_w is None


@pytest.mark.parametrize(
    ("unit", "state"),
    [
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSspd[80000]", State.MINING),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 1] GHSspd[0.00] SoftOFF[4]", State.SLEEPING),
        ("SYSTEMSTATU[Work: In Idle, Hash Board: 1] GHSspd[0.00] SoftOFF[0]", State.IDLE),
        ("SYSTEMSTATU[Work: In Init, Hash Board: 1] GHSspd[0.00]", State.STARTING),
        ("GHSavg[80000]", State.UNKNOWN),
        ("SYSTEMSTATU[Work: In Work, Hash Board: 3 ] GHSavg[80000]", State.MINING),
    ],
)
def test_state(unit: str, state: State) -> None:
    assert reading(unit).state is state


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("1246-83", "AvalonMiner 1246"),
        ("Q", "Avalon Q"),
        ("Nano3s", "Avalon Nano 3S"),
        ("Mini3", "Avalon Mini 3"),
    ],
)
def test_model(name: str, model: str) -> None:
    replies = {"version": {"VERSION": [{"PROD": "Avalon", "MODEL": name}]}, "stats": {"STATS": []}}
    assert avalon.parse(replies, 1).model == model
