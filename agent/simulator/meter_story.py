"""A month of meters with all that goes wrong with them, its truth, and the records that it makes.

What comes out went the agent's own way: registers as the map has them, decoded, the ratio applied, floored.
Only the wire is left out, so that a month passes in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import msgspec

from agent.meters import modbus, register_map
from agent.meters.config import ModbusMeter
from agent.meters.meter_sweep import described
from agent.meters.told import Told, failed, measured
from agent.readings import DeviceTimeout
from agent.simulator import meter_modbus
from agent.simulator.meter_life import Curve, MeterFault, MeterLife
from agent.simulator.meter_modbus import Unit
from agent.wire import Meter, Record, RegisterReading, Registers

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
SILENT = "no whole answer within 5 s"


@dataclass(frozen=True, slots=True)
class Storied:
    """A meter as it stands in the agent's configuration, and what is behind it."""

    meter: ModbusMeter
    unit: Unit

    @property
    def life(self) -> MeterLife:
        return self.unit.life

    def told(self, at_us: int) -> Told | None:
        """What the driver makes of its registers at an instant; None where it does not answer."""
        shown, rules = self.unit.life.shown(at_us), self.unit.rules
        if shown is None:
            return None
        cells = meter_modbus.registers(rules, shown, self.unit.ratio)
        words = {
            name: [cells[r.function or 3, r.address + n] for n in range(r.count)]
            for name, r in rules.every.items()
        }
        return modbus.parse(rules, words, {})


def storied(life: MeterLife, map_name: str, *, interval_s: int = 60, ct_ratio: int = 1) -> Storied:
    """A life behind a meter of this map; its modulus, if it has one, is configured."""
    given = {
        "name": life.name, "source": "modbus", "address": "gateway:502", "map": map_name,
        "interval_s": interval_s, "ct_ratio": ct_ratio,
        "modulus_kwh": None if life.modulus_wh is None else Decimal(life.modulus_wh) / 1000 / ct_ratio,
    }  # fmt: skip
    unit = Unit(life, register_map.load(map_name), Fraction(ct_ratio))
    return Storied(ModbusMeter.model_validate(given), unit)


def story(start_us: int, seed: int = 7, interval_s: int = 60) -> list[Storied]:
    """A month's meters, one named after each thing that goes wrong, and one with which nothing does."""

    def at(day: float) -> int:
        return start_us + int(day * DAY_US)

    def life(name: str, *faults: MeterFault, start_wh: int = 0, modulus_wh: int | None = None) -> MeterLife:
        number = len(lives) + 1
        lives.append(MeterLife(name, Curve(seed * 100 + number, start_us), str(1000 + number), start_wh,
                               modulus_wh, faults))  # fmt: skip
        return lives[-1]

    lives: list[MeterLife] = []
    life("good", start_wh=12_345_670)
    life("reversed", MeterFault("reversed", at(6.3), at(9.3)))
    life("rollover", start_wh=990_000_000, modulus_wh=1_000_000_000)
    life("replaced", MeterFault("replaced", at(12.41), serial="2005", start_wh=3_210))
    life("frozen", MeterFault("frozen", at(15.2), at(15.2) + 5 * HOUR_US))
    life("reset", MeterFault("reset", at(18.77)), start_wh=77_000_000)
    life("lagging", MeterFault("lagging", at(20), at(22), lag_us=15 * 60 * 1_000_000))
    life("silent", MeterFault("silent", at(24.1), at(24.6)))
    return [storied(one, "abb_b23", interval_s=interval_s, ct_ratio=1) for one in lives]


def records(stories: Sequence[Storied], start_us: int, end_us: int) -> Iterator[Record]:
    """What the agent would have put into its spool, pass after pass; all meters of one interval."""
    known: dict[str, Meter] = {}
    interval_s = stories[0].meter.interval_s
    for at_us in range(start_us, end_us, interval_s * 1_000_000):
        readings = []
        for one in stories:
            meter, result = one.meter, one.told(at_us)
            before = known.get(meter.name)
            about = described(meter, result, before, at_us)
            if before is None or msgspec.structs.replace(before, at_us=at_us) != about:
                known[meter.name] = about
                yield about
            got = failed(DeviceTimeout(SILENT)) if result is None else measured(result, meter.ratio)
            readings.append(
                RegisterReading(meter.name, 0, got.import_wh, got.export_wh, got.power_mw, got.problem)
            )
        yield Registers(at_us, interval_s, readings)
