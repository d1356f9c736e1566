"""`Stage`: what stands at an address at this instant, the rehearsal's faults included; no sockets.

Everything is kept for the second it belongs to, for clients ask the same of many devices, and of one device
again and again, but a device's figures change once a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.readings import FailureKind
from agent.simulator.families import FAMILIES, Door
from agent.simulator.farm import SHARE_EVERY_US, Farm, Snapshot, Span
from agent.simulator.faults import Fault, swapped
from agent.simulator.model import FOREVER_US, Device

REBOOT_S = 15.0
# A second of replies; more are asked by nobody, and then the second is short.
MAX_CACHED = 50_000


class Scene(NamedTuple):
    """The device at an address, as it is this second."""

    device: Device
    now: Snapshot
    is_silent: bool


class Stage:
    """The farm at its clock's instant; with `share` (n, of) only every of-th address."""

    def __init__(
        self,
        farm: Farm,
        clock: Callable[[], int],
        faults: Mapping[str, Fault],
        share: tuple[int, int] = (0, 1),
        reboot_s: float = REBOOT_S,
    ) -> None:
        self._farm, self._clock, self.faults = farm, clock, faults
        everywhere = [a for site in farm.plan.sites for a in farm.all_addresses(site.name)]
        self._addresses = everywhere[share[0] :: share[1]]
        self._reboot_us = int(reboot_s * 1e6)
        self._booted_us: dict[str, int] = {}  # MAC -> when it is up again, or was
        self._noticed: dict[str, Fault] = {}
        self._tenants: dict[str, str] = {}
        self._steady = (0, 0)
        self._second = -1
        self._scenes: dict[str, Scene | None] = {}
        self._replies: dict[tuple[str, Door, bytes], bytes] = {}

    def changed(self) -> bool:
        """True where devices or faults may have come or gone since the last `doors`."""
        now_us = self._clock()
        return not self._steady[0] <= now_us < self._steady[1] or self._noticed != self.faults

    def doors(self) -> dict[tuple[str, Door], Device]:
        """The ports that are open at this instant, each with the device behind it."""
        now_us = self._clock()
        self._notice(now_us)
        start_us, end_us = self._farm.steady(now_us)
        boots_us = [t for t in self._booted_us.values() if t > now_us]
        self._steady = (start_us, min([end_us, *boots_us]))
        found: dict[tuple[str, Door], Device] = {}
        for address in self._addresses:
            span = self._span(address, now_us)
            if span is None or span.failure is FailureKind.UNREACHABLE:
                continue
            if self._noticed.get(address) is Fault.REFUSE:
                continue
            if self._booted_us.get(span.device.mac, -FOREVER_US) > now_us:
                continue
            for door in FAMILIES[span.device.model.family]:
                found[address, door] = span.device
        return found

    def _notice(self, now_us: int) -> None:
        """Take the faults as they are now: begin new reboots, pair the swaps."""
        before, self._noticed = self._noticed, dict(self.faults)
        self._tenants = swapped(self._noticed)
        for address, fault in self._noticed.items():
            if fault is Fault.REBOOT and before.get(address) is not Fault.REBOOT:
                span = self._span(address, now_us)
                if span is not None:
                    self._booted_us[span.device.mac] = now_us + self._reboot_us
        self._forget()

    def _forget(self) -> None:
        self._scenes.clear()
        self._replies.clear()

    def _span(self, address: str, t_us: int) -> Span | None:
        return self._farm.span(self._tenants.get(address, address), t_us)

    def scene(self, address: str) -> Scene | None:
        """The device at an address this second; None where there is none."""
        second = self._clock() // 1_000_000
        if second != self._second:
            self._second = second
            self._forget()
        try:
            return self._scenes[address]
        except KeyError:
            scene = self._scenes[address] = self._look(address, second * 1_000_000)
            return scene

    def _look(self, address: str, t_us: int) -> Scene | None:
        span = self._span(address, t_us)
        if span is None or span.failure is FailureKind.UNREACHABLE:
            return None
        now = span.snapshot(t_us)._replace(address=address)
        booted_us = self._booted_us.get(span.device.mac)
        if booted_us is not None and (up_us := max(t_us - booted_us, 0)) < now.uptime_s * 1_000_000:
            now = now._replace(uptime_s=up_us // 1_000_000, accepted=up_us // SHARE_EVERY_US)
        return Scene(span.device, now, span.failure is FailureKind.TIMEOUT)

    def reply(self, address: str, door: Door, raw: bytes, render: Callable[[], bytes]) -> bytes:
        """What `render` gives for a request, once for each device and second; after `scene`."""
        key = (address, door, raw)
        found = self._replies.get(key)
        if found is None:
            if len(self._replies) >= MAX_CACHED:
                self._replies.clear()
            found = self._replies[key] = render()
        return found
