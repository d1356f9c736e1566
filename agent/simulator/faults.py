"""What a rehearsal can do to devices, and to which: `WHO:WHAT`, as in `%20:silence` or `avalon:nan`.

WHO is an address, several with commas, a family, `*`, or a share of one of the last two: `%20` is every fifth
device of the farm, `avalon%50` every second Avalon. A later fault replaces an earlier one of the same device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from agent.simulator.farm import in_order
from agent.simulator.model import FarmPlan
from agent.simulator.wires import WIRES


class Fault(StrEnum):
    """What a rehearsal can do to an address."""

    REFUSE = "refuse"  # no open port
    SILENCE = "silence"  # accepts, says nothing
    HALF = "half"  # half a reply, then the end
    RESET = "reset"  # half a reply, then a reset
    DRIP = "drip"  # a byte a second
    MISSING_COMMA = "missing-comma"  # between two objects: }{
    TRAILING_COMMA = "trailing-comma"
    NAN = "nan"  # nan and inf where rates should be
    CONTROL = "control"  # a line break and a control character inside a text
    DUPLICATE_KEY = "duplicate-key"
    NON_UTF8 = "non-utf8"  # bytes inside a text that are no UTF-8
    JUNK = "junk"  # 10 MB of it
    DENIED = "denied"  # 401, "Access denied"
    HTML = "html"  # a page of something else
    REBOOT = "reboot"  # gone, then up again with uptime 0
    SWAP = "swap"  # exchanges its address with the next device that has this fault


NO_FAULTS: Mapping[str, Fault] = MappingProxyType({})


def parse(specs: Iterable[str], plan: FarmPlan) -> dict[str, Fault]:
    """Address -> fault of `WHO:WHAT` specifications in turn; ValueError says what is wrong with one."""
    families = {device.address: device.model.family for device in plan.devices}
    found: dict[str, Fault] = {}
    for spec in specs:
        try:
            found |= _parsed(spec, families)
        except ValueError as error:
            raise ValueError(f"fault {spec!r}: {error}") from error
    return found


def _parsed(spec: str, families: Mapping[str, str]) -> dict[str, Fault]:
    who, _, what = spec.rpartition(":")
    if not who:
        raise ValueError("write WHO:WHAT, such as '%20:silence'")
    if what not in list(Fault):
        raise ValueError(f"{what!r} is none of {', '.join(Fault)}")
    chosen = _chosen(who, families)
    if what == Fault.SWAP and len(chosen) < 2:
        raise ValueError("a swap takes two devices")
    return dict.fromkeys(chosen, Fault(what))


def _chosen(who: str, families: Mapping[str, str]) -> list[str]:
    """The addresses that WHO names."""
    group, sign, share = who.partition("%")
    if not sign and group not in WIRES and group != "*":
        named = [part.strip() for part in who.split(",")]
        if missing := [address for address in named if address not in families]:
            raise ValueError(f"{missing[0]!r} is no device's address, and no family ({', '.join(WIRES)})")
        return named
    if group not in WIRES and group not in ("", "*"):
        raise ValueError(f"{group!r} is no family ({', '.join(WIRES)})")
    if sign and not (share.isdecimal() and 1 <= int(share) <= 100):
        raise ValueError(f"{share!r} is no share: whole per cent from 1 to 100")
    addresses = sorted((a for a, family in families.items() if group in ("", "*", family)), key=in_order)
    if not addresses:
        raise ValueError(f"the farm has no {group}")
    return [a for n, a in enumerate(addresses) if not sign or _falls(n, int(share))]


def _falls(n: int, percent: int) -> bool:
    """True for `percent` of all n, evenly spread and beginning with the first."""
    return n * percent % 100 < percent


def swapped(faults: Mapping[str, Fault]) -> dict[str, str]:
    """Address -> the address whose device is there now: pairs in order; one that is left over stays."""
    addresses = sorted((a for a, fault in faults.items() if fault is Fault.SWAP), key=in_order)
    pairs = list(zip(addresses[::2], addresses[1::2], strict=False))
    return dict(pairs) | {b: a for a, b in pairs}
