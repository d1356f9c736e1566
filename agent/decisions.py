"""A person's word on who is who: `decisions.json` in the state folder, an append-only list.

    bind    Y is X from now on: whatever Y bears leads to X.
    split   the device at an address is a new one from now on; the keys that it bears are taken from the old
            one, so that it stays split. Its UUID is made with the decision: taken up twice, it is one device.
    keep    a doubt is settled as it stands.

A running agent takes new ones up at its next sweep; each is an event with its reason. Nothing is edited: what
was counted under Y stays under Y in the ledger, whose time ends with the event (`device_replaced`); from the
event on it counts under X. While X was away and Y counted, X has a gap: its upper bound holds that time too,
its lower bound nothing of it.
"""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from agent.identity import OpenDoubt, Roster, write_whole
from agent.matching import normal_serial
from agent.wire import Event, Inventory

DECISIONS_FILE = "decisions.json"


class DecisionsError(ValueError):
    """The file cannot be used; the text says why."""


class Bind(msgspec.Struct, frozen=True, tag="bind"):
    """`other` is `device` from now on."""

    at_us: int
    device: bytes
    other: bytes
    reason: str


class Split(msgspec.Struct, frozen=True, tag="split"):
    """What is at `address` and was taken for `device` is `new`, and the keys are its own."""

    at_us: int
    address: str
    device: bytes
    new: bytes
    reason: str
    serial: str | None = None
    mac: str | None = None
    board_serials: list[str] = []
    psu_serial: str | None = None


class Keep(msgspec.Struct, frozen=True, tag="keep"):
    """The open doubts about `device` are settled as they stand."""

    at_us: int
    device: bytes
    reason: str


Decision = Bind | Split | Keep
News = list[Inventory | Event]


def load(path: Path) -> list[Decision]:
    """The decisions at `path`, none where there is no file; DecisionsError if it is broken."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Decision])
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecisionsError(f"{path}: {error}") from error


def append(path: Path, decision: Decision) -> None:
    """Add a decision, whole or not at all, one writer at a time; DecisionsError if the file is broken."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = [*load(path), decision]
        write_whole(path, [msgspec.json.format(msgspec.json.encode(content), indent=1)])


def split_of(inventory: Inventory, at_us: int, reason: str) -> Split:
    """The decision that splits off the device as it stands, with a new UUID."""
    return Split(
        at_us, inventory.address, inventory.device, uuid.uuid4().bytes, reason, inventory.serial,
        inventory.mac, inventory.board_serials, inventory.psu_serial,
    )  # fmt: skip


class Watch:
    """Looks at the file before each sweep and takes up what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def take_up(self, roster: Roster, now_us: int) -> News:
        """The records that new decisions bring; a broken file is told once, and leaves things as they are."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return []
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._seen:
            return []
        self._seen = stamp
        try:
            new = load(self._path)[roster.decided :]
        except DecisionsError as error:
            return [Event(now_us, "decisions_unreadable", detail={"problem": str(error)})]
        return apply(roster, new, now_us)


def apply(roster: Roster, decisions: Iterable[Decision], now_us: int) -> News:
    """The records that the decisions bring, in order; one that no longer fits is refused with an event."""
    news: News = []
    for decision in decisions:
        try:
            news += _apply(roster, decision, now_us)
        except DecisionsError as error:
            detail = {"problem": str(error), "reason": decision.reason}
            news.append(Event(now_us, "decision_refused", decision.device, detail))
        roster.decided += 1
    return news


def _apply(roster: Roster, decision: Decision, now_us: int) -> News:
    if isinstance(decision, Bind):
        return _bind(roster, decision, now_us)
    if isinstance(decision, Split):
        return _split(roster, decision, now_us)
    _settle(roster, lambda doubt: doubt.device == decision.device)
    return [Event(now_us, "doubt_settled", decision.device, {"reason": decision.reason})]


def _bind(roster: Roster, decision: Bind, now_us: int) -> News:
    known, kept, other = roster.known, decision.device, decision.other
    if not {kept, other} <= known.devices.keys() or kept == other:
        raise DecisionsError("not two devices that are known")
    for one in (known.devices[kept], known.devices[other]):
        known.swear(kept, one.serial, one.mac)
    return join(roster, kept, other, now_us, decision.reason)


def join(roster: Roster, kept: bytes, other: bytes, now_us: int, reason: str) -> News:
    """The second of two known devices is the first from now on: the records that this brings."""
    known = roster.known
    before, gone = known.devices[kept], known.devices[other]
    if other in known.sworn:
        known.sworn.setdefault(kept, set()).update(known.sworn[other])
    at = [(address, device) for address, device in known.at.items() if device in (kept, other)]
    new_address = next((address for address, device in at if device == other), before.address)
    known.drop(other)
    for address, _ in at:
        known.at.pop(address, None)
    told = {name: getattr(gone, name) for name in gone.__struct_fields__}
    told = {name: value for name, value in told.items() if value not in (None, [], "")}
    inventory = msgspec.structs.replace(
        before, **told | {"device": kept, "at_us": now_us, "address": new_address}
    )
    known.put(inventory)
    if new_address:
        known.at[new_address] = kept
    for place in (known.board_in, known.former):
        place.update({key: kept for key, device in place.items() if device == other})
    _rename(roster, other, kept)
    detail = {
        "other": other.hex(), "address": new_address, "reason": reason,
        "serial": inventory.serial or "", "mac": inventory.mac or "",
    }  # fmt: skip
    return [
        Event(now_us, "device_bound", kept, detail),
        Event(now_us, "device_replaced", other, {"address": gone.address, "by": kept.hex()}),
        inventory,
    ]


def _split(roster: Roster, decision: Split, now_us: int) -> News:
    known, old, new = roster.known, decision.device, decision.new
    if new in known.devices:
        return []  # taken up before; its events are in the spool
    if known.at.get(decision.address) != old:
        raise DecisionsError(f"another device is at {decision.address} since")
    before = known.devices[old]
    own = {"serial": decision.serial, "mac": decision.mac, "psu_serial": decision.psu_serial}
    former = [serial for serial, device in known.former.items() if device == old]
    known.at[decision.address] = new
    serial = normal_serial(decision.serial) if decision.serial else None
    known.sworn.get(old, set()).difference_update({("serial", serial or ""), ("mac", decision.mac or "")})
    known.boots.pop(old, None)
    # What it bore before the keys that are taken from it now leads to it again.
    known.put(
        msgspec.structs.replace(
            before, address="", serial=former[-1] if former else None, mac=None, psu_serial=None,
            board_serials=[],
        )
    )  # fmt: skip
    inventory = msgspec.structs.replace(
        before,
        device=new,
        at_us=now_us,
        address=decision.address,
        board_serials=decision.board_serials,
        **own,
    )
    known.put(inventory)
    _settle(roster, lambda doubt: doubt.device == old and doubt.address == decision.address)
    detail = {
        "address": decision.address, "new": new.hex(), "reason": decision.reason,
        "serial": decision.serial or "", "mac": decision.mac or "", "psu": decision.psu_serial or "",
        "boards": ",".join(decision.board_serials),
    }  # fmt: skip
    return [
        Event(now_us, "device_split", old, detail),
        Event(now_us, "device_replaced", old, {"address": decision.address, "by": new.hex()}),
        inventory,
    ]


def _settle(roster: Roster, settled: Callable[[OpenDoubt], bool]) -> None:
    roster.doubts = {key: doubt for key, doubt in roster.doubts.items() if not settled(doubt)}


def _rename(roster: Roster, gone: bytes, kept: bytes) -> None:
    """Doubts after a binding: those about the bound device are settled, in others it goes by its new name."""
    doubts: dict[tuple[bytes, tuple[bytes, ...], str], OpenDoubt] = {}
    for doubt in roster.doubts.values():
        if gone in (doubt.device, *doubt.candidates):
            if kept in (doubt.device, *doubt.candidates) or doubt.device == gone:
                continue
            candidates = tuple(kept if one == gone else one for one in doubt.candidates)
            doubt = msgspec.structs.replace(doubt, candidates=candidates)
        doubts[doubt.device, doubt.candidates, doubt.evidence] = doubt
    roster.doubts = doubts
