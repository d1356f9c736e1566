"""Which known device gave a reading: the pure part. The policy and its reasons are in `agent/identity.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.readings import Reading
from agent.wire import Inventory

# Firmwares count uptime in steps of up to a minute, and two clocks drift: within this it is the same start.
BOOT_SLACK_US = 120 * 1_000_000


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a full reading tells of who gave it: its keys, where it was read, and when it had started."""

    address: str
    family: str
    serial: str | None = None
    mac: str | None = None
    boards: tuple[str, ...] = ()
    psu: str | None = None
    boot_us: int | None = None

    @classmethod
    def of(cls, address: str, reading: Reading) -> Sighting:
        """The sighting in a reading."""
        return cls(
            address, reading.family, reading.serial, reading.mac, reading.board_serials, reading.psu_serial,
            None if reading.uptime_s is None else reading.observed_us - reading.uptime_s * 1_000_000,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Same:
    """The device is known by the evidence; `against`: another one that a weaker key speaks for."""

    device: bytes
    evidence: str
    against: bytes | None = None


@dataclass(frozen=True, slots=True)
class New:
    """Nothing speaks for a device that is known."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something speaks for these, and it is not enough: a device of its own until a person says otherwise."""

    candidates: tuple[bytes, ...]
    evidence: str


Verdict = Same | New | Doubt


def normal_serial(text: str) -> str:
    """What serials are compared by: no case, no blanks, no zeros in front.

    Two serials of one width that are different stay different. Zeros at the end are kept: there a width
    cannot tell padding from a digit.
    """
    bare = "".join(text.split()).upper()
    return bare.lstrip("0") or bare


@dataclass(slots=True)
class Known:
    """The devices that are known, and the way from each key to those that bear it."""

    devices: dict[bytes, Inventory] = field(default_factory=dict)
    at: dict[str, bytes] = field(default_factory=dict)  # address -> device
    boots: dict[bytes, int] = field(default_factory=dict)  # device -> when it had started, if told
    former: dict[str, bytes] = field(default_factory=dict)  # a serial that a device bore before this one
    copied: set[str] = field(default_factory=set)  # board serials that several boards bear: no keys
    board_in: dict[str, bytes] = field(default_factory=dict)  # board -> the device it was last read in
    sworn: dict[bytes, set[tuple[str, str]]] = field(default_factory=dict)  # keys by a person's word
    _bearers: dict[tuple[str, str], tuple[bytes, ...]] = field(default_factory=dict)
    _keys: dict[bytes, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def put(self, inventory: Inventory) -> None:
        """Know the device as it is here; keys that it bore before no longer lead to it."""
        device = inventory.device
        self._forget_keys(device)
        before = self.devices.get(device)
        self.devices[device] = inventory
        told = (
            ("serial", inventory.serial and normal_serial(inventory.serial)),
            ("mac", inventory.mac),
            ("psu", inventory.psu_serial),
        )
        keys = {(kind, key) for kind, key in told if key} | self.sworn.get(device, set())
        self._keys[device] = tuple(keys)
        for key in keys:
            self._bearers[key] = (*self._bearers.get(key, ()), device)
        for board in inventory.board_serials:
            if before is None or board not in before.board_serials:
                self.board_in[board] = device
        if inventory.serial:
            self.former.pop(normal_serial(inventory.serial), None)

    def swear(self, device: bytes, serial: str | None, mac: str | None) -> None:
        """From now on these keys lead to the device as well, whatever it tells itself: a person says so."""
        keys = self.sworn.setdefault(device, set())
        if serial:
            keys.add(("serial", normal_serial(serial)))
        if mac:
            keys.add(("mac", mac))

    def drop(self, device: bytes) -> None:
        """Forget the device: a person has said that it is another one."""
        self._forget_keys(device)
        self.sworn.pop(device, None)
        del self.devices[device]
        self.boots.pop(device, None)
        for address in [a for a, d in self.at.items() if d == device]:
            del self.at[address]

    def _forget_keys(self, device: bytes) -> None:
        for key in self._keys.pop(device, ()):
            rest = tuple(bearer for bearer in self._bearers[key] if bearer != device)
            if rest:
                self._bearers[key] = rest
            else:
                del self._bearers[key]

    def bearers(self, kind: str, key: str | None) -> tuple[bytes, ...]:
        """The devices that bear a key; `kind` is serial (in its normal form), mac or psu."""
        return self._bearers.get((kind, key), ()) if key else ()

    def boards_of(self, device: bytes) -> list[str]:
        """The boards of a device that were not seen in another one since."""
        return [b for b in self.devices[device].board_serials if self.board_in.get(b) == device]

    def board_owner(self, boards: Iterable[str]) -> bytes | None:
        """The one device whose boards these are: most of its boards and at least two, or its only one."""
        told = set(boards) - self.copied
        owners = {self.board_in[board] for board in told if board in self.board_in} & self.devices.keys()
        found = [owner for owner in owners if self._most(owner, told)]
        return found[0] if len(found) == 1 else None

    def _most(self, device: bytes, told: set[str]) -> bool:
        count = len(self.devices[device].board_serials)
        hits = len(told.intersection(self.boards_of(device)))
        if count == 1:
            return hits == 1 and len(told) == 1  # one board among others is a board that travelled
        return hits >= 2 and hits * 2 > count


def match(seen: Sighting, known: Known, claimed: Mapping[bytes, str]) -> Verdict:
    """Who gave this reading; `claimed`: device -> the address at which this sweep has seen it."""
    here = known.at.get(seen.address)
    by_boards = known.board_owner(seen.boards)

    def free(device: bytes) -> bool:
        return claimed.get(device, seen.address) == seen.address

    def one_of(bearers: tuple[bytes, ...]) -> bytes | None:
        # A key that several bear is a weak one: it counts together with the address or the boards alone.
        if len(bearers) > 1:
            bearers = tuple(d for d in (here, by_boards) if d in bearers)
        return next((device for device in bearers if free(device)), None)

    def same(device: bytes, evidence: str) -> Same:
        return Same(device, evidence, by_boards if by_boards not in (None, device) else None)

    if serials := known.bearers("serial", seen.serial and normal_serial(seen.serial)):
        device = one_of(serials)
        return same(device, "serial") if device else Doubt(serials, "serial of a device that is elsewhere")
    macs = known.bearers("mac", seen.mac)
    by_mac = one_of(macs) if len(macs) == 1 else None
    if by_mac and (seen.serial is None or known.devices[by_mac].serial is None):
        return same(by_mac, "mac")
    if by_boards and free(by_boards):
        return Same(by_boards, "boards")
    if here and free(here) and _nothing_against(seen, here, known):
        if _ran_on(seen.boot_us, known.boots.get(here)):
            return Same(here, "address, and running on since it was last read there")
        if _same_words(seen, known.devices[here]):
            return Same(here, "address, and no key of its own")
    return _doubt(seen, known, here, by_boards, macs, free_mac=by_mac is not None)


def claims(readings: Iterable[tuple[str, Reading | None]], known: Known) -> dict[bytes, str]:
    """device -> address of those that a sweep has plainly seen: by serial, by address, by MAC, in this order.

    A reading without identity (None here) is its address's device. Known before the first reading is matched,
    so that a weaker key elsewhere does not take a device that has answered for itself.
    """
    by_serial: dict[bytes, str] = {}
    by_address: dict[bytes, str] = {}
    by_mac: dict[bytes, str] = {}
    for address, reading in readings:
        here = known.at.get(address)
        if reading is None:
            if here:
                by_address[here] = address
        elif reading.serial:
            bearers = known.bearers("serial", normal_serial(reading.serial))
            if len(bearers) == 1 or here in bearers:
                device = bearers[0] if len(bearers) == 1 or here is None else here
                if here == device:  # of two that tell one serial, the one that stays where it was
                    by_serial[device] = address
                else:
                    by_serial.setdefault(device, address)
        elif reading.mac and len(bearers := known.bearers("mac", reading.mac)) == 1:
            if here == bearers[0]:
                by_mac[here] = address
            else:
                by_mac.setdefault(bearers[0], address)
    return by_mac | by_address | by_serial


def _doubt(
    seen: Sighting,
    known: Known,
    here: bytes | None,
    by_boards: bytes | None,
    macs: tuple[bytes, ...],
    free_mac: bool,
) -> Verdict:
    former = known.former.get(normal_serial(seen.serial)) if seen.serial else None
    if by_boards:
        return Doubt((by_boards,), "boards of a device that is elsewhere")
    if former in known.devices and former is not None:
        return Doubt((former,), "serial that the device bore before")
    if macs and seen.serial is None:
        return Doubt(macs, "mac that another device bears")
    if free_mac:
        return Doubt(macs, "mac of a device with another serial")
    # Beside a serial or MAC of its own, a supply is only a part, an address only a place that was taken over.
    if seen.serial is None and seen.mac is None:
        if psus := known.bearers("psu", seen.psu):
            return Doubt(psus, "psu alone")
        if here and known.devices[here].family == seen.family:
            return Doubt((here,), "address alone")
    return New()


def _nothing_against(seen: Sighting, here: bytes, known: Known) -> bool:
    device = known.devices[here]
    told = (
        (seen.serial and normal_serial(seen.serial), device.serial and normal_serial(device.serial)),
        (seen.mac, device.mac),
    )
    boards = known.boards_of(here)
    return (
        device.family == seen.family
        and all(new is None or old is None or new == old for new, old in told)
        and (not boards or not seen.boards or not set(boards).isdisjoint(seen.boards))
    )


def _ran_on(boot_us: int | None, before_us: int | None) -> bool:
    return boot_us is not None and before_us is not None and abs(boot_us - before_us) < BOOT_SLACK_US


def _same_words(seen: Sighting, device: Inventory) -> bool:
    # Neither tells a serial, and the MAC is none or one that others bear too: known by the address, as ever.
    return seen.serial is None and device.serial is None and seen.mac == device.mac
