"""A scan finds every device that is there, whatever stands between them; and it minds its pace."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import scan
from agent.pace import Pace
from agent.readings import AuthError, DeviceError, DeviceTimeout, Reading, Unreachable
from agent.scan import Result
from agent.sweep import Poll
from demo.processes import free_ports
from tests.ports import free_port


def found_at(address: str) -> Reading:
    return Reading(0, "antminer", serial=address)


async def instant(address: str, family: str | None, full: bool) -> Reading:
    return found_at(address)


def run(hosts: list[str], port: int, poll: Poll = instant, **settings: float) -> tuple[list[str], list[str]]:
    """(found, all that was told of), in the order told."""
    told: list[str] = []

    def progress(host: str, _result: Result) -> None:
        told.append(host)

    found = asyncio.run(
        scan.scan(
            hosts, (port,), poll, concurrency=int(settings.get("concurrency", 50)),
            connect_timeout_s=settings.get("connect_timeout_s", 0.3),
            deadline_s=settings.get("deadline_s", 0.2), progress=progress,
            silent_per_s=settings.get("silent_per_s", 2000.0),
        )
    )  # fmt: skip
    return list(found), told


@contextlib.contextmanager
def silent(address: str, port: int) -> Iterator[None]:
    """An address that answers no connection: its listener's queue is full, so the kernel drops what comes."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            client = open_sockets.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((address, port))
        yield


def test_all_of_hundreds_of_devices_in_a_22_are_found_among_refusing_and_silent_ones() -> None:
    port = free_port()
    hosts = list(scan.addresses(["127.91.4.0/22"]))
    shuffled = random.Random(1).sample(hosts, 330)
    devices, mute, dead = set(shuffled[:300]), shuffled[300:320], shuffled[320:]

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        reader, writer = await asyncio.open_connection(address, port)
        try:
            said = await reader.readline()
        finally:
            writer.close()
        return found_at(said.decode().strip())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        if address in devices:
            writer.write(f"{address}\n".encode())
        else:
            await reader.read()  # accepts and says nothing, until the client gives up
        writer.close()

    async def scenario() -> dict[str, Reading]:
        servers = [await asyncio.start_server(answer, a, port) for a in [*devices, *mute]]
        try:
            return await scan.scan(
                hosts, (port,), poll, concurrency=100, connect_timeout_s=0.5, deadline_s=0.5,
                progress=lambda host, _result: told.append(host),
            )  # fmt: skip
        finally:
            for server in servers:
                server.close()

    told: list[str] = []
    with contextlib.ExitStack() as stack:
        for address in dead:
            stack.enter_context(silent(address, port))
        found = asyncio.run(scenario())
    assert set(found) == devices
    assert all(reading.serial == host for host, reading in found.items())
    assert sorted(told) == sorted(hosts)  # each once


def test_what_failed_at_first_is_tried_once_more() -> None:
    """A device that timed out, and one whose port opened only while the first round ran."""
    port, asked = free_port(), list[str]()
    late = socket.socket()
    late.bind(("127.92.0.1", port))

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        asked.append(address)
        if address == "127.92.0.2" and asked.count(address) == 1:
            late.listen(5)
            raise DeviceTimeout("too much at once")
        return found_at(address)

    with late, socket.create_server(("127.92.0.2", port)):
        found, told = run(["127.92.0.1", "127.92.0.2"], port, poll, concurrency=1)
    assert found == ["127.92.0.1", "127.92.0.2"]
    assert sorted(told) == ["127.92.0.1", "127.92.0.2"]
    assert asked.count("127.92.0.2") == 2


@pytest.mark.parametrize(("error", "times"), [(AuthError("no"), 1), (Unreachable("gone"), 2)])
def test_a_refused_password_is_not_tried_again_and_a_lost_connection_is(
    error: DeviceError, times: int
) -> None:
    port, asked = free_port(), list[str]()

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        asked.append(address)
        raise error

    with socket.create_server(("127.92.0.3", port)):
        assert run(["127.92.0.3"], port, poll) == ([], ["127.92.0.3"])
    assert len(asked) == times


def test_a_device_whose_first_port_drops_is_found_at_its_second() -> None:
    first, second = free_ports(2)
    with silent("127.92.0.4", first), socket.create_server(("127.92.0.4", second)):
        found = asyncio.run(
            scan.scan(
                ["127.92.0.4"], (first, second), instant, concurrency=4, connect_timeout_s=0.2,
                deadline_s=1, progress=lambda *_: None,
            )
        )  # fmt: skip
    assert list(found) == ["127.92.0.4"]


def test_no_more_are_identified_at_a_time_than_the_processor_bears() -> None:
    port = free_port()
    hosts = [f"127.93.0.{n}" for n in range(1, 151)]
    now = most = 0

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return found_at(address)

    with contextlib.ExitStack() as servers:
        for host in hosts:
            servers.enter_context(socket.create_server((host, port)))
        found, _ = run(hosts, port, poll, concurrency=150, deadline_s=5)
    assert len(found) == 150
    assert most <= scan.MAX_IDENTIFYING


def test_a_programming_error_ends_the_scan() -> None:
    port = free_port()

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        raise KeyError(address)

    with socket.create_server(("127.0.0.1", port)), pytest.raises(ExceptionGroup):
        run(["127.0.0.1"], port, poll)


def test_the_pace_is_kept_except_for_turns_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, slept = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds
        slept.append(seconds)

    async def scenario() -> None:
        pace = Pace(10.0, lambda: now_s)
        for _ in range(10):
            await pace.turn()  # one second's worth at once
        assert slept == []
        for _ in range(20):
            await pace.turn()
        assert sum(slept) == pytest.approx(2.0)
        slept.clear()
        for _ in range(50):
            pace.give_back()
            await pace.turn()
        assert slept == []

    monkeypatch.setattr("agent.pace.asyncio.sleep", sleep)
    asyncio.run(scenario())


# ---- addresses


def test_the_networks_take_turns_and_the_excluded_are_never_touched() -> None:
    got = list(scan.addresses(["10.0.0.0/29", "10.0.1.0/30"], ["10.0.0.2", "10.0.0.4/31"]))
    assert got == ["10.0.0.1", "10.0.1.1", "10.0.0.3", "10.0.1.2", "10.0.0.6"]


def test_a_network_within_another_is_not_scanned_twice_and_broadcasts_stay_out() -> None:
    got = list(scan.addresses(["10.0.0.0/30", "10.0.0.0/29", "10.0.0.0/29", "10.0.0.8/29"]))
    assert len(got) == len(set(got)) == 12
    assert "10.0.0.7" not in got and "10.0.0.8" not in got


def test_a_single_address_and_a_pair_are_networks_too() -> None:
    assert list(scan.addresses(["10.0.0.5"])) == ["10.0.0.5"]
    assert list(scan.addresses(["10.0.0.4/31"])) == ["10.0.0.4", "10.0.0.5"]


def test_too_many_addresses_are_refused_with_the_number() -> None:
    with pytest.raises(ValueError, match="16777216 addresses"):
        list(scan.addresses(["10.0.0.0/8"]))


networks = st.builds(
    lambda low, bits: f"{ipaddress.IPv4Address(0x0A000000 + low)}/{bits}",
    st.integers(0, 2**12 - 1),
    st.integers(22, 32),
)


@given(st.lists(networks, max_size=4), st.lists(networks, max_size=4))
def test_covered_is_what_the_scan_would_visit(wanted: list[str], exclude: list[str]) -> None:
    barred = [ipaddress.ip_network(n, strict=False) for n in exclude]
    visited = set(scan.addresses(wanted, exclude))
    covered = scan.covers(wanted, exclude)
    assert all(covered(host) for host in visited)
    assert not any(ipaddress.ip_address(host) in net for host in visited for net in barred)
    assert not covered("192.0.2.1") and not covered("no address")


def test_interleaving_keeps_each_networks_own_order() -> None:
    got = [ipaddress.ip_address(a) for a in scan.addresses(["10.0.0.0/26", "10.0.9.0/27"])]
    for prefix in ("10.0.0.0/24", "10.0.9.0/24"):
        own = [a for a in got if a in ipaddress.ip_network(prefix)]
        assert all(a < b for a, b in pairwise(own))
