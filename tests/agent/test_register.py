"""The collector's register, early or late: old names for what it knows by a key, and never two made one."""

from __future__ import annotations

from agent import register
from agent.identity import Roster
from agent.readings import Reading
from agent.wire import Event, Inventory

SITE = {"a", "b", "c"}


def met(at_us: int, **told: str | tuple[str, ...]) -> Reading:
    return Reading(at_us, "antminer", **told)  # type: ignore[arg-type]  # one dict for fields of two types


def box(**readings: Reading) -> Roster:
    """A roster after one sweep."""
    roster = Roster()
    claimed = roster.claims(readings.items())
    for address, reading in readings.items():
        roster.observe(address, reading, None, claimed)
    return roster


def test_an_early_register_is_where_a_new_box_begins() -> None:
    lost, new = box(a=met(1, serial="S1"), b=met(1, serial="S2")), Roster()
    (event,) = register.restore(new, lost.devices, SITE, 5)
    assert isinstance(event, Event) and event.kind == "roster_restored" and event.detail == {"devices": "2"}
    assert new.at == lost.at and new.restored


def test_a_late_register_gives_devices_their_old_names_wherever_they_are_now() -> None:
    lost = box(a=met(1, serial="S1"), b=met(1, serial="S2"), c=met(1, mac="02:00:00:00:00:01"))
    new = box(b=met(2, serial="0s1"), c=met(2, serial="S9"), a=met(2, mac="02:00:00:00:00:01"))
    news = register.restore(new, lost.devices, SITE, 5)
    assert {a: new.at[a] for a in ("b", "a")} == {"b": lost.at["a"], "a": lost.at["c"]}
    assert new.at["c"] not in lost.at.values()  # met here alone
    assert new.get(lost.at["b"]).address == ""  # known, and nowhere now
    bound = [one.device for one in news if isinstance(one, Event) and one.kind == "device_bound"]
    assert set(bound) == {lost.at["a"], lost.at["c"]}
    assert {one.device for one in news if isinstance(one, Inventory)} == set(bound)


def test_what_a_weak_key_alone_speaks_for_keeps_its_new_name() -> None:
    mac = "02:00:00:00:00:01"
    lost = box(a=met(1, serial="S1", mac=mac), b=met(1), c=met(1, psu_serial="P1"))
    new = box(a=met(2, serial="S2", mac=mac), b=met(2), c=met(2, psu_serial="P1"))
    register.restore(new, lost.devices, SITE, 5)
    assert not set(new.at.values()) & set(lost.at.values())


def test_two_that_answer_are_never_given_one_old_name() -> None:
    lost = box(a=met(1, mac="02:00:00:00:00:01"))
    new = box(a=met(2, mac="02:00:00:00:00:01"), b=met(2, mac="02:00:00:00:00:01"))
    register.restore(new, lost.devices, SITE, 5)
    assert len(set(new.at.values())) == 2


def test_the_own_register_that_comes_back_changes_nothing() -> None:
    roster = box(a=met(1, serial="S1"))
    before = roster.devices
    assert register.restore(roster, before, SITE, 5) == [] and roster.devices == before
    assert roster.restored
