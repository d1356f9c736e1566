"""The plan is fixed by its arguments, and its month has everything in it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import bitcoin

from agent.payout import payee
from agent.simulator.bech32 import p2wpkh
from agent.simulator.life import life
from agent.simulator.model import FOREVER_US, EventKind, FarmPlan
from agent.simulator.plan import MAX_DEVICES_PER_SITE, MIN_MINERS, month_bounds_us, plan

HOUR_US = 3_600_000_000
QUIET_US = 2 * HOUR_US

seeds = st.integers(0, 500)
sizes = st.integers(MIN_MINERS, 60)
months = st.sampled_from(["2026-02", "2026-10", "2026-12", "2027-01"])


@cache
def cached_plan(seed: int, miners: int, month: str) -> FarmPlan:
    return plan(seed, miners, month)


def test_the_published_vector_of_bip173() -> None:
    program = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")
    assert p2wpkh(program) == "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


@given(st.binary(min_size=20, max_size=20))
def test_every_address_is_valid(program: bytes) -> None:
    assert bitcoin.is_valid(p2wpkh(program))


def test_a_program_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        p2wpkh(bytes(32))


@given(seeds, sizes, months)
def test_the_same_arguments_give_the_same_plan(seed: int, miners: int, month: str) -> None:
    assert plan(seed, miners, month) == cached_plan(seed, miners, month)


def test_seeds_differ_and_a_device_is_itself_in_every_month() -> None:
    october, november = plan(7, 12, "2026-10"), plan(7, 12, "2026-11")
    assert [d.key for d in october.devices] == [d.key for d in november.devices]
    assert october.events != november.events
    assert {d.key for d in october.devices}.isdisjoint(d.key for d in plan(8, 12, "2026-10").devices)


@pytest.mark.parametrize("miners", [MIN_MINERS - 1, 3 * MAX_DEVICES_PER_SITE + 1])
def test_a_size_out_of_range_is_refused(miners: int) -> None:
    with pytest.raises(ValueError, match="miners"):
        plan(7, miners, "2026-10")


def test_the_month_is_the_sites_own() -> None:
    start_us, end_us = month_bounds_us("2026-12", "Asia/Tehran")
    assert start_us == 1_796_070_600_000_000  # 2026-11-30T20:30:00Z
    assert end_us - start_us == 31 * 24 * HOUR_US
    assert ZoneInfo("Asia/Tehran").key == plan().site("ir").zone


@given(seeds, sizes, months)
@settings(max_examples=60)
def test_the_whole_story_is_there(seed: int, miners: int, when: str) -> None:
    farm = cached_plan(seed, miners, when)
    kinds = Counter(event.kind for event in farm.events)
    assert len(farm.devices) == miners + 1  # and the one in store
    assert kinds.pop(EventKind.POWER_LOSS) >= 3
    assert kinds == dict.fromkeys(set(EventKind) - {EventKind.POWER_LOSS}, 1)
    one = {event.kind: event for event in farm.events}
    for kind, site in ((EventKind.NETWORK_OUTAGE, "kz"), (EventKind.UPLINK_OUTAGE, "ru")):
        assert (one[kind].site, one[kind].end_us - one[kind].start_us) == (site, 7 * HOUR_US)
    assert farm.uplink_outages == {
        "ru": (one[EventKind.UPLINK_OUTAGE].start_us, one[EventKind.UPLINK_OUTAGE].end_us)
    }
    assert farm.device(one[EventKind.SLEEP].mac or "").model.family == "whatsminer"
    assert {device.model.family for device in farm.devices} == {"antminer", "whatsminer", "axeos"}
    for event in farm.events:
        month = farm.site(event.site)
        assert month.start_us + QUIET_US <= event.start_us < event.end_us <= month.end_us - QUIET_US
    for device in farm.devices:
        mine = [e for e in farm.events if e.mac == device.mac or (e.mac is None and e.site == device.site)]
        assert all(a.end_us <= b.start_us for a, b in pairwise(mine))


@given(seeds, sizes)
@settings(max_examples=60)
def test_a_swap_has_two_serials_at_one_address_and_a_move_one_serial_at_two(seed: int, miners: int) -> None:
    farm = cached_plan(seed, miners, "2026-10")
    swap = next(event for event in farm.events if event.kind is EventKind.SWAP)
    gone, came = farm.device(swap.mac or ""), farm.device(swap.successor or "")
    assert gone.serial and came.serial and gone.serial != came.serial
    assert gone.mac != came.mac and gone.address == came.address
    assert life(farm, gone)[-1].end_us == swap.start_us
    assert life(farm, came)[0].start_us == swap.end_us > swap.start_us
    move = next(event for event in farm.events if event.kind is EventKind.ADDRESS_CHANGE)
    moved = farm.device(move.mac or "")
    assert moved.serial
    assert [piece.address for piece in life(farm, moved) if piece.end_us == move.start_us] == [moved.address]
    assert life(farm, moved)[-1].address == move.address != moved.address


@given(seeds, st.sampled_from([6, 12, 60, 600]))
@settings(max_examples=20)
def test_nobody_shares_an_address_or_an_identity(seed: int, miners: int) -> None:
    farm = cached_plan(seed, miners, "2026-10")
    assert len({device.mac for device in farm.devices}) == len({d.key for d in farm.devices}) == miners + 1
    held: dict[str, list[tuple[int, int]]] = {}
    for device in farm.devices:
        for piece in life(farm, device):
            held.setdefault(piece.address, []).append((piece.start_us, piece.end_us))
    for spans in held.values():
        assert all(a[1] <= b[0] for a, b in pairwise(sorted(spans)))


def test_before_the_month_everybody_but_the_one_in_store_is_up() -> None:
    farm = plan()
    for device in farm.devices[:-1]:
        first = life(farm, device)[0]
        assert first.start_us < farm.site(device.site).start_us - 24 * HOUR_US
        assert first.end_us >= farm.site(device.site).start_us + QUIET_US
    assert life(farm, farm.devices[-1])[-1].end_us == FOREVER_US


def test_pool_users_name_the_payout_identifier() -> None:
    farm = plan()
    for device in farm.devices:
        site = farm.site(device.site)
        assert all(pool.user.startswith(f"{site.payout_identifier}.") for pool in device.pools)
        paid_to = payee(device.pools[0].user).address
        assert paid_to == (site.payout_identifier if site.payout_kind == "onchain" else None)
