"""Where the hashrate goes: changes are events, what nobody listed is an alarm, look-alikes do not pass."""

from __future__ import annotations

import pytest

from agent import sweep
from agent.identity import Roster
from agent.miners import fields
from agent.pools import ExpectedPool, PoolWatch, endpoint
from agent.readings import Reading
from agent.sweep import Outcome
from agent.wire import Event, Inventory, PoolUse

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


OLD_ADDRESS, NEW_ADDRESS = (
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
)


def paid(address: str, worker: str, url: str = "stratum+tcp://pool.example:3333") -> PoolUse:
    return PoolUse(url, f"{address}.{worker}", True, address)


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (paid(OLD_ADDRESS, "2"), "worker"),
        (paid(NEW_ADDRESS, "1"), "account,address"),
        (paid(OLD_ADDRESS, "1", "stratum+tcp://other.example:3333"), "pool"),
        (use(user="farm.1"), "account,address"),
    ],
)
def test_a_change_says_whether_pool_account_worker_or_address_changed(now: PoolUse, changed: str) -> None:
    watch = PoolWatch([])
    watch.take(inventory(paid(OLD_ADDRESS, "1")))
    (event,) = watch.take(inventory(now))
    assert event.detail["changed"] == changed
    assert ("old_address" in event.detail) is ("address" in changed)
    if "address" in changed:
        assert (event.detail["old_address"], event.detail["new_address"]) == (
            OLD_ADDRESS,
            now.address or "none",
        )


def test_pools_in_another_order_are_a_change_of_order() -> None:
    watch = PoolWatch([])
    first, second = use(), use(url="stratum+tcp://backup.example:3333")
    watch.take(inventory(first, second))
    (event,) = watch.take(inventory(second, first))
    assert (event.kind, event.detail["changed"]) == ("pool_changed", "order")


def test_a_developers_fee_pool_of_a_reading_stays_one_on_its_way_to_the_alarm() -> None:
    """From the bytes that a device sends: neither the fee nor its coming and going is an alarm."""
    rows = [
        {"POOL": 0, "URL": "pool.example:3333", "User": "farm.1", "Status": "Alive", "Stratum Active": True},
        {"POOL": 1, "URL": "DevFee", "User": "DevFee", "Status": "Alive", "Stratum Active": True},
    ]
    pools, _ = fields.pools({"POOLS": rows})
    roster, watch = Roster(), PoolWatch([OURS])
    for at_us, told in enumerate((pools, pools[:1], pools)):
        reading = Reading(at_us, "vnish", serial="S1", uptime_s=1, pools=told)
        records, _ = sweep.records(0, 60, [Outcome("10.0.0.1", reading)], roster, pools=watch)
        assert not [r for r in records if isinstance(r, Event) and r.kind.startswith("pool")]
    (told,) = roster.devices
    assert [(pool.url, pool.fee, pool.priority) for pool in told.pools] == [
        ("pool.example:3333", None, 0),
        ("DevFee", True, 1),
    ]


def test_a_pool_that_only_claims_a_developer_as_its_user_is_an_alarm() -> None:
    rows = [{"POOL": 0, "URL": "stratum+tcp://evil.example:1", "User": "DevFee", "Stratum Active": True}]
    (pool,), _ = fields.pools({"POOLS": rows})
    assert pool.fee is None
    found = PoolWatch([OURS]).take(inventory(PoolUse(pool.url, pool.user, True, None, pool.fee)))
    assert [event.kind for event in found] == ["pool_unexpected"]
