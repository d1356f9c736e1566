"""What an operator may declare of power: corrections measured against a meter, nameplate as last resort.

Neither happens unless it is configured, and each session's first batch carries the rules as an event: what a
watt in the ledger rests on can be read in the journal.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import msgspec

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


@dataclass(frozen=True, slots=True)
class PowerRules:
    """The declared rules; the first correction that fits counts, a device's before its model's."""

    nameplate: bool = False
    corrections: tuple[Correction, ...] = ()

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
        for one in self.corrections:
            if (one.serial and one.serial == device.serial) or (one.mac and one.mac == device.mac):
                return one.factor
        return next((one.factor for one in self.corrections if one.model and one.model == device.model), None)

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
