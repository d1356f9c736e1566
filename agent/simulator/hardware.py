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

AVALONS = (
    Model(
        "avalon", "Canaan", "AvalonMiner 1246", "1246-90",
        "24031501_51c83d7_90a2b1e", 3420, 90 * TH, 3, 120, (5320, 5380, 5350, 5310),
    ),
    Model(
        "avalon", "Canaan", "AvalonMiner 1566", "1566-185",
        "25061701_7d1e0aa_33f0c52", 3420, 185 * TH, 3, 160, (5410, 5430, 5400, 5390),
    ),
    Model(
        "avalon", "Canaan", "Avalon Q", "Q", "25071101_2b7c9d0",
        1674, 90 * TH, 1, 160, (2660, 2650, 2670, 2680),
    ),
    Model("avalon", "Canaan", "Avalon Nano 3S", "Nano3s", "25052102_5a3f1c8", 140, 6 * TH, 1, 12, (2250,)),
)  # fmt: skip
WHATSMINERS_V3 = (
    Model(
        "whatsminer-v3", "MicroBT", "M60S", "M60S_VK30",
        "20251105.11.REL", 3441, 186 * TH, 3, 75, _WHATSMINER_FANS_RPM,
    ),
    Model(
        "whatsminer-v3", "MicroBT", "M50S", "M50S_VH60",
        "20251105.11.REL", 3276, 126 * TH, 3, 105, _WHATSMINER_FANS_RPM,
    ),
)  # fmt: skip
# Other firmware on Antminers.
BRAIINS = (
    Model(
        "braiins", "Bitmain", "Antminer S19 XP", "Antminer S19 XP",
        "2025-10-14-0-5f2c77e1-25.09-plus", 3010, 140 * TH, 3, 110, _ANTMINER_FANS_RPM,
    ),
    Model(
        "braiins", "Bitmain", "Antminer S19j Pro", "Antminer S19J Pro",
        "2025-10-14-0-5f2c77e1-25.09-plus", 3050, 100 * TH, 3, 126, _ANTMINER_FANS_RPM,
    ),
)  # fmt: skip
# LuxOS and VNish read the supply where it measures, and estimate where it does not.
LUXOS = (
    Model(
        "luxos", "Bitmain", "Antminer S19k Pro", "Antminer S19k Pro",
        "LuxOS 2025.10.2.114530", 2760, 120 * TH, 3, 77, _ANTMINER_FANS_RPM,
    ),
    Model(
        "luxos", "Bitmain", "Antminer S21", "Antminer S21",
        "LuxOS 2025.10.2.114530", 3500, 200 * TH, 3, 108, _ANTMINER_FANS_RPM, metered=True,
    ),
)  # fmt: skip
VNISH = (
    Model(
        "vnish", "Bitmain", "Antminer S19 Pro", "Antminer S19 Pro",
        "VNish 1.2.6", 3250, 110 * TH, 3, 114, _ANTMINER_FANS_RPM,
    ),
    Model(
        "vnish", "Bitmain", "Antminer S21 Pro", "Antminer S21 Pro",
        "VNish 1.2.6", 3510, 234 * TH, 3, 65, _ANTMINER_FANS_RPM, metered=True,
    ),
)  # fmt: skip
EPICS = (
    Model(
        "epic", "Bitmain", "Antminer S19 XP", "AntMiner S19 XP",
        "PowerPlay-BMS v1.15.1", 3010, 140 * TH, 3, 110, _ANTMINER_FANS_RPM,
    ),
    Model(
        "epic", "Bitmain", "Antminer S19j Pro", "AntMiner S19J Pro",
        "PowerPlay-BMS v1.15.1", 3050, 100 * TH, 3, 126, _ANTMINER_FANS_RPM,
    ),
)  # fmt: skip

MODELS = {
    "antminer": ANTMINERS,
    "whatsminer": WHATSMINERS,
    "axeos": BITAXES,
    "avalon": AVALONS,
    "whatsminer-v3": WHATSMINERS_V3,
    "braiins": BRAIINS,
    "luxos": LUXOS,
    "vnish": VNISH,
    "epic": EPICS,
}
