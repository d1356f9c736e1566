"""The register of devices: what Inventory records say of each, and what changed from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from agent.wire import Inventory
from collector.ledger.energy import Integral

# What the register keeps of an Inventory, under the same names; the whole record goes to the history.
FIELDS = (
    "serial", "mac", "make", "model", "firmware", "family", "hostname", "address", "algorithm",
    "nameplate_hs", "nameplate_w",
)  # fmt: skip


# A nameplate beyond these (a whole farm's) is none, nor is one of 0 or infinity: it would spoil every bound.
NAMEPLATE_LIMITS = {"nameplate_hs": 1e18, "nameplate_w": 1e6}


@dataclass(slots=True)
class Device:
    """One device of a site: its register entry, and the integral of its readings."""

    site: str
    id: str
    first_seen_us: int
    last_seen_us: int
    synthetic: bool = False
    register: dict[str, str | float | None] = field(default_factory=lambda: dict.fromkeys(FIELDS))
    integral: Integral = field(default_factory=Integral)
    state: str | None = None
    cause: str | None = None  # of the gap open now: the last failed poll's kind, "vanished", "replaced"
    skipped: int = 0  # readings left out since its clock went backwards

    def seen(self, at_us: int) -> None:
        """The device was there at an instant."""
        self.first_seen_us = min(self.first_seen_us, at_us)
        self.last_seen_us = max(self.last_seen_us, at_us)


def device_text(raw: bytes) -> str | None:
    """A device's 16 bytes as the UUID text that the ledger bears; None for any other length."""
    return str(UUID(bytes=raw)) if len(raw) == 16 else None


def enter(device: Device, inventory: Inventory) -> dict[str, str]:
    """Write a record into the register; returns {field: "old -> new"}, empty on first entry."""
    new = {name: getattr(inventory, name) for name in FIELDS}
    for name, limit in NAMEPLATE_LIMITS.items():
        new[name] = new[name] if new[name] is not None and 0 < new[name] < limit else None
    old, device.register = device.register, new
    nameplate_w = new["nameplate_w"]
    device.integral.nameplate_mw = None if nameplate_w is None else round(nameplate_w * 1000)
    device.seen(inventory.at_us)
    if old["family"] is None:
        return {}
    return {name: f"{old[name]} -> {new[name]}" for name in FIELDS if old[name] != new[name]}
