"""A box whose clocks a test moves."""

from __future__ import annotations

from dataclasses import dataclass

from agent.box_time import Moment

S = 1_000_000
HOUR = 3600 * S
OCTOBER_US = 1_790_812_800 * S  # 2026-10-01T00:00:00Z


@dataclass
class TestBox:
    """Base and wall clock in microseconds; `true_us` is what a perfect clock would show."""

    __test__ = False

    true_us: int = OCTOBER_US
    up_us: int = 10 * HOUR
    wrong_us: int = 0  # wall clock less the truth
    synchronised: bool = False
    boot: str = "first"

    def pass_us(self, us: int, frozen: bool = False) -> None:
        """Time passes; for a `frozen` virtual machine its base stands still."""
        self.true_us += us
        if not frozen:
            self.up_us += us

    def reboot(self, off_us: int, up_us: int = 30 * S) -> None:
        """Power off and on."""
        self.true_us += off_us + up_us
        self.up_us, self.boot = up_us, self.boot + "'"

    def base_us(self) -> int:
        return self.up_us

    def look(self) -> Moment:
        return Moment(self.up_us, self.true_us + self.wrong_us, self.synchronised, 1_000)
