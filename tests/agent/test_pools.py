"""Where the hashrate goes: changes are events, what nobody listed is an alarm, look-alikes do not pass."""

from __future__ import annotations

import pytest

from agent.pools import ExpectedPool, PoolWatch, endpoint
from agent.wire import Inventory, PoolUse

OURS = ExpectedPool("pool.example", 3333, r"farm\..*")


def inventory(*pools: PoolUse, at_us: int = 1) -> Inventory:
    return Inventory(at_us, b"d" * 16, "10.0.0.1", "antminer", pools=list(pools))


def use(url: str = "stratum+tcp://pool.example:3333", user: str = "farm.1", active: bool = True) -> PoolUse:
    return PoolUse(url, user, active, None)


def test_the_first_sight_is_no_change_and_the_same_again_is_silence() -> None:
    watch = PoolWatch([OURS])
    assert watch.take(inventory(use())) == [] == watch.take(inventory(use()))


@pytest.mark.parametrize("changed", [use(user="thief.1"), use(url="stratum+tcp://evil.example:3333")])
def test_a_changed_user_or_host_is_an_event_with_old_and_new_and_an_alarm(changed: PoolUse) -> None:
    watch = PoolWatch([OURS])
    watch.take(inventory(use()))
    events = watch.take(inventory(changed, at_us=9))
    assert [event.kind for event in events] == ["pool_changed", "pool_unexpected"]
    assert events[0].detail["old"] == "stratum+tcp://pool.example:3333 farm.1"
    assert changed.user in events[0].detail["new"] and events[0].at_us == 9
    assert watch.unexpected_count == 1
    assert watch.take(inventory(changed)) == []  # told once
    assert [event.kind for event in watch.take(inventory(use()))] == ["pool_changed"]
    assert watch.unexpected_count == 0


def test_a_change_while_the_agent_was_down_is_noticed() -> None:
    watch = PoolWatch([], known=[inventory(use())])
    assert [e.kind for e in watch.take(inventory(use(user="thief.1")))] == ["pool_changed"]


def test_a_failover_is_a_switch_and_no_change() -> None:
    watch = PoolWatch([])
    first, second = use(), use(url="stratum+tcp://backup.example:3333", active=False)
    watch.take(inventory(first, second))
    events = watch.take(inventory(use(active=False), PoolUse(second.url, second.user, True, None)))
    assert [event.kind for event in events] == ["pool_switched"]


@pytest.mark.parametrize(
    "url",
    [
        "stratum+tcp://pool.example.evil.net:3333",
        "stratum+tcp://evil.net/pool.example:3333",
        "stratum+tcp://pool.example@evil.net:3333",
        "stratum+tcp://pool.example:3334",
        "stratum+tcp://xpool.example:3333",
        "stratum+tcp://pool.example",
        "nonsense",
    ],
)
def test_a_look_alike_does_not_pass(url: str) -> None:
    assert not OURS.covers(use(url=url))


def test_a_user_must_fit_whole() -> None:
    assert OURS.covers(use(url="STRATUM+SSL://Pool.Example:3333", user="farm.77"))
    assert not OURS.covers(use(user="xfarm.1")) and not OURS.covers(use(user="farm"))


def test_a_developers_fee_pool_is_no_alarm() -> None:
    fee = PoolUse("stratum+tcp://fee.example:443", "devfee", False, None, True)
    assert PoolWatch([OURS]).take(inventory(use(), fee)) == []


def test_with_no_list_nothing_is_off_the_list() -> None:
    assert PoolWatch([]).take(inventory(use(url="stratum+tcp://any.example:1"))) == []


def test_endpoint_with_and_without_a_scheme() -> None:
    assert endpoint("pool.example:3333") == ("pool.example", 3333) == endpoint("tcp://pool.example:3333/x")
    assert endpoint("") is None is endpoint("stratum+tcp://pool.example:port")
