"""The register: what the collector knows of a site's devices finds its way to a box that lost its own."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

import agent.app
from agent import config as agent_config
from agent import keys, wire
from agent.readings import Pool, Reading
from agent.sweep import Poll, Target
from agent.wire import Event, Inventory, PoolUse
from collector import app, broker, config, register
from collector.ledger import tables
from collector.register import Register
from collector.store import Store
from tests.collector.support import AGENT, ORG, SITE, T0, A, Agent, B, S, ledger_of
from tests.ports import free_port

both_stores = pytest.mark.usefixtures("both_stores")

TIMEOUT_S = 20
KEY = (ORG, SITE, AGENT)
OTHER_KEY = (ORG, SITE, "box-2")


def device(raw: bytes, serial: str, at_us: int = T0, address: str = "10.0.0.1") -> Inventory:
    pools = [PoolUse("stratum+tcp://pool.example:3333", "account", True, None)]
    return Inventory(at_us, raw, address, "antminer", serial=serial, board_serials=["B1"], pools=pools)


def serials(message: bytes) -> dict[bytes, str | None]:
    return {entry.device: entry.serial for entry in wire.decode_register(message)}


@both_stores
def test_every_agent_of_a_site_gets_the_last_record_of_each_device(tmp_path: Path) -> None:
    box = Agent()
    store = ledger_of(
        tmp_path, [box.batch(device(A, "S1"), device(B, "S2")), box.batch(device(A, "S9", T0 - S))]
    )
    made = Register(store, ORG, [KEY, OTHER_KEY, (ORG, "south", "box-1")])
    messages = dict(made.messages())
    own = messages[wire.topic(*KEY, "register")]
    assert serials(own) == {A: "S9", B: "S2"}  # by sequence, not by the agent's clock
    assert messages[wire.topic(*OTHER_KEY, "register")] == own
    assert serials(messages[wire.topic(ORG, "south", "box-1", "register")]) == {}
    assert [entry.pools for entry in wire.decode_register(own)] == [[], []]  # payout addresses stay here


@both_stores
def test_what_changed_is_sent_at_most_once_a_minute_and_only_then(tmp_path: Path) -> None:
    box, now_s = Agent(), [0.0]
    store = ledger_of(tmp_path, [box.batch(device(A, "S1"))])
    made = Register(store, ORG, [KEY], lambda: now_s[0])

    def fold(*packets: bytes) -> None:
        ledger_of(tmp_path, packets).close()

    fold(box.batch(device(B, "S2")))
    assert made.changed() == []
    now_s[0] = 60
    ((topic, message),) = made.changed()
    assert topic == wire.topic(*KEY, "register") and serials(message) == {A: "S1", B: "S2"}
    assert made.messages() == [(topic, message)]
    fold(box.batch(device(B, "S2"), Event(T0, "noise")))  # announced again, as every session does
    now_s[0] = 120
    assert made.changed() == []


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        (Event(T0, "device_bound", A, {"other": B.hex()}), {A: "S1"}),
        (Event(T0, "device_split", A, {"new": B.hex()}), {B: "S2"}),
        (Event(T0, "device_bound", A, {"other": "no device"}), {A: "S1", B: "S2"}),
    ],
)
def test_a_device_whose_keys_went_to_another_is_left_out(
    tmp_path: Path, event: Event, kept: dict[bytes, str]
) -> None:
    box = Agent()
    store = ledger_of(tmp_path, [box.batch(device(A, "S1"), device(B, "S2")), box.batch(event)])
    ((_, message),) = Register(store, ORG, [KEY]).messages()
    assert serials(message) == kept


def test_a_split_device_that_is_seen_again_is_back(tmp_path: Path) -> None:
    box = Agent()
    split = Event(T0, "device_split", A, {"new": B.hex()})
    store = ledger_of(tmp_path, [box.batch(device(A, "S1"), split, device(B, "S1"), device(A, "S0"))])
    ((_, message),) = Register(store, ORG, [KEY]).messages()
    assert serials(message) == {A: "S0", B: "S1"}


def test_a_message_that_is_no_register_is_refused() -> None:
    with pytest.raises(wire.WireError):
        wire.decode_register(b"junk")
    assert wire.decode_register(wire.pack([device(b"short", "S1"), Event(1, "noise")])) == []


# ---- end to end: a real broker, a running collector, and the agent's own parts

FARM = {
    "127.0.0.2": ("SN-1", "02:00:00:00:00:01", ("A-1", "A-2", "A-3")),
    "127.0.0.3": (None, "02:00:00:00:00:02", ()),
    "127.0.0.4": (None, None, ()),
}


@contextlib.asynccontextmanager
async def drivers(_config: agent_config.Config) -> AsyncIterator[Poll]:
    """The farm without its sockets."""

    async def poll(address: str, family: str | None, full: bool) -> Reading:
        serial, mac, boards = FARM[address]
        return Reading(
            agent.app.clock.now_us(), "antminer", serial=serial, mac=mac, board_serials=boards,
            pools=(Pool("stratum+tcp://pool.example:3333", "account", True),),
        )  # fmt: skip

    yield poll


class Box:
    """An agent box with a state of its own."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        folder.mkdir()
        text = f"""
[agent]
org = "{ORG}"
site = "{SITE}"
name = "{name}"
interval_s = 1
[network]
scan = ["127.0.0.2/31", "127.0.0.4/32"]
cgminer_port = 9
http_port = 9
[mqtt]
host = "127.0.0.1"
port = {port}
[exporter]
port = 0
"""
        self.settings = agent_config.parse(text, folder / "agent.toml")
        keys.create(self.settings.agent.state_dir)
        self.public_text = keys.public_text(keys.load(self.settings.agent.state_dir))
        self.said: list[str] = []

    def reaches(self, port: int) -> None:
        """From now on the broker is at this port."""
        mqtt_section = self.settings.mqtt.model_copy(update={"port": port})
        self.settings = self.settings.model_copy(update={"mqtt": mqtt_section})

    def sweep(self, *addresses: str, sweeps: int = 1) -> dict[str, bytes]:
        """Run for so many sweeps; `addresses` stand in for what a scan would find. Address -> device."""
        running = agent.app.Agent(self.settings, self.said.append)
        running.targets |= {address: Target(address, "antminer") for address in addresses}
        asyncio.run(running.run(sweeps))
        return running.roster.at


@pytest.fixture
def port() -> Iterator[int]:
    number = free_port()
    child = broker.start_child(number)
    yield number
    broker.stop_child(child)


@contextlib.contextmanager
def collecting(folder: Path, port: int, *boxes: tuple[str, str]) -> Iterator[config.Config]:
    enrolled = "".join(
        f'[[agent]]\nsite = "{SITE}"\nname = "{name}"\npublic_key = "{key}"\n' for name, key in boxes
    )
    path = folder / "collector.toml"
    path.write_text(
        f'[collector]\norg = "{ORG}"\nstate_dir = "state"\nmetrics = "127.0.0.1:{free_port()}"\n'
        f"[mqtt]\nport = {port}\n{enrolled}"
        f'[site.{SITE}]\nname = "North"\ncountry = "ru"\nzone = "Asia/Irkutsk"\n'
    )
    settings, stop, up = config.load(path), threading.Event(), threading.Event()
    thread = threading.Thread(target=app.run, args=(settings, stop, lambda _: up.set()))
    thread.start()
    try:
        assert up.wait(TIMEOUT_S)
        yield settings
    finally:
        stop.set()
        thread.join(TIMEOUT_S)


def registered(port: int, count: int) -> None:
    """Wait until the broker holds a register of so many devices for the second box."""
    heard: queue.Queue[bytes] = queue.Queue()
    topic = wire.topic(*OTHER_KEY, "register")

    def on_message(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == topic:  # the embedded broker hands over what is retained elsewhere, too
            heard.put(wire.open_word(topic, bytes(message.payload), None))

    client = mqtt.Client(CallbackAPIVersion.VERSION2, "observer")
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe(topic, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        until_s = time.monotonic() + TIMEOUT_S
        while len(wire.decode_register(heard.get(timeout=TIMEOUT_S))) < count:
            assert time.monotonic() < until_s
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_new_box_for_a_lost_one_knows_the_devices_by_their_names(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.app, "drivers", drivers)
    monkeypatch.setattr(register, "LOOK_EVERY_S", 0.1)
    lost, new = Box(tmp_path / "lost", AGENT, port), Box(tmp_path / "new", "box-2", port)
    enrolled = ((AGENT, lost.public_text), ("box-2", new.public_text))
    with collecting(tmp_path, port, *enrolled) as settings:
        before = lost.sweep(*FARM)
        assert len(before) == 3
        registered(port, 3)
        assert new.sweep() == before  # its state was empty, and no scan found anything
        assert "register: 3 devices known to the collector" in new.said
        assert lost.sweep() == before  # a box that has a roster goes on with its own
        assert lost.said.count("register: 3 devices known to the collector") == 0
    store = Store.open(settings.ledger_url)
    contents = tables.contents(store)
    assert {row.device for row in contents["device"]} == {str(UUID(bytes=raw)) for raw in before.values()}
    restored = [row for row in contents["event"] if row.kind == "roster_restored"]
    assert [(row.agent, row.detail) for row in restored] == [("box-2", {"devices": "3"})]
    assert [row.kind for row in contents["event"] if row.agent == "box-2"].count("device_appeared") == 0


def test_a_new_box_that_met_its_devices_before_the_link_was_up_gives_them_their_old_names(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.app, "drivers", drivers)
    monkeypatch.setattr(agent.app, "REGISTER_WAIT_S", 0.0)
    monkeypatch.setattr(register, "LOOK_EVERY_S", 0.1)
    lost, new = Box(tmp_path / "lost", AGENT, port), Box(tmp_path / "new", "box-2", free_port())
    enrolled = ((AGENT, lost.public_text), ("box-2", new.public_text))
    with collecting(tmp_path, port, *enrolled) as settings:
        before = lost.sweep(*FARM)
        registered(port, 3)
        strange = new.sweep(*FARM)
        assert not set(strange.values()) & set(before.values())
        new.reaches(port)
        after = new.sweep(sweeps=3)
        registered(port, 4)  # the device without any key has two names: a person has to settle that
    assert {address: after[address] for address in FARM if address != "127.0.0.4"} == {
        address: device for address, device in before.items() if address != "127.0.0.4"
    }
    assert after["127.0.0.4"] == strange["127.0.0.4"]
    events = tables.contents(Store.open(settings.ledger_url))["event"]
    bound = {row.detail["serial"]: row.detail["reason"] for row in events if row.kind == "device_bound"}
    assert bound == {
        "SN-1": "the collector's register knows it by its serial",
        "": "the collector's register knows it by its mac",
    }
