"""Each fault on a real socket is what its name says, and can come and go while the farm is served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.miners import registry
from agent.readings import DeviceError, FailureKind, Reading
from agent.simulator.farm import Farm
from agent.simulator.faults import Fault, parse
from agent.simulator.fleet import fleet
from agent.simulator.model import Device
from agent.simulator.serve import Served
from agent.simulator.spoil import JUNK_BYTES
from agent.transports.access import Access
from agent.transports.http import Web
from agent.transports.network import Network
from tests.agent.simulator.serving import Now, served

PLAN = fleet(11, 60)
FARM = Farm(PLAN)
T_US = PLAN.sites[0].start_us + 36 * 3_600_000_000
FAMILIES = sorted({device.model.family for device in PLAN.devices})


def of(family: str) -> Device:
    return next(device for device in PLAN.devices if device.model.family == family)


def rehearse(
    faults: dict[str, Fault], scenario: Callable[[Served, Network, Access], Awaitable[None]], now: Now
) -> None:
    async def run() -> None:
        async with served(FARM, now, faults) as (sockets, network), Web(network) as web:
            await scenario(sockets, network, Access(web, network))

    asyncio.run(run())


def outcome(family: str, fault: Fault) -> FailureKind | Reading:
    """What one poll of a device with the fault gives."""
    device = of(family)
    told: list[FailureKind | Reading] = []

    async def scenario(_: Served, __: Network, access: Access) -> None:
        try:
            told.append(await registry.read(device.address, family, access))
        except DeviceError as error:
            told.append(error.kind)

    rehearse({device.address: fault}, scenario, Now(T_US))
    return told[0]


FAILING = {
    Fault.REFUSE: {FailureKind.UNREACHABLE},
    Fault.SILENCE: {FailureKind.TIMEOUT},
    Fault.HALF: {FailureKind.PROTOCOL},
    Fault.RESET: {FailureKind.PROTOCOL},
    Fault.DRIP: {FailureKind.TIMEOUT},
    Fault.JUNK: {FailureKind.PROTOCOL},
    Fault.DENIED: {FailureKind.AUTH, FailureKind.LOCKED},
    Fault.HTML: {FailureKind.PROTOCOL, FailureKind.UNSUPPORTED},
}


@pytest.mark.parametrize("family", [name for name in FAMILIES if name in registry.BY_NAME])
@pytest.mark.parametrize("fault", FAILING)
def test_a_poll_fails_as_the_fault_says(fault: Fault, family: str) -> None:
    assert outcome(family, fault) in FAILING[fault]


SPOILT = (
    Fault.MISSING_COMMA,
    Fault.TRAILING_COMMA,
    Fault.NAN,
    Fault.CONTROL,
    Fault.DUPLICATE_KEY,
    Fault.NON_UTF8,
)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name in registry.BY_NAME])
@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_reply_is_still_read(fault: Fault, family: str) -> None:
    found = outcome(family, fault)
    assert isinstance(found, Reading), found
    assert found.pools or found.power_w or found.uptime_s


async def raw_reply(device: Device, network: Network, wait_s: float = 5.0) -> bytes:
    reader, writer = await asyncio.open_connection(device.address, network.cgminer_port)
    writer.write(b'{"command":"summary"}')
    try:
        return await asyncio.wait_for(reader.read(), wait_s)
    finally:
        writer.close()


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_reply_is_no_json(fault: Fault) -> None:
    async def scenario(_: Served, network: Network, __: Access) -> None:
        raw = (await raw_reply(of("luxos"), network)).rstrip(b"\0")
        twice: list[str] = []

        def noticed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            twice.extend(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
            return dict(pairs)

        if fault is Fault.DUPLICATE_KEY:
            json.loads(raw, object_pairs_hook=noticed)
            assert twice
        else:
            with pytest.raises(ValueError):
                json.loads(raw.decode(), parse_constant=lambda word: int(word))

    rehearse({of("luxos").address: fault}, scenario, Now(T_US))


def test_junk_is_ten_megabytes() -> None:
    async def scenario(_: Served, network: Network, __: Access) -> None:
        reader, writer = await asyncio.open_connection(of("luxos").address, network.cgminer_port)
        writer.write(b"summary")
        total = 0
        while part := await reader.read(1 << 20):
            total += len(part)
            await asyncio.sleep(0.01)  # a slow reader: what is not taken is not made
        assert total == JUNK_BYTES
        writer.close()

    rehearse({of("luxos").address: Fault.JUNK}, scenario, Now(T_US))


def test_a_drip_is_a_byte_a_second() -> None:
    async def scenario(_: Served, network: Network, __: Access) -> None:
        reader, writer = await asyncio.open_connection(of("luxos").address, network.cgminer_port)
        writer.write(b"summary")
        assert await reader.read(100) == b"{"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.6)
        assert await asyncio.wait_for(reader.read(100), 1) == b'"'
        writer.close()

    rehearse({of("luxos").address: Fault.DRIP}, scenario, Now(T_US))


def test_a_reboot_is_gone_and_comes_back_with_uptime_0() -> None:
    device, now = of("whatsminer"), Now(T_US)
    faults: dict[str, Fault] = {}

    async def scenario(sockets: Served, _: Network, access: Access) -> None:
        async def poll() -> Reading:
            return await registry.read(device.address, "whatsminer", access)

        before = await poll()
        faults[device.address] = Fault.REBOOT
        await sockets.sync()
        with pytest.raises(DeviceError) as caught:
            await poll()
        assert caught.value.kind is FailureKind.UNREACHABLE
        now.t_us += 15_000_000
        await sockets.sync()
        after = await poll()
        assert (before.mac, before.serial) == (after.mac, after.serial)
        assert (before.uptime_s or 0) > 86_400
        assert (after.uptime_s, after.pools[0].accepted) == (0, 0)
        del faults[device.address]
        now.t_us += 90_000_000
        await sockets.sync()
        assert (await poll()).uptime_s == 90

    rehearse(faults, scenario, now)


def test_a_swap_exchanges_two_addresses_and_back() -> None:
    one, other = of("luxos"), of("avalon")
    faults: dict[str, Fault] = {}

    async def scenario(sockets: Served, _: Network, access: Access) -> None:
        async def macs() -> list[str | None]:
            found = []
            for address in (one.address, other.address):
                family = await registry.identify(address, access)
                found.append((await registry.read(address, family, access)).mac)
            return found

        assert await macs() == [one.mac, other.mac]
        faults.update({one.address: Fault.SWAP, other.address: Fault.SWAP})
        await sockets.sync()
        assert await macs() == [other.mac, one.mac]
        faults.clear()
        await sockets.sync()
        assert await macs() == [one.mac, other.mac]

    rehearse(faults, scenario, Now(T_US))


def test_faults_come_and_go_by_themselves() -> None:
    device = of("whatsminer")
    faults: dict[str, Fault] = {}

    async def scenario(_: Served, network: Network, __: Access) -> None:
        assert await raw_reply(device, network)
        faults[device.address] = Fault.HALF  # at once
        with pytest.raises(ValueError):
            json.loads((await raw_reply(device, network)).rstrip(b"\0"))
        faults[device.address] = Fault.REFUSE  # within the quarter of a second of the follower
        await asyncio.sleep(0.6)
        with pytest.raises(ConnectionRefusedError):
            await raw_reply(device, network)
        faults.clear()
        await asyncio.sleep(0.6)
        assert await raw_reply(device, network)

    rehearse(faults, scenario, Now(T_US))


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ("*:silence", 60),
        ("%20:silence", 12),
        ("*%50:nan", 30),
        ("%1:drip", 1),
        ("%100:half", 60),
        (f"{PLAN.devices[3].address}:reset", 1),
        (f"{PLAN.devices[3].address}, {PLAN.devices[9].address}:swap", 2),
        ("avalon:junk", sum(device.model.family == "avalon" for device in PLAN.devices)),
        ("antminer%50:html", -(-sum(device.model.family == "antminer" for device in PLAN.devices) // 2)),
    ],
)
def test_a_fault_chooses_its_devices(spec: str, count: int) -> None:
    found = parse([spec], PLAN)
    assert len(found) == count and set(found.values()) == {Fault(spec.rpartition(":")[2])}
    assert set(found) <= {device.address for device in PLAN.devices}


def test_a_later_fault_replaces_an_earlier_one() -> None:
    found = parse(["*:silence", "avalon:nan"], PLAN)
    assert found[of("avalon").address] is Fault.NAN and found[of("luxos").address] is Fault.SILENCE


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("silence", "write WHO:WHAT"),
        ("*:sleepy", "'sleepy' is none of refuse, silence"),
        ("%0:half", "'0' is no share"),
        ("%x:half", "'x' is no share"),
        ("toaster%5:half", "'toaster' is no family"),
        ("10.0.0.1:half", "'10.0.0.1' is no device's address"),
        (f"{PLAN.devices[0].address}:swap", "takes two devices"),
    ],
)
def test_a_wrong_fault_is_told(spec: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse([spec], PLAN)
    assert repr(spec) in str(caught.value)
