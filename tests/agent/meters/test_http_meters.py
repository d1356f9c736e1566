"""Shelly and Tasmota over HTTP: every generation, logins, and replies that are none."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.meters import shelly, tasmota
from agent.meters.config import ShellyMeter, TasmotaMeter
from agent.meters.drivers import drivers
from agent.meters.http_meter import exact
from agent.meters.meter_sweep import described
from agent.meters.told import Told, failed, measured, named
from agent.readings import AuthError, DeviceError, DeviceTimeout, FailureKind, Locked, Unsupported
from agent.simulator import meter_web
from agent.simulator.meter_life import MeterFault, MeterLife
from agent.wire import RegisterReading, Registers, pack, unpack
from demo.processes import free_ports
from tests.agent.meters import grid

# What one of a kind's registers is rounded to, in Wh.
COARSE_WH = {"tasmota": 1, "shelly1-em": 1}
LOGIN = ("admin", "s3cret&=")


def ask(
    kind: meter_web.Kind, life: MeterLife, *, login: bool = False, sends: str | None = None, **more: Any
) -> Told:
    """What the driver makes of such a plug; `login`: it wants one, `sends`: the password that we send."""
    clock = grid.TurnedClock()
    (port,) = free_ports(1)
    fields = {"name": "m", "address": f"127.0.0.1:{port}", "deadline_s": 3.0, **more}
    if sends is not None:
        fields["login"] = {"user": LOGIN[0], "password": sends}
    meter = (
        TasmotaMeter.model_validate({"source": "tasmota", **fields})
        if kind == "tasmota"
        else ShellyMeter.model_validate({"source": "shelly", **fields})
    )

    async def read() -> Told:
        served = meter_web.serve(life, kind, clock, port, login=LOGIN if login else None)
        async with served, drivers([meter], Path()) as reads:
            return await reads["m"]()

    return asyncio.run(read())


@pytest.mark.parametrize("kind", get_args(meter_web.Kind))
@pytest.mark.parametrize("login", [False, True])
def test_every_kind_of_plug_is_read(kind: meter_web.Kind, login: bool) -> None:
    life = grid.life(serial="42", start_wh=5_000_000)
    shown = life.shown(grid.TurnedClock()())
    channel = {"shelly2-em1": 1, "shelly1-em": "all"}.get(kind, 0)
    more = {} if kind == "tasmota" else {"channel": channel}
    told = ask(kind, life, login=login, sends=LOGIN[1] if login else None, **more)
    assert shown is not None and told.import_wh is not None and told.power_w is not None
    assert abs(told.import_wh - shown.import_wh) <= COARSE_WH.get(kind, Fraction(1, 50))
    assert abs(told.power_w - shown.power_w) <= 1
    assert told.unread == {} and told.serial == "AABBCC000042"


@pytest.mark.parametrize("kind", get_args(meter_web.Kind))
def test_a_refused_password_says_so_and_is_shown_nowhere(kind: meter_web.Kind) -> None:
    with pytest.raises(AuthError) as caught:
        ask(
            kind,
            grid.life(),
            login=True,
            sends="wrong-one",
            **({"channel": 1} if kind == "shelly2-em1" else {}),
        )
    assert "wrong-one" not in str(caught.value)
    with pytest.raises((Locked, AuthError)):
        ask(kind, grid.life(), login=True)


def test_a_channel_that_is_not_there_is_named() -> None:
    with pytest.raises(Unsupported, match="no channel 3"):
        ask("shelly2-plug", grid.life(), channel=3)
    with pytest.raises(Unsupported, match="no channel 3"):
        ask("shelly1-em", grid.life(), channel=3)


def test_a_plug_that_hangs_times_out() -> None:
    life = grid.life(faults=(MeterFault("silent", grid.START_US),))
    with pytest.raises(DeviceTimeout):
        ask("shelly2-plug", life, deadline_s=0.3)


def test_a_plug_without_a_meter_says_so() -> None:
    with pytest.raises(Unsupported, match="no meter"):
        tasmota.parse(Told(), {"StatusSNS": {"Time": "2026-10-01T00:00:00"}})


def test_phases_are_added_up() -> None:
    told = Told()
    tasmota.parse(told, {"StatusSNS": {"ENERGY": {"Total": [1.001, 2.002, 3.003], "Power": [1, 2, 3]}}})
    assert (told.import_wh, told.power_w) == (6006, 6)


@pytest.mark.parametrize("value", [None, "nan", "", True, {"total": 1}, float("inf"), -1])
def test_what_is_no_register_is_not_read(value: object) -> None:
    told = Told()
    shelly.gen2(told, {"switch:0": {"apower": 1.5, "aenergy": {"total": value}}}, 0)
    assert told.import_wh is None and told.unread["import_wh"].startswith(f"{FailureKind.PROTOCOL}: ")
    assert told.power_w == Fraction(3, 2)


def test_values_that_the_device_calls_invalid_are_not_read() -> None:
    told = Told()
    shelly.gen1(told, {"emeters": [{"total": 5.0, "power": 1, "total_returned": 0, "is_valid": False}]}, 0)
    assert told.import_wh is None and "not valid" in told.unread["import_wh"]


def test_watt_minutes_are_exact() -> None:
    told = Told()
    shelly.gen1(told, {"meters": [{"total": 7, "power": 1}]}, 0)
    assert told.import_wh == Fraction(7, 60)


@given(st.integers(0, 10**12))
def test_decimals_of_json_are_what_was_written(thousandths: int) -> None:
    assert exact(float(f"{thousandths / 1000:.3f}")) == Fraction(thousandths, 1000)


KEYS = (
    "switch:0",
    "em:0",
    "emdata:0",
    "meters",
    "emeters",
    "ENERGY",
    "StatusSNS",
    "Total",
    "total",
    "aenergy",
)
LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just("\ud800\n")


@given(st.recursive(LEAVES, lambda c: st.lists(c) | st.dictionaries(st.sampled_from(KEYS), c)))
def test_any_reply_is_a_reading_or_a_device_error(reply: object) -> None:
    document = reply if isinstance(reply, dict) else {"emeters": reply, "meters": reply}
    for parse in (shelly.gen1, shelly.gen2, lambda told, status, _: tasmota.parse(told, status)):
        told = Told(serial=named(document.get("meters")))
        try:
            parse(told, document, None)
        except DeviceError as error:
            assert failed(error).problem.isprintable()
            continue
        storable(told)


def storable(told: Told) -> None:
    """Whatever was told can be encoded, and shown."""
    got = measured(told, Fraction(1))
    about = described(TasmotaMeter(name="m", source="tasmota", address="h"), told, None, 1)
    reading = RegisterReading("m", 0, got.import_wh, got.export_wh, got.power_mw, got.problem)
    assert unpack(pack([about, Registers(1, 60, [reading])])) and got.problem.isprintable()


@given(st.text())
def test_a_serial_that_is_none_is_not_taken(text: str) -> None:
    storable(Told(serial=named(text), unread={"import_wh": f"protocol: {text}"}))
