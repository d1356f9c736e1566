"""The ways to a site's meters, opened together and closed together; what no meter needs is never imported."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from agent.meters import oid_map, register_map
from agent.meters.config import Meter, ModbusMeter, MqttMeter, ShellyMeter, SnmpMeter, TasmotaMeter, host_port
from agent.meters.told import Told
from agent.readings import DeviceError, DeviceTimeout

Read = Callable[[], Awaitable[Told]]

MODBUS_PORT = 502
HTTP_PORT = 80
SNMP_PORT = 161


@contextlib.asynccontextmanager
async def drivers(
    meters: Sequence[Meter], state_dir: Path, who: str = "agent"
) -> AsyncIterator[Mapping[str, Read]]:
    """By the meter's name: a reading of it, or DeviceError.

    `state_dir` holds the counts of pulses; `who` tells this agent from others at a broker of meters.
    """
    reads: dict[str, Read] = {}
    async with contextlib.AsyncExitStack() as stack:
        if modbus_meters := [meter for meter in meters if isinstance(meter, ModbusMeter)]:
            reads |= _modbus(modbus_meters, stack)
        if web_meters := [meter for meter in meters if isinstance(meter, ShellyMeter | TasmotaMeter)]:
            reads |= await _http(web_meters, stack)
        if pdus := [meter for meter in meters if isinstance(meter, SnmpMeter)]:
            reads |= _snmp(pdus, stack)
        if publishers := [meter for meter in meters if isinstance(meter, MqttMeter)]:
            reads |= await _mqtt(publishers, state_dir, who, stack)
        yield reads


def _modbus(meters: Sequence[ModbusMeter], stack: contextlib.AsyncExitStack) -> dict[str, Read]:
    from agent.meters import modbus

    gateways = modbus.Gateways()
    stack.callback(gateways.close)

    def reader(meter: ModbusMeter) -> Read:
        line = modbus.Line(*host_port(meter.address, MODBUS_PORT), meter.framing)
        rules = register_map.load(meter.map)
        return lambda: modbus.read(gateways.at(line), meter.unit, rules, meter.deadline_s)

    return {meter.name: reader(meter) for meter in meters}


async def _http(
    meters: Sequence[ShellyMeter | TasmotaMeter], stack: contextlib.AsyncExitStack
) -> dict[str, Read]:
    from agent.meters import shelly, tasmota
    from agent.transports.http import Web
    from agent.transports.network import Network

    # A session of the meters' own: a hung plug takes no connection that a miner needs.
    deadline_s = max(meter.deadline_s for meter in meters)
    web = await stack.enter_async_context(Web(Network(deadline_s=deadline_s)))

    def reader(meter: ShellyMeter | TasmotaMeter) -> Read:
        host, port = host_port(meter.address, HTTP_PORT)
        login = (meter.login.user, meter.login.password.read()) if meter.login else None
        if isinstance(meter, TasmotaMeter):
            read = functools.partial(tasmota.read, web, host, port, login, meter.deadline_s)
        else:
            channel = None if meter.channel == "all" else meter.channel
            read = functools.partial(shelly.read, web, host, port, channel, login, meter.deadline_s)
        return functools.partial(_within, meter.deadline_s, read)

    return {meter.name: reader(meter) for meter in meters}


def _snmp(meters: Sequence[SnmpMeter], stack: contextlib.AsyncExitStack) -> dict[str, Read]:
    from agent.meters import snmp

    # An engine knows one password by a user's name: PDUs with another one get an engine of their own.
    askers: dict[str | snmp.User, snmp.Asker] = {}

    def reader(meter: SnmpMeter) -> Read:
        host, port = host_port(meter.address, SNMP_PORT)
        rules, outlet, v3 = oid_map.load(meter.map), meter.outlet or 0, meter.v3
        who: str | snmp.User
        if v3 is not None:
            passwords = v3.auth_password.read(), v3.privacy_password.read()
            who = snmp.User(v3.user, v3.auth, passwords[0], v3.privacy, passwords[1])
        else:
            who = meter.community.read() if meter.community else ""
        asker = askers.get(who) or askers.setdefault(who, snmp.Asker())
        return lambda: snmp.read(asker, host, port, who, rules, meter.pdu, outlet, meter.deadline_s)

    reads = {meter.name: reader(meter) for meter in meters}
    for asker in askers.values():
        stack.callback(asker.close)
    return reads


async def _mqtt(
    meters: Sequence[MqttMeter], state_dir: Path, who: str, stack: contextlib.AsyncExitStack
) -> dict[str, Read]:
    from agent.meters import mqtt_meter
    from agent.meters.pulses import PULSES_FILE, Pulses

    reads: dict[str, Read] = {}
    try:
        pulses = Pulses(state_dir / PULSES_FILE)
    except DeviceError as error:  # of the pulses alone: other meters go on
        reads = {meter.name: functools.partial(_fail, error) for meter in meters if meter.kind == "pulse"}
        pulses = Pulses()
    by_broker: dict[tuple[object, ...], list[MqttMeter]] = {}
    for meter in meters:
        if meter.name not in reads:
            by_broker.setdefault((meter.address, meter.login, meter.ca_file), []).append(meter)
    for number, ours in enumerate(by_broker.values()):
        listener = mqtt_meter.Listener(ours, pulses, f"hashledger-meters-{who}-{number}")
        listener.start()
        stack.callback(listener.stop)
        keeping = asyncio.create_task(listener.keep())
        stack.callback(keeping.cancel)
        for meter in ours:
            reads[meter.name] = functools.partial(listener.read, meter)
    return reads


async def _fail(error: DeviceError) -> Told:
    raise error


async def _within(deadline_s: float, read: Read) -> Told:
    """A reading of several requests, in the time of one."""
    try:
        async with asyncio.timeout(deadline_s):
            return await read()
    except TimeoutError as error:
        raise DeviceTimeout(f"no whole answer within {deadline_s:g} s") from error
