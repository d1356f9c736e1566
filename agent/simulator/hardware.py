"""The models of the simulated farm, with the figures of their data sheets."""

from __future__ import annotations

from agent.simulator.model import Model

TH = 1e12

_ANTMINER_FANS_RPM = (5880, 5760, 5040, 5040)
_WHATSMINER_FANS_RPM = (5400, 5280)  # intake, exhaust

ANTMINERS = (
    Model(
        "antminer", "Bitmain", "Antminer S19 Pro", "Antminer S19 Pro",
        "Mon Mar  4 10:20:30 CST 2024", 3250, 110 * TH, 3, 114, _ANTMINER_FANS_RPM,
    ),
    Model(
        "antminer", "Bitmain", "Antminer S21", "Antminer S21",
        "Tue Sep  9 09:08:07 CST 2025", 3500, 200 * TH, 3, 108, _ANTMINER_FANS_RPM,
    ),
)  # fmt: skip
WHATSMINERS = (
    Model(
        "whatsminer", "MicroBT", "M50S", "M50S_VH30",
        "20240118.14.REL", 3276, 126 * TH, 3, 105, _WHATSMINER_FANS_RPM,
    ),
    Model(
        "whatsminer", "MicroBT", "M60", "M60_VK30",
        "20240118.14.REL", 3422, 172 * TH, 3, 148, _WHATSMINER_FANS_RPM,
    ),
)  # fmt: skip
# The wire name of a Bitaxe is its chip; the board version tells the rest.
BITAXES = (
    Model("axeos", "Bitaxe", "Bitaxe Supra", "BM1368", "v2.6.1", 15, 0.7 * TH, 1, 1, (4200,)),
    Model("axeos", "Bitaxe", "Bitaxe Gamma", "BM1370", "v2.6.1", 18, 1.2 * TH, 1, 1, (4500,)),
)

MODELS = {"antminer": ANTMINERS, "whatsminer": WHATSMINERS, "axeos": BITAXES}
