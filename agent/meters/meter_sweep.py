"""One pass over a site's meters: every meter gives a reading, and where it gives none, the reading says why.

Passes begin on multiples of their interval in UTC, so that with every interval that divides 30 minutes one
falls on each boundary of the ledger's half-hours. Meters of one interval share a pass and a record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from agent import wire
from agent.meters import told as tell
from agent.meters.config import Meter
from agent.meters.drivers import Read
from agent.meters.told import Measured, Told
from agent.readings import DeviceError, DeviceTimeout
from agent.wire import Record, RegisterReading, Registers

# Meters read at a time: a site has some hundred; their gateways serve one each.
CONCURRENCY = 64
US = 1_000_000


@dataclass(frozen=True, slots=True)
class MeterSeen:
    """What the exporter shows of a meter: the last values, the last problem, and how old the values are."""

    meter: str
    model: str = ""
    import_wh: int | None = None
    export_wh: int | None = None
    power_w: float | None = None
    problem: str = ""
    read_s: float | None = None  # monotonic


class MeterSweep:
    """A site's meters: what is known of them, and how they are read."""

    def __init__(
        self, meters: Sequence[Meter], now_us: Callable[[], int], put: Callable[[list[Record]], None]
    ) -> None:
        self._meters, self._now_us, self._put = meters, now_us, put
        self._known: dict[str, wire.Meter] = {}
        self._turns = asyncio.Semaphore(CONCURRENCY)
        self.seen: dict[str, MeterSeen] = {meter.name: MeterSeen(meter.name) for meter in meters}

    async def run(self, reads: Mapping[str, Read]) -> None:
        """Pass after pass, until cancelled: the first at once, the others when they are due."""
        intervals = sorted({meter.interval_s for meter in self._meters})
        await asyncio.gather(*(self._keep_on(interval_s, reads) for interval_s in intervals))

    async def _keep_on(self, interval_s: int, reads: Mapping[str, Read]) -> None:
        while True:
            await self.once(interval_s, reads)
            await asyncio.sleep(wait_s(self._now_us(), interval_s))

    async def once(self, interval_s: int, reads: Mapping[str, Read]) -> Registers:
        """One pass over the meters of an interval: read, convert, hand over."""
        at_us, began_s = self._now_us(), time.monotonic()
        ours = [meter for meter in self._meters if meter.interval_s == interval_s]
        results = await asyncio.gather(*(self._read(meter, reads[meter.name]) for meter in ours))
        records: list[Record] = []
        readings = []
        for meter, result in zip(ours, results, strict=True):
            about = self._about(meter, result if isinstance(result, Told) else None, at_us)
            if about is not None:
                records.append(about)
            readings.append(self._reading(meter, result, began_s))
        registers = Registers(at_us, interval_s, readings)
        self._put([*records, registers])
        return registers

    async def _read(self, meter: Meter, read: Read) -> Told | DeviceError:
        try:
            # Its own deadline holds once it is its turn; a pass must not run into the one after the next.
            async with asyncio.timeout(max(meter.interval_s, meter.deadline_s)), self._turns:
                return await read()
        except TimeoutError:
            return DeviceTimeout(f"its turn on {meter.address} did not come within {meter.interval_s} s")
        except DeviceError as error:
            return error

    def _reading(self, meter: Meter, result: Told | DeviceError, began_s: float) -> RegisterReading:
        now_s = time.monotonic()
        if isinstance(result, Told):
            got, read_s = tell.measured(result, meter.ratio), result.told_s
        else:
            got, read_s = tell.failed(result), now_s
        self._show(meter, got, read_s)
        delay_ms = round((read_s - began_s) * 1000)
        return RegisterReading(meter.name, delay_ms, got.import_wh, got.export_wh, got.power_mw, got.problem)

    def _show(self, meter: Meter, got: Measured, read_s: float) -> None:
        before, known = self.seen[meter.name], self._known.get(meter.name)
        read = got.import_wh is not None
        self.seen[meter.name] = MeterSeen(
            meter.name,
            (known.model if known else None) or "",
            got.import_wh if read else before.import_wh,
            got.export_wh if read else before.export_wh,
            None if got.power_mw is None else got.power_mw / 1000,
            got.problem,
            read_s if read else before.read_s,
        )

    def _about(self, meter: Meter, told: Told | None, at_us: int) -> wire.Meter | None:
        """The meter as it is now, if that is news; what was not read this time stays as it was."""
        before = self._known.get(meter.name)
        about = described(meter, told, before, at_us)
        if before is not None and msgspec.structs.replace(before, at_us=at_us) == about:
            return None
        self._known[meter.name] = about
        return about


def described(meter: Meter, told: Told | None, before: wire.Meter | None, at_us: int) -> wire.Meter:
    """A meter's record from its configuration, what it told now, and what was known before."""
    told = told or Told()
    same = before is not None and told.serial in (None, before.serial)
    old = before if same else None
    modulus_wh = (
        tell.modulus_wh(told, meter.ratio)
        if meter.modulus_kwh is None
        else int(Fraction(meter.modulus_kwh) * 1000 * meter.ratio)
    )
    return wire.Meter(
        at_us=at_us,
        meter=meter.name,
        source=meter.record_source,
        address=meter.place,
        register_map=meter.rules,
        make=told.make or (old.make if old else None),
        model=told.model or (old.model if old else None),
        firmware=told.firmware or (old.firmware if old else None),
        serial=told.serial or (old.serial if old else None),
        ct_ratio=meter.ct_ratio,
        vt_ratio=meter.vt_ratio,
        step_wh=tell.step_wh(told, meter.ratio) or (old.step_wh if old else None),
        modulus_wh=modulus_wh or (old.modulus_wh if old else None),
    )


def wait_s(now_us: int, interval_s: int) -> float:
    """Until the next multiple of the interval in UTC; a whole one where that is now."""
    return (interval_s * US - now_us % (interval_s * US)) / US
