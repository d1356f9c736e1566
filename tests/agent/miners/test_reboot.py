"""What a device that cannot be read says of itself: booting, closed, a wrong password, or nobody there."""

from __future__ import annotations

import pytest

from agent.miners import antminer, braiins_web, registry, vnish
from agent.miners.reboot import look_closer
from agent.readings import DeviceError, FailureKind, ProtocolError, Refused, Unreachable
from agent.transports.access import Access
from tests.agent.miners.faking import CLOSED_PORT, Device

DENIED = {"STATUS": [{"STATUS": "E", "Code": 45, "Msg": "Access denied to 'summary' command"}]}
CGMINER_FAMILIES = ("antminer", "whatsminer", "avalon", "luxos", "braiins", "vnish", "epic")


def kind(family: str, device: Device, **credentials: tuple[str, str]) -> FailureKind:
    """As the agent polls a device that it knows."""

    async def poll(access: Access) -> FailureKind:
        try:
            await registry.read("127.0.0.1", family, access)
        except DeviceError as error:
            return (await look_closer("127.0.0.1", family, access, error)).kind
        raise AssertionError("it was read")

    found: FailureKind = device.serve(poll, credentials=credentials or None)
    return found


@pytest.mark.parametrize("family", CGMINER_FAMILIES)
def test_a_web_that_answers_beside_a_port_that_refuses_is_a_reboot(family: str) -> None:
    assert kind(family, Device()) is FailureKind.REBOOTING


@pytest.mark.parametrize("family", ["whatsminer", "avalon", "luxos"])
def test_an_api_that_denies_access_is_locked(family: str) -> None:
    commands = {"summary": DENIED, "pools": DENIED, "stats": DENIED, "litestats": DENIED}
    assert kind(family, Device(commands=commands, joins=False)) is FailureKind.LOCKED


@pytest.mark.parametrize("family", ["antminer", "braiins", "vnish"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_web_that_refuses_our_password_is_no_lock(family: str, status: int) -> None:
    paths = [*antminer.WEB_PAGES.values(), antminer.SYSTEM_INFO, antminer.MINER_CONF]
    pages = dict.fromkeys([*paths, braiins_web.LOGIN, vnish.SUMMARY, vnish.UNLOCK], status)
    assert kind(family, Device(pages), **{family: ("root", "wrong")}) is FailureKind.AUTH


def test_a_page_that_is_closed_to_everybody_is_locked() -> None:
    assert kind("axeos", Device({"/api/system/info": 401})) is FailureKind.LOCKED


def test_a_web_server_without_the_program_behind_it_is_a_reboot() -> None:
    assert kind("axeos", Device({"/api/system/info": 503})) is FailureKind.REBOOTING


@pytest.mark.parametrize("family", ["axeos", "foreign", "a-family-of-tomorrow"])
def test_a_family_without_an_api_beside_its_web_is_never_said_to_boot(family: str) -> None:
    async def look(access: Access) -> None:
        error = ProtocolError("HTTP 500")
        assert await look_closer("127.0.0.1", family, access, error) is error

    Device().serve(look)


def test_a_host_that_refuses_everything_stays_unreachable() -> None:
    async def look(access: Access) -> None:
        network = access.network
        object.__setattr__(network, "http_port", CLOSED_PORT)
        error = Refused("4028/tcp: Connection refused")
        assert await look_closer("127.0.0.1", "antminer", access, error) is error

    Device().serve(look)


def test_what_is_no_refusal_is_not_looked_at_again() -> None:
    async def look(access: Access) -> None:
        error = Unreachable("no answer to the connection")
        assert await look_closer("192.0.2.1", "antminer", access, error) is error

    Device().serve(look)
