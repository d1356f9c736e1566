"""Identity: addresses come and go, a device stays; weak keys never merge two."""

from __future__ import annotations

from pathlib import Path

from agent import identity
from agent.identity import Roster
from agent.readings import Pool, Reading
from agent.wire import Event, Inventory, Record


def reading(serial: str | None, mac: str | None, at_us: int = 1, pool: str = "pool.example") -> Reading:
    return Reading(
        at_us, "antminer", serial=serial, mac=mac, model="Antminer S19",
        pools=(Pool(f"stratum+tcp://{pool}:3333", "account.worker", True),),
    )  # fmt: skip


def one_sweep(roster: Roster, **seen: Reading) -> tuple[dict[str, bytes], list[Record]]:
    """A sweep in which the address `a`, `b`, ... gave these readings: address -> device, and the records."""
    claimed: dict[bytes, str] = {}
    records: list[Record] = []
    devices = {}
    for address, one in seen.items():
        devices[address], news = roster.observe(address, one, None, claimed)
        records += news
    return devices, [*records, *roster.settle()]


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
