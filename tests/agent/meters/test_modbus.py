"""The Modbus driver against real pymodbus servers: both framings, shared gateways, and what goes wrong."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import pytest

from agent.meters import modbus, register_map
from agent.meters.modbus import Gateways, Line
from agent.meters.register_map import RegisterMap
from agent.meters.told import Told, measured
from agent.readings import DeviceError, DeviceTimeout, FailureKind, Unreachable
from agent.simulator.meter_life import MeterFault
from agent.simulator.meter_modbus import Unit
from demo.processes import free_ports
from tests.agent.meters import grid

DEADLINE_S = 5.0


def read(line: Line, unit: int, name: str, deadline_s: float = DEADLINE_S) -> Told:
    async def ask() -> Told:
        gateways = Gateways()
        try:
            return await modbus.read(gateways.at(line), unit, register_map.load(name), deadline_s)
        finally:
            gateways.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
@pytest.mark.parametrize("name", register_map.names())
def test_a_meter_is_read_over_the_wire(name: str, framing: modbus.Framing) -> None:
    clock, rules = grid.TurnedClock(), register_map.load(name)
    life = grid.life(serial="123456", start_wh=10_000_000)
    (port,) = free_ports(1)
    with grid.running(lambda: grid.gateway({5: Unit(life, rules)}, clock, port, framing)):
        told = read(Line("127.0.0.1", port, framing), 5, name)
    shown = life.shown(clock())
    assert shown is not None and told.import_wh is not None and told.step_wh is not None
    assert abs(told.import_wh - shown.import_wh) <= told.step_wh
    assert told.unread == {}
    if "serial" in rules.registers:
        assert told.serial == "123456"


def test_units_of_one_gateway_share_a_connection_and_take_turns() -> None:
    clock, rules = grid.TurnedClock(), register_map.load("abb_b23")
    lives = {n: grid.life(str(n), serial=str(1000 + n), start_wh=n * 10**6) for n in range(1, 31)}
    (port,) = free_ports(1)

    async def ask_all() -> list[Told]:
        gateways = Gateways()
        line = Line("127.0.0.1", port)
        try:
            reads = (modbus.read(gateways.at(line), n, rules, DEADLINE_S) for n in lives)
            return await asyncio.gather(*reads)
        finally:
            gateways.close()

    units = {n: Unit(life, rules) for n, life in lives.items()}
    with grid.running(lambda: grid.gateway(units, clock, port)):
        told = asyncio.run(ask_all())
    assert [t.serial for t in told] == [life.serial for life in lives.values()]


def failure(line: Line, unit: int, name: str, deadline_s: float) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        read(line, unit, name, deadline_s)
    return caught.value


def test_a_meter_that_is_silent_times_out_and_its_neighbour_is_read() -> None:
    clock, rules = grid.TurnedClock(), register_map.load("sdm630")
    silent = grid.life(faults=(MeterFault("silent", grid.START_US),))
    (port,) = free_ports(1)
    line = Line("127.0.0.1", port, "rtu")
    with grid.running(
        lambda: grid.gateway({1: Unit(silent, rules), 2: Unit(grid.life(), rules)}, clock, port, "rtu")
    ):

        async def both() -> tuple[BaseException | Told, BaseException | Told]:
            gateways = Gateways()
            try:
                first, second = await asyncio.gather(
                    modbus.read(gateways.at(line), 1, rules, 0.3),
                    modbus.read(gateways.at(line), 2, rules, DEADLINE_S),
                    return_exceptions=True,
                )
                return first, second
            finally:
                gateways.close()

        first, second = asyncio.run(both())
    assert isinstance(first, DeviceTimeout)
    assert isinstance(second, Told) and second.import_wh is not None


def test_a_port_without_a_listener_is_unreachable_and_not_tried_again_at_once() -> None:
    (port,) = free_ports(1)

    async def twice() -> list[str]:
        gateway, found = Gateways().at(Line("127.0.0.1", port)), []
        for _ in range(2):
            try:
                await modbus.read(gateway, 1, register_map.load("sdm630"), DEADLINE_S)
            except Unreachable as error:
                found.append(str(error))
        return found

    first, second = asyncio.run(twice())
    assert "does not accept" in first and "tried again in" in second


def test_a_refused_register_leaves_the_others_read() -> None:
    """A model of the family without export: the block is refused, its registers are asked for one by one."""
    clock, rules = grid.TurnedClock(), register_map.load("abb_b23")
    held = rules.model_dump()
    bare = RegisterMap.model_validate(
        held | {"registers": {n: r for n, r in held["registers"].items() if n not in ("export_wh", "model")}}
    )
    (port,) = free_ports(1)
    with grid.running(lambda: grid.gateway({1: Unit(grid.life(), bare)}, clock, port)):
        told = read(Line("127.0.0.1", port), 1, "abb_b23")
    assert told.import_wh is not None and told.export_wh is None and told.model is None
    assert told.unread == {"export_wh": told.unread["export_wh"]}
    assert measured(told, Fraction(1)).problem.startswith("unsupported: export_wh: ")


def test_another_meter_than_the_map_says_is_no_reading() -> None:
    clock = grid.TurnedClock()
    (port,) = free_ports(1)
    units = {1: Unit(grid.life(), register_map.load("abb_b23"))}
    with grid.running(lambda: grid.gateway(units, clock, port)):
        error = failure(Line("127.0.0.1", port), 1, "sdm630", DEADLINE_S)
    assert error.kind is FailureKind.UNSUPPORTED and "illegal data address" in str(error)


def test_bytes_that_are_no_modbus_are_a_problem_of_the_reading() -> None:
    (port,) = free_ports(1)

    async def talk() -> None:
        async def junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 1000)
            writer.close()

        async with await asyncio.start_server(junk, "127.0.0.1", port):
            gateways = Gateways()
            try:
                with pytest.raises(DeviceError):
                    await modbus.read(
                        gateways.at(Line("127.0.0.1", port)), 1, register_map.load("sdm630"), 1.0
                    )
            finally:
                gateways.close()

    asyncio.run(talk())
