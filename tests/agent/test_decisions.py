"""A person's word: taken up by a running agent, told with its reason, not undone by the next reading."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import config, decisions, devices_cli, identity, sweep, wire
from agent.app import ROSTER_FILE, SPOOL_FILE
from agent.decisions import Bind, Keep, Watch, split_of
from agent.identity import Roster
from agent.spool import Author, Spool
from agent.sweep import Outcome
from agent.wire import Event, Inventory, Record
from tests.agent.test_identity import BOARDS_A, M1, M2, event, kinds, one_sweep, reading


def inventories(records: list[Record]) -> list[Inventory]:
    return [record for record in records if isinstance(record, Inventory)]


def test_a_bound_device_is_the_other_with_all_its_keys(tmp_path: Path) -> None:
    roster = Roster()
    old, _ = one_sweep(roster, a=reading("S1", M1))
    new, _ = one_sweep(roster, a=reading("S2", M2, 2))
    path = tmp_path / "decisions.json"
    decisions.append(path, Bind(3, old["a"], new["a"], "shift lead: board swapped"))
    records = [*Watch(path).take_up(roster, 4)]
    assert kinds(records) == ["device_bound", "device_replaced"]
    bound = event(records, "device_bound")
    assert (bound.device, bound.detail["other"]) == (old["a"], new["a"].hex())
    assert bound.detail["reason"] == "shift lead: board swapped"
    assert event(records, "device_replaced").device == new["a"]  # its time in the ledger ends here
    assert [(i.device, i.serial, i.address) for i in inventories(records)] == [(old["a"], "S2", "a")]
    identity.save(roster, tmp_path / "devices.json")
    for one in (roster, identity.load(tmp_path / "devices.json")):
        assert one_sweep(one, b=reading("S2", M2, 5))[0] == {"b": old["a"]}
        assert one_sweep(one, c=reading("S1", M1, 6))[0] == {"c": old["a"]}


def test_two_bound_devices_that_answer_together_are_told_apart_again() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1), b=reading("S2", M2))
    decisions.apply(roster, [Bind(2, before["a"], before["b"], "wrong")], 2)
    after, records = one_sweep(roster, a=reading("S1", M1, 3), b=reading("S2", M2, 3))
    assert len(set(after.values())) == 2 and "identity_doubt" in kinds(records)


def test_a_split_device_stays_split_and_the_old_one_gets_back_what_it_bore_before(tmp_path: Path) -> None:
    roster = Roster()
    old, _ = one_sweep(roster, a=reading("S1", M1, boards=BOARDS_A))
    one_sweep(roster, a=reading("S2", M2, 2, boards=BOARDS_A))  # taken for a swapped control board
    decision = split_of(roster.get(old["a"]), 3, "shift lead: all boards moved over")
    path = tmp_path / "decisions.json"
    decisions.append(path, decision)
    records = [*Watch(path).take_up(roster, 4)]
    assert kinds(records) == ["device_split", "device_replaced"]
    told = event(records, "device_split")
    assert told.device == old["a"] and told.detail["new"] == decision.new.hex()
    assert (told.detail["serial"], told.detail["boards"]) == ("S2", "A-1,A-2,A-3")
    identity.save(roster, tmp_path / "devices.json")
    for one in (roster, identity.load(tmp_path / "devices.json")):
        after, records = one_sweep(one, a=reading("S2", M2, 5, boards=BOARDS_A), b=reading("S1", M1, 5))
        assert after == {"a": decision.new, "b": old["a"]}
        assert "identity_doubt" not in kinds(records)


def test_a_binding_settles_the_doubt_that_asked_for_it() -> None:
    roster = Roster()
    old, _ = one_sweep(roster, a=reading("S1", M1))
    new, _ = one_sweep(roster, b=reading("S2", M1, 2))
    assert len(roster.doubts) == 1
    decisions.apply(roster, [Bind(3, old["a"], new["b"], "")], 3)
    assert roster.doubts == {}


def test_a_doubt_can_be_settled_as_it_stands() -> None:
    roster = Roster()
    one_sweep(roster, a=reading("S1", M1))
    new, _ = one_sweep(roster, b=reading("S2", M1, 2))
    (settled,) = decisions.apply(roster, [Keep(3, new["b"], "seen both")], 3)
    assert isinstance(settled, Event) and settled.detail == {"reason": "seen both"}
    assert roster.doubts == {}


def test_a_decision_that_no_longer_fits_is_refused_with_an_event() -> None:
    roster = Roster()
    before, _ = one_sweep(roster, a=reading("S1", M1), b=reading("S2", M2))
    late = split_of(roster.get(before["a"]), 2, "late")
    one_sweep(roster, a=reading("S2", M2, 3))
    news = decisions.apply(roster, [late, Bind(2, before["a"], bytes(16), "typing slip")], 4)
    assert kinds([*news]) == ["decision_refused", "decision_refused"]
    assert roster.at == {"a": before["b"]}


def test_decisions_are_taken_up_once_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    roster = Roster()
    new, _ = one_sweep(roster, a=reading("S1", M1))
    path = tmp_path / "decisions.json"
    watch = Watch(path)
    assert watch.take_up(roster, 1) == []
    decisions.append(path, Keep(1, new["a"], "first"))
    assert len(watch.take_up(roster, 2)) == 1
    assert watch.take_up(roster, 3) == Watch(path).take_up(roster, 3) == []
    decisions.append(path, Keep(4, new["a"], "second"))
    assert [e.detail["reason"] for e in watch.take_up(roster, 5) if isinstance(e, Event)] == ["second"]
    path.write_text("[{")
    assert kinds([*watch.take_up(roster, 6)]) == ["decisions_unreadable"]
    assert watch.take_up(roster, 7) == []


def test_a_split_taken_up_twice_is_one_device() -> None:
    roster = Roster()
    old, _ = one_sweep(roster, a=reading("S1", M1))
    decision = split_of(roster.get(old["a"]), 2, "")
    decisions.apply(roster, [decision], 3)
    assert decisions.apply(roster, [decision], 4) == []
    assert roster.at == {"a": decision.new}


# ---- at the keyboard


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with two devices in doubt at b: S1 was at a, a reading with its MAC and another serial came."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.toml").write_text(config.sample("farm", "north", ("10.1.0.0/22",)))
    state = tmp_path / "agent-state"
    roster = Roster()
    spool = Spool(
        state / SPOOL_FILE,
        Author("farm", "north", "agent-1", Ed25519PrivateKey.generate(), True, "simulated"),
    )
    for at_us, address, one in ((1, "10.1.0.1", reading("S1", M1)), (2, "10.1.0.2", reading("S2", M1, 2))):
        records, _ = sweep.records(at_us, 60, [Outcome(address, one)], roster)
        spool.append(records, at_us)
    spool.close()
    identity.save(roster, state / ROSTER_FILE)
    return tmp_path


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(command, arguments)


def test_devices_lists_who_is_known_and_what_is_in_doubt(here: Path) -> None:
    listed = json.loads(run(devices_cli.devices, "--json").output)
    assert [(one["serial"], one["address"], one["last_seen_us"]) for one in listed] == [
        ("S1", "10.1.0.1", 1),
        ("S2", "10.1.0.2", 2),
    ]
    assert [one["doubts"][0]["evidence"] for one in listed] == ["mac of a device with another serial"] * 2
    text = run(devices_cli.devices).output
    assert "S1" in text and "10.1.0.1" in text and "1 open doubts" in text
    assert "mac of a device with another serial: " in run(devices_cli.devices, "--doubts").output


def test_bind_and_split_write_decisions_for_the_agent(here: Path) -> None:
    result = run(devices_cli.bind, "S1", "10.1.0.2", "--reason", "the operator: new serial by new firmware")
    assert result.exit_code == 0, result.output
    result = run(devices_cli.split, "10.1.0.1", "--reason", "shift lead: another unit")
    assert result.exit_code == 0, result.output
    first, second = decisions.load(here / "agent-state" / decisions.DECISIONS_FILE)
    roster = identity.load(here / "agent-state" / ROSTER_FILE)
    assert isinstance(first, Bind) and roster.get(first.other).serial == "S2"
    assert isinstance(second, decisions.Split) and (second.serial, second.mac) == ("S1", M1)


def test_splitting_what_is_apart_already_or_binding_it_to_itself_settles_the_doubt(here: Path) -> None:
    assert run(devices_cli.split, "10.1.0.2", "--reason", "two units").exit_code == 0
    assert run(devices_cli.bind, "S2", "S2", "--reason", "two units").exit_code == 0
    made = decisions.load(here / "agent-state" / decisions.DECISIONS_FILE)
    assert [type(one) for one in made] == [Keep, Keep]


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("bind", ("S1", "S9"), "no known device has the id, serial, MAC or address S9"),
        ("bind", ("S1", M1), "names 2 devices"),
        ("split", ("10.1.0.9",), "no device is known at 10.1.0.9"),
        ("split", ("10.1.0.1", "--config", "none.toml"), "none.toml: no such file"),
    ],
)
def test_what_cannot_be_is_refused_with_status_2(
    here: Path, command: str, words: tuple[str, ...], message: str
) -> None:
    result = run(getattr(devices_cli, command), *words, "--reason", "because")
    assert result.exit_code == 2 and message in result.output
    assert not (here / "agent-state" / decisions.DECISIONS_FILE).exists()


def test_a_reason_is_needed(here: Path) -> None:
    assert run(devices_cli.bind, "S1", "S2").exit_code == 2


def test_two_devices_that_answer_together_cannot_be_bound(here: Path) -> None:
    state = here / "agent-state"
    roster = identity.load(state / ROSTER_FILE)
    told = [Outcome("10.1.0.1", reading("S1", M1, 3)), Outcome("10.1.0.2", reading("S2", M1, 3))]
    records, swept = sweep.records(3, 60, told, roster)
    assert len(swept.devices) == 32
    author = Author("farm", "north", "agent-1", Ed25519PrivateKey.generate(), True, "simulated")
    spool = Spool(state / SPOOL_FILE, author)
    spool.append([*records, wire.Event(4, "noise")], 4)
    spool.close()
    result = run(devices_cli.bind, "S1", "S2", "--reason", "guess")
    assert result.exit_code == 2 and "both answered in the last sweep" in result.output


def test_without_a_roster_the_message_says_what_finds_devices(here: Path) -> None:
    (here / "agent-state" / ROSTER_FILE).unlink()
    result = run(devices_cli.devices)
    assert result.exit_code == 2 and "agent run" in result.output
