"""A press of the "IP report" button is heard, whatever the maker; anything else on the port does no harm."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.listen import MAX_WAITING, REPEATED_S, Announcement, Heard, listen, parse

MAC = "02:aa:bb:cc:dd:ee"


@pytest.mark.parametrize(
    ("data", "port", "told"),
    [
        (b"10.1.0.17,02:AA:BB:CC:DD:EE", 14235, Announcement("10.1.0.17", MAC, "Antminer")),
        (b"10.1.0.17,02:aa:bb:cc:dd:ee\0", 14235, Announcement("10.1.0.17", MAC, "Antminer")),
        (b"[10.1.0.17/24,02-AA-BB-CC-DD-EE]", 14235, Announcement("10.1.0.17", MAC, "Antminer")),
        (b"IP:10.1.0.17MAC:02:AA:BB:CC:DD:EE\n", 8888, Announcement("10.1.0.17", MAC, "Whatsminer")),
        (b"IP:10.1.0.17MAC:AC:AA:BB:CC:DD:EE", 8888,
         Announcement("10.1.0.17", "ac:aa:bb:cc:dd:ee", "Whatsminer")),
        (b"10.1.0.17,02aabbccddee", 14235, Announcement("10.1.0.17", MAC, "Antminer")),
        (b'{"ip":"10.1.0.17","mac":"02:aa:bb:cc:dd:ee","model":"Avalon Q"}', 14235,
         Announcement("10.1.0.17", MAC, "Avalon")),
        (b"02:aa:bb:cc:dd:ee", 14235, Announcement("10.9.9.9", MAC, "Antminer")),
        (b"0.0.0.0,02:aa:bb:cc:dd:ee", 14235, Announcement("10.9.9.9", MAC, "Antminer")),
        (b"10.1.0.17", 14235, Announcement("10.1.0.17", None, "Antminer")),
        (b"10.1.0.17,00:00:00:00:00:00", 4711, Announcement("10.1.0.17", None, None)),
    ],
)  # fmt: skip
def test_what_makers_send(data: bytes, port: int, told: Announcement) -> None:
    assert parse(data, "10.9.9.9", port) == told


@pytest.mark.parametrize(
    "data", [b"", b"OK\0\0\0\0\0\0\0\0", b"\xff\xfe", b"999.1.2.3", b"255.255.255.255", b"1.2.3.4.5"]
)
def test_what_announces_nobody(data: bytes) -> None:
    assert parse(data, "10.9.9.9", 14235) is None


@given(st.binary(max_size=3000))
def test_no_datagram_breaks_the_listener(data: bytes) -> None:
    announced = parse(data, "10.9.9.9", 14235)
    assert announced is None or socket.inet_aton(announced.address)


def test_datagrams_on_real_ports_are_heard_once_a_press() -> None:
    async def scenario() -> None:
        async with listen([0, 0], host="127.0.0.1") as heard:
            assert len(heard.ports) == 2
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for port in heard.ports:
                    for data in (b"junk", b"10.1.0.17,02:aa:bb:cc:dd:ee"):
                        for _ in range(3):  # one press sends several
                            sender.sendto(data, ("127.0.0.1", port))
                sender.sendto(b"10.1.0.18", ("127.0.0.1", heard.ports[0]))
            first = await asyncio.wait_for(heard.get(), 5)
            second = await asyncio.wait_for(heard.get(), 5)
        assert {first.address, second.address} == {"10.1.0.17", "10.1.0.18"}

    asyncio.run(scenario())


def test_a_taken_port_is_a_warning_and_the_others_listen(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(taken: int) -> list[int]:
        async with listen([taken, 0], host="127.0.0.1") as heard:
            return heard.ports

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, caplog.at_level(logging.WARNING):
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        ports = asyncio.run(scenario(taken))
    assert len(ports) == 1 and taken not in ports
    assert f"{taken}/udp" in caplog.text


def test_a_flood_is_dropped_and_counted_not_kept() -> None:
    heard = Heard(lambda: 0.0)
    for number in range(MAX_WAITING + 50):
        heard.put(Announcement(f"10.0.{number // 250}.{number % 250}", None, None))
    assert heard.dropped == 50


def test_the_same_press_is_one_and_a_later_one_another() -> None:
    now_s = 0.0
    heard = Heard(lambda: now_s)
    announcement = Announcement("10.1.0.17", MAC, None)

    async def waiting() -> int:
        count = 0
        while True:
            try:
                await asyncio.wait_for(heard.get(), 0.01)
            except TimeoutError:
                return count
            count += 1

    heard.put(announcement)
    heard.put(announcement)
    now_s = REPEATED_S + 1
    heard.put(announcement)
    assert asyncio.run(waiting()) == 2
