"""Meters that publish, over a real mosquitto: registers dated by arrival, pulses counted over restarts."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from agent.clock import now_us
from agent.meters import mqtt_meter
from agent.meters.config import MqttMeter
from agent.meters.drivers import drivers
from agent.meters.pulses import PULSES_FILE, Pulses
from agent.meters.told import Told
from agent.readings import AuthError, DeviceError, DeviceTimeout, ProtocolError, Unreachable
from agent.simulator import meter_mqtt
from agent.simulator.meter_life import Curve, MeterLife
from demo.processes import free_ports
from tests.agent.meters import grid

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/sbin:/bin")
TOPIC = "hall/meter"


def started(folder: Path, port: int, *lines: str) -> subprocess.Popen[bytes]:
    if MOSQUITTO is None:
        if os.environ.get("CI"):
            pytest.fail("mosquitto is missing: apt-get install mosquitto")
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    conf = folder / "mosquitto.conf"
    conf.write_text("\n".join([f"listener {port} 127.0.0.1", *(lines or ("allow_anonymous true",)), ""]))
    broker = subprocess.Popen(
        [MOSQUITTO, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ends_s = time.monotonic() + grid.LIMIT_S
    while time.monotonic() < ends_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return broker
    broker.kill()
    pytest.fail("mosquitto does not listen")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (chosen,) = free_ports(1)
    broker = started(tmp_path, chosen)
    yield chosen
    broker.terminate()
    broker.wait(15)


def meter(port: int, **fields: object) -> MqttMeter:
    return MqttMeter.model_validate(
        {"name": "m", "source": "mqtt", "address": f"127.0.0.1:{port}", "topic": TOPIC, **fields}
    )


def say(port: int, *payloads: bytes, retain: bool = False, qos: int = 1) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for payload in payloads:
        client.publish(TOPIC, payload, qos=qos, retain=retain).wait_for_publish(grid.LIMIT_S)
    client.disconnect()
    client.loop_stop()


async def until(read: Callable[[], object], good: Callable[[Told], bool]) -> Told:
    """Readings until one is good."""
    ends_s = time.monotonic() + grid.LIMIT_S
    while time.monotonic() < ends_s:
        try:
            told = await read()  # type: ignore[misc]  # an object to the type, awaited here
        except DeviceError:
            await asyncio.sleep(0.02)
            continue
        if good(told):
            return told
        await asyncio.sleep(0.02)
    raise AssertionError("no such reading came")


async def connected(read: Callable[[], object]) -> None:
    """Wait until the listener is subscribed: its complaint is then that no message came."""
    while True:
        try:
            await read()  # type: ignore[misc]  # likewise
        except DeviceTimeout:
            return await asyncio.sleep(0.1)
        except DeviceError:
            await asyncio.sleep(0.02)


def test_a_register_of_a_published_life_is_read_once_and_dated_by_its_arrival(
    port: int, tmp_path: Path
) -> None:
    life = MeterLife("m", Curve(5, now_us() - grid.HOUR_US), serial="88")
    paths = {"path": "ENERGY.Total", "export_path": "ENERGY.Export", "power_path": "ENERGY.Power",
             "serial_path": "Serial"}  # fmt: skip

    async def read() -> tuple[Told, float]:
        published = meter_mqtt.publishing(life, now_us, port, TOPIC, every_s=0.1)
        async with published, drivers([meter(port, **paths)], tmp_path) as reads:
            told = await until(reads["m"], lambda t: t.import_wh is not None)
            return told, time.monotonic()

    told, after_s = asyncio.run(read())
    assert told.import_wh is not None and told.serial == "88" and told.power_w and told.export_wh == 0
    assert abs(told.import_wh - life.curve.energy_wh(now_us())) < 60  # two seconds of 100 kW
    assert told.told_s <= after_s


def test_a_message_is_a_reading_once_and_a_retained_one_never(port: int, tmp_path: Path) -> None:
    say(port, b"1.5", retain=True)

    async def read() -> None:
        async with drivers([meter(port)], tmp_path) as reads:
            await connected(reads["m"])
            say(port, b"2.345")
            told = await until(reads["m"], lambda t: True)
            assert told.import_wh == 2345
            with pytest.raises(DeviceTimeout, match="no message"):
                await reads["m"]()

    asyncio.run(read())


def test_pulses_are_counted_over_restarts_and_while_nobody_listens(port: int, tmp_path: Path) -> None:
    pulse = meter(port, kind="pulse", wh_per_pulse=1, start_kwh=1000)

    async def count(more: int, expected: int) -> None:
        async with drivers([pulse], tmp_path, "o-s-a") as reads:
            await until(reads["m"], lambda t: True)
            await asyncio.to_thread(say, port, *[b"x"] * more)
            told = await until(reads["m"], lambda t: t.import_wh == 1_000_000 + expected)
            assert told.step_wh == 1

    asyncio.run(count(30, 30))
    say(port, *[b"x"] * 25)  # nobody listens; the broker keeps them
    asyncio.run(count(5, 60))
    assert Pulses(tmp_path / PULSES_FILE).of("m") == 60


def test_the_count_follows_the_energy(port: int, tmp_path: Path) -> None:
    """What is counted is what a life of known energy gave, to the pulse."""
    life = MeterLife("m", Curve(9, grid.START_US))
    clock = grid.TurnedClock(grid.START_US)
    pulse, ends_us = meter(port, kind="pulse", wh_per_pulse=10), grid.START_US + grid.HOUR_US // 100

    async def count() -> Told:
        sender = meter_mqtt.publishing(life, clock, port, TOPIC, every_s=0.02, wh_per_pulse=Fraction(10))
        async with drivers([pulse], tmp_path) as reads:
            await until(reads["m"], lambda t: True)
            async with sender:
                for n in range(1, 11):
                    await asyncio.sleep(0.05)
                    clock.at_us = grid.START_US + (ends_us - grid.START_US) * n // 10
                await asyncio.sleep(0.2)
            expected = life.curve.energy_wh(ends_us) // 10 * 10
            return await until(reads["m"], lambda t: t.import_wh == expected)

    assert asyncio.run(count()).unread == {}


def test_pulses_of_a_message_are_as_many_as_it_says(port: int, tmp_path: Path) -> None:
    pulse = meter(port, kind="pulse", wh_per_pulse="0.5", path="n")

    async def count() -> None:
        async with drivers([pulse], tmp_path) as reads:
            await until(reads["m"], lambda t: True)
            await asyncio.to_thread(say, port, b'{"n": 7}', b'{"n": -1}', b"junk", b'{"n": 3}')
            told = await until(reads["m"], lambda t: t.import_wh == 5)
            assert "no number of pulses" in told.unread["pulses"]

    asyncio.run(count())


def test_a_count_that_cannot_be_kept_is_a_problem_and_nothing_is_lost(port: int, tmp_path: Path) -> None:
    pulse = meter(port, kind="pulse", wh_per_pulse=1)

    async def count(folder: Path, good: bool) -> None:
        async with drivers([pulse], folder, "w") as reads:
            await until(reads["m"], lambda t: True)
            if good:
                await until(reads["m"], lambda t: t.import_wh == 3)
                return
            (folder / PULSES_FILE).mkdir()  # cannot be replaced by a file
            await asyncio.to_thread(say, port, b"x", b"x", b"x")
            with pytest.raises(ProtocolError, match="cannot be counted"):
                while True:
                    await reads["m"]()
                    await asyncio.sleep(0.02)

    asyncio.run(count(tmp_path, good=False))
    (tmp_path / PULSES_FILE).rmdir()
    asyncio.run(count(tmp_path, good=True))  # the broker was told of none of them


def test_a_broken_count_stops_its_own_meter_alone(port: int, tmp_path: Path) -> None:
    (tmp_path / PULSES_FILE).write_text("[1, 2]")
    both = [meter(port, kind="pulse", wh_per_pulse=1), meter(port, name="r")]

    async def read() -> None:
        async with drivers(both, tmp_path) as reads:
            with pytest.raises(ProtocolError, match="move it away"):
                await reads["m"]()
            await connected(reads["r"])
            await asyncio.to_thread(say, port, b"5")
            assert (await until(reads["r"], lambda t: True)).import_wh == 5000

    asyncio.run(read())


def test_a_broker_that_is_not_there_or_refuses_us_is_told(tmp_path: Path) -> None:
    port, closed = free_ports(2)
    broker = started(tmp_path, port, "allow_anonymous false")

    async def complaint(at: int, kind: type[DeviceError]) -> None:
        async with drivers([meter(at)], tmp_path) as reads:
            ends_s = time.monotonic() + grid.LIMIT_S
            while time.monotonic() < ends_s:
                try:
                    await reads["m"]()
                except kind:
                    return
                except DeviceError:
                    await asyncio.sleep(0.02)
            raise AssertionError(kind)

    try:
        asyncio.run(complaint(port, AuthError))
        asyncio.run(complaint(closed, Unreachable))
    finally:
        broker.terminate()
        broker.wait(15)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"topic": "a/#"}, "without"),
        ({"kind": "pulse"}, "wh_per_pulse"),
        ({"wh_per_pulse": 1}, "wh_per_pulse"),
        ({"power_path": "P"}, "path: in a JSON payload"),
    ],
)
def test_a_mapping_that_cannot_be_says_what_is_missing(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        meter(1883, **fields)


@given(st.binary(max_size=200))
def test_any_payload_is_a_register_or_a_reason(payload: bytes) -> None:
    for paths in ({}, {"path": "a.0.b", "power_path": "p"}):
        told = mqtt_meter.parse(meter(1883, **paths), payload, 0.0)
        assert (told.import_wh is None) == ("import_wh" in told.unread)


def test_a_path_leads_through_objects_and_lists() -> None:
    one = meter(1883, path="phases.1.kwh", unit="MWh")
    told = mqtt_meter.parse(one, b'{"phases": [{"kwh": 1}, {"kwh": 2.000001}]}', 0.0)
    assert told.import_wh == 2_000_001
