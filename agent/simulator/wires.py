"""What each family's replies can carry, and how finely: a row a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.readings import PowerOrigin


@dataclass(frozen=True, slots=True)
class Wire:
    """What a family's replies can carry, and how finely."""

    hashrate_unit_hs: float
    hashrate_window: str
    power_origin: PowerOrigin  # psu_measured instead where the model's supply is metered
    decimals: int = 2  # of a rate
    whole_watts: bool = True
    tells_shares: bool = True  # of each pool
    tells_stale: bool = False
    tells_boards: bool = True  # which of them hash
    tells_hostname: bool = True
    tells_board_temps: bool = True
    tells_chip_temps: bool = True
    tells_chips: bool = True
    tells_board_serials: bool = True
    tells_psu_serial: bool = False
    unknown: Mapping[str, str] = field(default_factory=dict)


WIRES: Mapping[str, Wire] = {
    # Nothing in an Antminer's replies says that the supply measured it.
    "antminer": Wire(1e9, "5s", PowerOrigin.FIRMWARE_ESTIMATED, tells_stale=True),
    "whatsminer": Wire(1e6, "realtime", PowerOrigin.PSU_MEASURED),
    # AxeOS counts shares for the device, not for each of its two pools.
    "axeos": Wire(
        1e9,
        "realtime",
        PowerOrigin.DC_OUTPUT,
        whole_watts=False,
        tells_shares=False,
        tells_boards=False,
        tells_board_serials=False,
        unknown={"serial": "AxeOS has no serial number"},
    ),
    "avalon": Wire(
        1e9,
        "realtime",
        PowerOrigin.WALL_MEASURED,
        tells_stale=True,
        tells_boards=False,
        tells_hostname=False,
        tells_board_temps=False,
        tells_board_serials=False,
    ),
    "whatsminer-v3": Wire(
        1e12,
        "realtime",
        PowerOrigin.PSU_MEASURED,
        decimals=3,
        tells_shares=False,
        tells_psu_serial=True,
    ),
    "braiins": Wire(
        1e9,
        "5s",
        PowerOrigin.FIRMWARE_ESTIMATED,
        tells_stale=True,
        unknown={"serial": "this unit tells no serial number"},
    ),
    "luxos": Wire(1e9, "5s", PowerOrigin.FIRMWARE_ESTIMATED, tells_stale=True),
    "vnish": Wire(
        1e9,
        "realtime",
        PowerOrigin.FIRMWARE_ESTIMATED,
        tells_stale=True,
        tells_board_serials=False,
        unknown={"serial": "the serial is N/A"},
    ),
    "epic": Wire(
        1e6,
        "realtime",
        PowerOrigin.FIRMWARE_ESTIMATED,
        whole_watts=False,
        tells_shares=False,
        tells_chip_temps=False,
        tells_chips=False,
        unknown={"serial": "ePIC tells no serial number of the unit"},
    ),
}
