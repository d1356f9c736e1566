"""What the box itself knows of time: a steady base, its wall clock, and whether the kernel calls that right.

The base is CLOCK_BOOTTIME: no step of the wall clock moves it, and it goes on while a box sleeps
(CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW stand still then, and everything read afterwards would be dated too
early). The kernel slews it with the wall clock, at most 500 ppm, so a disciplined box keeps its rate too.
What it does not see is a virtual machine that was frozen from outside.

The kernel's word is `adjtimex` without any change, which needs no privilege: STA_UNSYNC is cleared by
whatever disciplines the clock (chrony with `rtcsync`, ntpd, systemd-timesyncd, PTP), and set again when
someone sets the clock by hand or the discipline has been silent for some nine hours.

"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import NamedTuple, Protocol

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BASE = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # elsewhere than on Linux: what there is
_STA_UNSYNC = 0x40


class Moment(NamedTuple):
    """One look at the box: base and wall clock at the same instant, and the kernel's word on the latter."""

    base_us: int
    wall_us: int
    synchronised: bool
    error_us: int | None = None  # the kernel's estimate, where it is synchronised


class Box(Protocol):
    """Where the agent's clock looks; `boot` changes with every start of the box, and the base begins anew."""

    @property
    def boot(self) -> str: ...

    def base_us(self) -> int: ...

    def look(self) -> Moment: ...


class _Timex(ctypes.Structure):
    """The kernel's struct timex, and room for what a later one may append."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    ]


class LinuxBox:
    """This box."""

    def __init__(self) -> None:
        # Without a boot's id nothing of this process can be known again in the next one: a name of its own.
        self._boot = BOOT_ID.read_text("ascii").strip() if BOOT_ID.is_file() else os.urandom(16).hex()
        self._adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)

    @property
    def boot(self) -> str:
        return self._boot

    def base_us(self) -> int:
        return time.clock_gettime_ns(_BASE) // 1000

    def look(self) -> Moment:
        synchronised, error_us = self._kernel()
        before_us, wall_us, after_us = self.base_us(), time.time_ns() // 1000, self.base_us()
        return Moment((before_us + after_us) // 2, wall_us, synchronised, error_us)

    def _kernel(self) -> tuple[bool, int | None]:
        """(synchronised, estimated error in us); a kernel that may not be asked vouches for nothing."""
        answer = _Timex()
        if self._adjtimex is None or self._adjtimex(ctypes.byref(answer)) < 0:
            return False, None
        if answer.status & _STA_UNSYNC:
            return False, None
        return True, int(answer.esterror)
