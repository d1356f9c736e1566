"""The simulated site: what a poll in a sweep gives, what the box's clocks show then, and the energy in truth.

All of it is a function of seed and number of the sweep: killed and started anew the site goes on as it was,
and the harness knows the truth without asking anybody who may be killed.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from zlib import crc32

import msgspec

from agent.box_time import Moment
from agent.readings import DeviceTimeout, Reading
from agent.simulator.farm import Farm
from agent.simulator.fleet import fleet
from agent.simulator.model import Device
from tests.chaos.plan import ClockFault, clock_faults

MONTH = "2026-09"
INTERVAL_S = 60
INTERVAL_US = INTERVAL_S * 1_000_000
MAX_SWEEPS = 1_000_000
UP_US = 3600 * 1_000_000  # since the box's boot, at the first sweep
DEAD_CLOCKS_US = (0, (1 << 31) * 1_000_000)
# The least energy that is told: what a ledger may be behind the truth in one half-hour, of one device.
WH = 1


class Site:
    """Devices that all go on mining, by smooth curves whose integral is known in closed form."""

    def __init__(self, seed: int, devices: int) -> None:
        # Families whose identity does not change with what a poll may or may not tell.
        self.farm = Farm(fleet(seed, devices, {"antminer": 2, "whatsminer": 1}, MONTH))
        self.name = self.farm.plan.sites[0].name
        self.start_us = self.farm.plan.sites[0].start_us
        self.devices = {device.address: device for device in self.farm.devices}

    def at_us(self, sweep: int) -> int:
        """When a sweep is made."""
        return self.start_us + sweep * INTERVAL_US

    def fails(self, address: str, sweep: int) -> bool:
        """Two polls in a hundred, never more than two in a row: such a hole is bridged."""
        return sweep % 3 != 0 and crc32(f"{address} {sweep}".encode()) % 50 == 0

    def poll(self, address: str, sweep: int) -> Reading:
        """What the device says, its power unrounded; DeviceTimeout where it says nothing."""
        if self.fails(address, sweep):
            raise DeviceTimeout("connected, no reply")
        at_us = self.at_us(sweep)
        reading = self.farm.reading_at(address, at_us)
        assert isinstance(reading, Reading)
        return msgspec.structs.replace(reading, power_w=self.devices[address].curve.power_w(at_us))

    def read(self, address: str, first: int, last: int) -> tuple[int, int]:
        """The first and the last sweep of these in which the device is read."""
        while self.fails(address, first):
            first += 1
        while self.fails(address, last):
            last -= 1
        return first, last

    @staticmethod
    def energy_wh(device: Device, start_us: int, end_us: int) -> Fraction:
        """What the device drew, from the closed form of its curve."""
        return Fraction(device.curve.energy_j(start_us, end_us)) / 3600


class SiteBox:
    """The agent's box: base and wall clock at the sweep that `sweep` names."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site, self._faults = site, clock_faults(seed, MAX_SWEEPS)
        self._reboots = [fault.first for fault in self._faults if fault.reboot]
        self._firsts = [fault.first for fault in self._faults]
        self.sweep = 0

    def boots_at(self, sweep: int) -> bool:
        """True for a sweep before which the box is switched off and on."""
        return sweep in self._reboots

    @property
    def boot(self) -> str:
        return str(bisect_right(self._reboots, self.sweep))

    def base_us(self) -> int:
        boots = bisect_right(self._reboots, self.sweep)
        since = self._reboots[boots - 1] if boots else 0
        return UP_US + (self.sweep - since) * INTERVAL_US

    def look(self) -> Moment:
        true_us, fault = self._site.at_us(self.sweep), self._fault()
        if fault is None:
            return Moment(self.base_us(), true_us, True, 1_000)
        wrong_us = true_us + fault.wrong_us
        if fault.reboot:
            wrong_us = DEAD_CLOCKS_US[fault.wrong_us % 2]
        return Moment(self.base_us(), wrong_us, False)

    def _fault(self) -> ClockFault | None:
        place = bisect_right(self._firsts, self.sweep) - 1
        if place >= 0 and self.sweep <= self._faults[place].last:
            return self._faults[place]
        return None
