"""`hashledger agent simulate meters`: a meter of every kind on loopback, to rehearse with."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import get_args

import click

from agent.meters import oid_map, register_map
from agent.simulator.meter_life import Curve, MeterLife

HOST = "127.0.0.1"
# They have been counting for a week when they are looked at.
AGE_US = 7 * 86_400_000_000


@click.command(name="meters")
@click.option("--first-port", type=click.IntRange(1024, 65000), default=15020, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--broker", metavar="HOST:PORT", help="Publish one more meter at this broker.")
def meters(first_port: int, seed: int, broker: str | None) -> None:
    """Serve a meter of every kind, and print the agent's configuration for them."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(first_port, seed, broker))


async def _serve(first_port: int, seed: int, broker: str | None) -> None:
    from agent.simulator import meter_modbus, meter_mqtt, meter_snmp, meter_web

    start_us, made = now_us() - AGE_US, 0

    def life(name: str) -> MeterLife:
        nonlocal made
        made += 1
        return MeterLife(name, Curve(seed * 1000 + made, start_us), str(1000 + made))

    async with AsyncExitStack() as stack:
        port = first_port
        for framing in ("tcp", "rtu"):
            units = {}
            for unit, name in enumerate(register_map.names(), 1):
                one = life(f"{framing}-{name.replace('_', '-')}")
                units[unit] = meter_modbus.Unit(one, register_map.load(name))
                say(one.name, "modbus", f"{HOST}:{port}", unit=unit, map=name, framing=framing)
            await stack.enter_async_context(meter_modbus.serve(units, now_us, port, framing=framing))
            port += 1
        for kind in get_args(meter_web.Kind):
            one = life(kind)
            channel = {"shelly1-em": "all", "shelly2-em1": 1}.get(kind, 0)
            way = {"source": "tasmota"} if kind == "tasmota" else {"source": "shelly", "channel": channel}
            await stack.enter_async_context(meter_web.serve(one, kind, now_us, port))
            say(one.name, str(way.pop("source")), f"{HOST}:{port}", **way)
            port += 1
        for name in oid_map.names():
            one, rules = life(name.replace("_", "-")), oid_map.load(name)
            await stack.enter_async_context(meter_snmp.serve(meter_snmp.Pdu(one, rules), now_us, port))
            outlet = {"outlet": 1} if rules.by_outlet else {}
            say(one.name, "snmp", f"{HOST}:{port}", map=name, community="public", **outlet)
            port += 1
        if broker is not None:
            host, _, number = broker.partition(":")
            one = life("published")
            topic = "simulated/meter"
            await stack.enter_async_context(
                meter_mqtt.publishing(one, now_us, int(number or 1883), topic, host=host)
            )
            say(one.name, "mqtt", broker, topic=topic, path="ENERGY.Total", power_path="ENERGY.Power")
        click.echo("# serving; Ctrl-C ends it")
        await asyncio.Event().wait()


def say(name: str, source: str, address: str, **more: object) -> None:
    """A `[[meter]]` of the agent's configuration."""
    rows = {"name": name, "source": source, "address": address, **more}
    lines = [
        f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"' for key, value in rows.items()
    ]
    click.echo("\n".join(["[[meter]]", *lines, ""]))


def now_us() -> int:
    return time.time_ns() // 1000
