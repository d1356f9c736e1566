"""What an operator may declare of power: corrections measured against a meter, nameplate as last resort.

Neither happens unless it is configured, and each session's first batch carries the rules as an event: what a
watt in the ledger rests on can be read in the journal.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

import msgspec

from agent.matching import normal_serial
from agent.miners import hardware
from agent.readings import PowerOrigin, Reading, State
from agent.wire import Event, Inventory


@dataclass(frozen=True, slots=True)
class Correction:
    """A factor on a device's or a model's power, found against a meter: when, and the evidence in words."""

    factor: float
    measured: str
    evidence: str
    serial: str | None = None
    mac: str | None = None
    model: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it names; a serial in the form in which identity compares it."""
        if self.serial:
            return "serial", normal_serial(self.serial)
        return ("mac", self.mac) if self.mac else ("model", self.model or "")


@dataclass(frozen=True, slots=True)
class PowerRules:
    """The declared rules; of two corrections for the same the first counts, a device's before its model's."""

    nameplate: bool = False
    corrections: tuple[Correction, ...] = ()
    _factors: dict[tuple[str, str], float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        factors = {one.key: one.factor for one in reversed(self.corrections)}
        object.__setattr__(self, "_factors", factors)

    def settle(self, reading: Reading, device: Inventory) -> Reading:
        """The reading with its power as the rules have it; a measured watt keeps its origin."""
        if reading.power_w is None:
            return self._by_nameplate(reading, device) if self.nameplate else reading
        factor = self._factor(device)
        return (
            reading if factor is None else msgspec.structs.replace(reading, power_w=reading.power_w * factor)
        )

    def event(self, at_us: int) -> list[Event]:
        """The rules as a session's event; none where nothing is declared."""
        if not (self.nameplate or self.corrections):
            return []
        corrections = [dataclasses.asdict(correction) for correction in self.corrections]
        detail = {"nameplate": str(self.nameplate).lower(), "corrections": json.dumps(corrections)}
        return [Event(at_us, "power_rules", detail=detail)]

    def _factor(self, device: Inventory) -> float | None:
        keys = (
            ("serial", normal_serial(device.serial or "")),
            ("mac", device.mac or ""),
            ("model", device.model or ""),
        )
        return next((self._factors[key] for key in keys if key in self._factors), None)

    @staticmethod
    def _by_nameplate(reading: Reading, device: Inventory) -> Reading:
        """J/TH x hashrate, of a device that mines; what a sleeping or idle one draws no nameplate tells."""
        model = hardware.find(device.model)
        known = model is not None and model.power_w and model.hashrate_hs
        if not known or not reading.hashrate_hs or reading.state is not State.MINING:
            return reading
        assert model is not None and model.power_w and model.hashrate_hs
        power_w = model.power_w / model.hashrate_hs * reading.hashrate_hs
        return msgspec.structs.replace(reading, power_w=power_w, power_origin=PowerOrigin.NAMEPLATE)


NO_RULES = PowerRules()
