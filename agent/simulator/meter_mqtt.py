"""A meter that publishes its registers, and a pulse for each step, as a simulated life goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.simulator.meter_life import MeterLife, Shown


def payload(shown: Shown) -> bytes:
    """The registers as JSON, kWh to the Wh, as an `ENERGY` of Tasmota's `tele/.../SENSOR`."""
    energy = {
        "Total": int(shown.import_wh) / 1000,
        "Export": int(shown.export_wh) / 1000,
        "Power": round(float(shown.power_w), 1),
    }
    return json.dumps({"Serial": shown.serial, "ENERGY": energy}).encode()


def steps(life: MeterLife, from_us: int, to_us: int, wh_per_pulse: Fraction) -> int:
    """How many pulses fall between two instants: one whenever the energy passes a multiple of the step."""
    before, after = (life.curve.energy_wh(at_us) // wh_per_pulse for at_us in (from_us, to_us))
    return int(after - before)


@asynccontextmanager
async def publishing(
    life: MeterLife,
    now_us: Callable[[], int],
    port: int,
    topic: str,
    *,
    host: str = "127.0.0.1",
    every_s: float = 1.0,
    wh_per_pulse: Fraction | None = None,
) -> AsyncIterator[None]:
    """Publish at `topic` every so often: the registers, or with `wh_per_pulse` a message for each pulse."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(host, port)
    client.loop_start()

    async def go_on() -> None:
        last_us = now_us()
        while True:
            await asyncio.sleep(every_s)
            at_us = now_us()
            shown = life.shown(at_us)
            if shown is None:
                continue
            if wh_per_pulse is None:
                client.publish(topic, payload(shown))
                continue
            for _ in range(steps(life, last_us, at_us, wh_per_pulse)):
                client.publish(topic, b"1", qos=1)
            last_us = at_us

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        client.disconnect()
        client.loop_stop()
