"""Identity: addresses come and go, a device stays; weak keys never merge two."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import identity
from agent.identity import Roster
from agent.matching import normal_serial
from agent.readings import Pool, Reading
from agent.wire import Event, Inventory, Record

M1, M2, M3 = (f"02:00:00:00:00:0{n}" for n in (1, 2, 3))
BOARDS_A, BOARDS_B = ("A-1", "A-2", "A-3"), ("B-1", "B-2", "B-3")


def reading(
    serial: str | None,
    mac: str | None,
    at_us: int = 1,
    pool: str = "pool.example",
    boards: tuple[str, ...] = (),
    psu: str | None = None,
    uptime_s: int | None = None,
) -> Reading:
    return Reading(
        at_us, "antminer", serial=serial, mac=mac, model="Antminer S19", board_serials=boards,
        psu_serial=psu, uptime_s=uptime_s,
        pools=(Pool(f"stratum+tcp://{pool}:3333", "account.worker", True),),
    )  # fmt: skip


def one_sweep(roster: Roster, **seen: Reading) -> tuple[dict[str, bytes], list[Record]]:
    """A sweep in which the address `a`, `b`, ... gave these readings: address -> device, and the records."""
    claimed = roster.claims(seen.items())
    records: list[Record] = []
    devices = {}
    for address, one in seen.items():
        devices[address], news = roster.observe(address, one, None, claimed)
        records += news
    return devices, [*records, *roster.settle()]


def event(records: list[Record], kind: str) -> Event:
    (found,) = [record for record in records if isinstance(record, Event) and record.kind == kind]
    return found


def kinds(records: list[Record]) -> list[str]:
    return [record.kind for record in records if isinstance(record, Event)]


def test_a_new_device_appears_once_with_its_inventory() -> None:
    roster = Roster()
    first, records = one_sweep(roster, a=reading("S1", "02:00:00:00:00:01"))
    assert kinds(records) == ["device_appeared"]
    assert [r.serial for r in records if isinstance(r, Inventory)] == ["S1"]
    again, quiet = one_sweep(roster, a=reading("S1", "02:00:00:00:00:01", at_us=2))
    assert again == first and quiet == []


def test_a_device_that_moved_is_the_same_device() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", "02:00:00:00:00:01"))
    after, records = one_sweep(roster, b=reading("S1", "02:00:00:00:00:01", at_us=2))
    assert after["b"] == before["a"]
    assert kinds(records) == ["device_moved"]
    assert "a" not in roster.at


def test_another_device_at_the_address_replaces_the_first() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", "02:00:00:00:00:01"))
    after, records = one_sweep(roster, a=reading("S2", "02:00:00:00:00:02", at_us=2))
    assert after["a"] != before["a"]
    assert kinds(records) == ["device_appeared", "device_replaced"]
    replaced = next(r for r in records if isinstance(r, Event) and r.kind == "device_replaced")
    assert replaced.device == before["a"] and replaced.detail["by"] == after["a"].hex()


def test_two_devices_that_swap_addresses_are_neither_new_nor_replaced() -> None:
    roster = Roster()
    one, two = reading("S1", "02:00:00:00:00:01"), reading("S2", "02:00:00:00:00:02")
    before, _ = one_sweep(roster, a=one, b=two)
    after, records = one_sweep(roster, a=two, b=one)
    assert (after["a"], after["b"]) == (before["b"], before["a"])
    assert set(kinds(records)) == {"device_moved"}
    assert roster.at == {"a": before["b"], "b": before["a"]}


def test_the_mac_stands_in_where_the_serial_is_not_told() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", "02:00:00:00:00:01"))
    after, _ = one_sweep(roster, b=reading(None, "02:00:00:00:00:01"))
    assert after["b"] == before["a"]
    assert roster.get(after["b"]).serial == "S1"  # what this reading did not tell stays known


def test_one_mac_with_two_serials_is_two_devices() -> None:
    devices, _ = one_sweep(
        Roster(), a=reading("S1", "02:00:00:00:00:01"), b=reading("S2", "02:00:00:00:00:01")
    )
    assert devices["a"] != devices["b"]


def test_one_mac_at_two_addresses_in_one_sweep_is_a_doubt_and_two_devices() -> None:
    roster = Roster()
    devices, records = one_sweep(
        roster, a=reading(None, "02:00:00:00:00:01"), b=reading(None, "02:00:00:00:00:01")
    )
    assert devices["a"] != devices["b"]
    assert "identity_doubt" in kinds(records)
    again, _ = one_sweep(roster, a=reading(None, "02:00:00:00:00:01"), b=reading(None, "02:00:00:00:00:01"))
    assert set(again.values()) == set(devices.values())


def test_devices_that_tell_nothing_are_known_by_address_and_never_merged() -> None:
    roster = Roster()
    first, _ = one_sweep(roster, a=reading(None, None), b=reading(None, None))
    assert first["a"] != first["b"]
    again, records = one_sweep(roster, a=reading(None, None, 2), b=reading(None, None, 2))
    assert again == first and kinds(records) == []


def test_a_changed_pool_is_an_inventory_record() -> None:
    roster = Roster()
    one_sweep(roster, a=reading("S1", None))
    _, records = one_sweep(roster, a=reading("S1", None, 5, pool="elsewhere.example"))
    (inventory,) = records
    assert isinstance(inventory, Inventory) and inventory.at_us == 5
    assert inventory.pools[0].url == "stratum+tcp://elsewhere.example:3333"


def test_identities_survive_a_restart_and_are_announced_anew(tmp_path: Path) -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", "02:00:00:00:00:01"), b=reading(None, None))
    one_sweep(roster, b=reading("S3", None))  # the nameless one gave way: it stands nowhere any more
    identity.save(roster, tmp_path / "devices.json")
    loaded = identity.load(tmp_path / "devices.json")
    assert loaded.at == roster.at
    after, records = one_sweep(loaded, a=reading("S1", "02:00:00:00:00:01", 9))
    assert after["a"] == before["a"]
    assert [type(r) for r in records] == [Inventory]


def test_no_roster_file_is_an_empty_roster(tmp_path: Path) -> None:
    assert identity.load(tmp_path / "none.json").devices == []


def test_a_control_board_swap_leaves_the_device_and_tells_the_evidence() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A))
    after, records = one_sweep(roster, b=reading("S2", M2, 2, boards=BOARDS_A))
    assert after["b"] == before["a"]
    assert kinds(records) == ["device_rebound", "device_moved"]
    assert event(records, "device_rebound").detail == {
        "old_serial": "S1", "serial": "S2", "old_mac": M1, "mac": M2, "address": "b", "evidence": "boards",
    }  # fmt: skip
    assert one_sweep(roster, b=reading("S2", M2, 3, boards=BOARDS_A)) == ({"b": before["a"]}, [])


def test_boards_of_a_device_that_answers_elsewhere_are_a_doubt_in_whatever_order_they_are_read() -> None:
    for order in ("ab", "ba"):
        roster = Roster()
        before, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A))
        seen = {"a": reading("S1", M1, 2), "b": reading("S2", M2, 2, boards=BOARDS_A)}
        after, records = one_sweep(roster, **{address: seen[address] for address in order})
        assert after["a"] == before["a"] != after["b"]
        assert event(records, "identity_doubt").device == after["b"]
        assert event(records, "identity_doubt").detail["candidates"] == before["a"].hex()


def test_most_of_the_boards_are_the_device_and_a_single_one_is_not() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A))
    with_one, records = one_sweep(roster, b=reading("S2", M2, 2, boards=("A-1", "X-1", "X-2")))
    assert with_one["b"] != before["a"]
    moved = event(records, "board_moved").detail
    assert moved == {"board": "A-1", "from": before["a"].hex(), "to": with_one["b"].hex()}
    assert "identity_doubt" not in kinds(records)
    with_two, _ = one_sweep(roster, c=reading("S3", M3, 3, boards=("A-2", "A-3", "X-3")))
    assert with_two["c"] == before["a"]


def test_the_board_of_a_device_with_one_board_is_the_device_unless_it_sits_among_others() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, boards=("A-1",)))
    among, _ = one_sweep(roster, b=reading("S2", M2, 2, boards=("A-1", "X-1")))
    assert among["b"] != before["a"]
    other = Roster()
    before, _ = one_sweep(other, a=reading("S1", M1, boards=("A-1",)))
    alone, _ = one_sweep(other, b=reading("S2", M2, 2, boards=("A-1",)))
    assert alone["b"] == before["a"]


def test_a_board_that_fails_for_a_while_is_not_forgotten() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A))
    assert one_sweep(roster, a=reading("S1", M1, 2, boards=BOARDS_A[:1])) == (before, [])
    travelled, _ = one_sweep(roster, b=reading("S2", M2, 3, boards=BOARDS_A[:1]))
    assert travelled["b"] != before["a"]


def test_the_serial_is_followed_where_the_boards_say_another_and_the_doubt_is_told_once(
    tmp_path: Path,
) -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A), b=reading("S2", M2, boards=BOARDS_B))
    after, records = one_sweep(roster, a=reading("S1", M1, 2, boards=BOARDS_B))
    assert after["a"] == before["a"]
    doubt = event(records, "identity_doubt")
    assert (doubt.device, doubt.detail["candidates"]) == (before["a"], before["b"].hex())
    assert kinds(records).count("board_moved") == 3
    assert one_sweep(roster, a=reading("S1", M1, 3, boards=BOARDS_B)) == (after, [])
    identity.save(roster, tmp_path / "devices.json")
    again = identity.load(tmp_path / "devices.json")
    same, records = one_sweep(again, a=reading("S1", M1, 4, boards=BOARDS_B))
    assert same == after and kinds(records) == []
    assert len(again.doubts) == 1


def test_control_boards_swapped_between_two_devices_follow_their_serials() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A), b=reading("S2", M2, boards=BOARDS_B))
    after, records = one_sweep(
        roster, a=reading("S2", M2, 2, boards=BOARDS_A), b=reading("S1", M1, 2, boards=BOARDS_B)
    )
    assert (after["a"], after["b"]) == (before["b"], before["a"])
    assert kinds(records).count("identity_doubt") == 1  # one names both; six boards tell the rest
    assert kinds(records).count("board_moved") == 6
    _, quiet = one_sweep(
        roster, a=reading("S2", M2, 3, boards=BOARDS_A), b=reading("S1", M1, 3, boards=BOARDS_B)
    )
    assert quiet == []


def test_a_serial_given_up_in_a_swap_is_a_doubt_when_it_comes_back() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A))
    one_sweep(roster, a=reading("S2", M2, 2, boards=BOARDS_A))
    after, records = one_sweep(roster, a=reading("S2", M2, 3, boards=BOARDS_A), b=reading("S1", M1, 3))
    assert after["a"] == before["a"] != after["b"]
    assert event(records, "identity_doubt").detail["evidence"] == "serial that the device bore before"
    # The first control board is put back into the device that it came from:
    back, _ = one_sweep(Roster(roster.devices[:1]), a=reading("S1", M1, 4, boards=BOARDS_A))
    assert back["a"] == before["a"]


def test_a_copied_mac_is_no_key_for_devices_that_tell_serials() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1), b=reading("S2", M1), c=reading("S3", M1))
    after, records = one_sweep(roster, d=reading("S2", M1, 2), e=reading("S1", M1, 2))
    assert (after["d"], after["e"]) == (before["b"], before["a"])
    unknown, records = one_sweep(roster, f=reading("S4", M1, 3))
    assert unknown["f"] not in before.values() and "identity_doubt" not in kinds(records)


def test_a_mac_that_comes_with_another_serial_is_a_doubt_while_its_device_is_away() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1))
    after, records = one_sweep(roster, b=reading("S2", M1, 2))
    assert after["b"] != before["a"]
    assert event(records, "identity_doubt").detail["evidence"] == "mac of a device with another serial"


def test_a_device_that_learns_to_tell_its_serial_is_bound_to_it() -> None:
    roster = Roster()  # Braiins tells serials from 25.03 on
    before, _ = one_sweep(roster, a=reading(None, M1))
    after, records = one_sweep(roster, a=reading("S1", M1, 2))
    assert after == before
    assert event(records, "device_rebound").detail["evidence"] == "mac"


@pytest.mark.parametrize("other", ["0012AB34", "12ab34"])
def test_a_serial_padded_in_front_or_in_other_case_is_the_same_and_the_fuller_form_stays(other: str) -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("012AB34", None))
    after, records = one_sweep(roster, b=reading(other, None, 2))
    assert after["b"] == before["a"] and kinds(records) == ["device_moved"]
    assert normal_serial(roster.get(after["b"]).serial or "") == "12AB34"
    assert roster.get(after["b"]).serial == ("0012AB34" if other == "0012AB34" else "012AB34")


def test_zeros_at_the_end_of_a_serial_are_digits() -> None:
    roster = Roster()
    devices, _ = one_sweep(roster, a=reading("12AB340", None), b=reading("12AB34", None))
    assert devices["a"] != devices["b"]


def test_one_serial_at_two_addresses_is_two_devices_and_the_one_that_stays_keeps_its_name() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", None))
    after, records = one_sweep(roster, b=reading("S1", None, 2), a=reading("S1", None, 2))
    assert after["a"] == before["a"] != after["b"]
    assert event(records, "identity_doubt").device == after["b"]
    assert one_sweep(roster, b=reading("S1", None, 3), a=reading("S1", None, 3)) == (after, [])


def test_a_supply_alone_is_a_doubt_and_never_a_device() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, psu="P1"))
    after, records = one_sweep(roster, b=reading(None, None, 2, psu="P1"))
    assert after["b"] != before["a"]
    assert event(records, "identity_doubt").detail["evidence"] == "psu alone"


def test_a_supply_that_changes_is_an_event_with_both_devices() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, psu="P1"), b=reading("S2", M2, psu="P2"))
    after, records = one_sweep(roster, b=reading("S2", M2, 2, psu="P1"))
    assert after["b"] == before["b"] and kinds(records) == ["psu_changed"]
    changed = event(records, "psu_changed").detail
    assert changed == {
        "psu": "P1", "old_psu": "P2", "from": before["a"].hex(), "to": before["b"].hex(),
    }  # fmt: skip


def test_boards_that_bear_one_serial_stop_being_keys_and_stop_making_events() -> None:
    roster = Roster()
    counts = []
    for n in range(6):
        _, records = one_sweep(
            roster,
            a=reading("S1", M1, n, pool=f"p{n}", boards=("COPY",)),
            b=reading("S2", M2, n, pool=f"p{n}", boards=("COPY",)),
        )
        counts.append(len([kind for kind in kinds(records) if kind in ("board_moved", "identity_doubt")]))
    assert counts[3:] == [0, 0, 0]
    travelled, _ = one_sweep(roster, c=reading("S3", M3, 9, boards=("COPY",)))
    assert travelled["c"] not in (roster.at["a"], roster.at["b"])


def test_a_device_that_ran_on_is_itself_while_it_tells_no_key_and_another_start_is_a_doubt() -> None:
    second_us = 1_000_000
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1, 1000 * second_us, uptime_s=500))
    ran_on, records = one_sweep(roster, a=reading(None, None, 2000 * second_us, uptime_s=1500))
    assert ran_on == before and kinds(records) == []
    restarted, records = one_sweep(roster, a=reading(None, None, 3000 * second_us, uptime_s=20))
    assert restarted["a"] != before["a"]
    assert event(records, "identity_doubt").detail["evidence"] == "address alone"


def test_an_unchanged_reading_costs_microseconds() -> None:
    roster, count = Roster(), 2_000
    told = {
        f"10.0.{n >> 8}.{n & 255}": reading(f"SN{n:05}", None, boards=(f"{n}-1", f"{n}-2", f"{n}-3"))
        for n in range(count)
    }
    one_sweep(roster, **told)
    costs_us = []
    for _ in range(5):
        claimed = roster.claims(told.items())
        began_s = time.perf_counter()
        for address, one in told.items():
            roster.observe(address, one, None, claimed)
        costs_us.append((time.perf_counter() - began_s) / count * 1e6)
    assert min(costs_us) < 30, costs_us  # some 5 on one core of 2026; the first look at a device costs 60


def test_a_roster_as_the_first_version_wrote_it_still_loads(tmp_path: Path) -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1))
    path = tmp_path / "devices.json"
    path.write_bytes(msgspec.json.encode(roster.devices))
    assert one_sweep(identity.load(path), a=reading("S1", M1, 2))[0] == before


def test_a_restored_roster_polls_its_own_addresses_only() -> None:
    first = Roster()
    before, _ = one_sweep(first, a=reading("S1", M1), b=reading("S2", M2))
    box = Roster()
    restored = box.restore(first.devices, {"a"}, 5)
    assert (restored.kind, restored.detail) == ("roster_restored", {"devices": "2"})
    assert box.at == {"a": before["a"]}
    after, records = one_sweep(box, a=reading("S1", M1, 9), c=reading("S2", M2, 9))
    assert (after["a"], after["c"]) == (before["a"], before["b"])
    assert kinds(records) == []


# ---- whatever happens: two that answered in one sweep are two for good, and a serial keeps its device

UNITS = 5
MACS = st.sampled_from([M1, M2, *(f"02:00:00:00:01:0{n}" for n in range(UNITS))])
ACTION = st.one_of(
    st.tuples(st.just("move"), st.integers(0, UNITS - 1), st.integers(0, 7)),
    st.tuples(st.just("silent"), st.integers(0, UNITS - 1), st.just(0)),
    st.tuples(st.just("answer"), st.integers(0, UNITS - 1), st.just(0)),
    st.tuples(st.just("new control board"), st.integers(0, UNITS - 1), st.just(0)),
    st.tuples(st.just("board travels"), st.integers(0, UNITS - 1), st.integers(0, UNITS - 1)),
    st.tuples(st.just("boards untold"), st.integers(0, UNITS - 1), st.just(0)),
    st.tuples(st.just("sweep"), st.just(0), st.just(0)),
)


@given(st.lists(MACS, min_size=UNITS, max_size=UNITS), st.lists(ACTION, max_size=40), st.randoms())
def test_never_are_two_that_answered_together_merged_and_a_serial_keeps_its_device(
    macs: list[str], actions: list[tuple[str, int, int]], order: object
) -> None:
    """Units of three boards under any MACs; each control board tells a serial, and each stays in its unit."""
    serials = [f"SN-{n}" for n in range(UNITS)]
    boards = [[f"{n}-{slot}" for slot in range(3)] for n in range(UNITS)]
    addresses = [f"x{n}" for n in range(UNITS)]
    silent: set[int] = set()
    untold: set[int] = set()
    roster, made, at_us = Roster(), 0, 0
    by_serial: dict[str, bytes] = {}
    together: set[tuple[int, int]] = set()
    last: dict[int, bytes] = {}
    for action, unit, number in [*actions, ("sweep", 0, 0)]:
        if action == "move":
            if f"x{number}" not in addresses:
                addresses[unit] = f"x{number}"
        elif action == "silent":
            silent.add(unit)
        elif action == "answer":
            silent.discard(unit)
        elif action == "new control board":
            made += 1
            serials[unit] = f"NEW-{made}"
        elif action == "board travels":
            boards[unit][0], boards[number][0] = boards[number][0], boards[unit][0]
        elif action == "boards untold":
            untold ^= {unit}
        else:
            at_us += 1
            answering = [n for n in range(UNITS) if n not in silent]
            shuffled = list(answering)
            order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis names it object
            told = {
                addresses[n]: reading(
                    serials[n], macs[n], at_us, boards=() if n in untold else tuple(boards[n])
                )
                for n in shuffled
            }
            devices, _ = one_sweep(roster, **told)
            assert len(set(devices.values())) == len(devices)
            for n in answering:
                device = devices[addresses[n]]
                assert by_serial.setdefault(serials[n], device) == device
                last[n] = device
            together |= {(a, b) for a in answering for b in answering if a < b}
            assert all(last[a] != last[b] for a, b in together)
