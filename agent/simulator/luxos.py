"""What LuxOS replies on 4028: cgminer with commands of its own; `config` has MAC and serial."""

from __future__ import annotations

from collections.abc import Mapping

from agent.readings import State
from agent.simulator.dialects import Commands
from agent.simulator.farm import Snapshot
from agent.simulator.model import Device
from agent.simulator.pages import Pages, page
from agent.simulator.replies import (
    Render,
    Reply,
    board_rates,
    board_temps_c,
    cgminer_pools,
    chip_temps_c,
    fans_rpm,
    header,
    refusals,
    share_counts,
)

PROGRAM = "LUXminer 2025.10.2.114530-3c9e5d71"
_BUILT = "Thu Oct  2 11:45:30 UTC 2025"
_WINDOWS = ("5s", "1m", "5m", "15m", "30m", "24h", "av")


def _envelope(now: Snapshot, code: int, message: str, name: str, rows: list[Reply]) -> Reply:
    return {name: rows, "STATUS": header(now, code, message, PROGRAM), "id": 1}


def _number(device: Device) -> str:
    return device.model.firmware.removeprefix("LuxOS ")


def _version(device: Device, now: Snapshot) -> Reply:
    row = {
        "API": "3.7",
        "CompileTime": _BUILT,
        "LUXminer": PROGRAM.removeprefix("LUXminer "),
        "Miner": _number(device),
        "Type": device.model.wire_name,
    }
    return _envelope(now, 22, "LUXminer versions", "VERSION", [row])


def _summary(device: Device, now: Snapshot) -> Reply:
    accepted, rejected, stale = share_counts(now)
    row = {
        "Elapsed": now.uptime_s,
        **{f"GHS {window}": now.hashrate for window in _WINDOWS},
        "Accepted": accepted,
        "Rejected": rejected,
        "Stale": stale,
        "Found Blocks": 0,
        "Hardware Errors": 0,
        "Last getwork": now.observed_us // 1_000_000,
    }
    return _envelope(now, 11, "Summary", "SUMMARY", [row])


def _power(device: Device, now: Snapshot) -> Reply:
    """PSU: whether the supply measured it; else it is the firmware's estimate."""
    return _envelope(now, 311, "Power usage", "POWER", [{"PSU": device.model.metered, "Watts": now.power_w}])


def _config(device: Device, now: Snapshot) -> Reply:
    awake = now.state is State.MINING
    row = {
        "ASC Count": device.model.boards,
        "PGA Count": 0,
        "Pool Count": len(device.pools),
        "Strategy": "Failover",
        "OS": "LuxOS",
        "Hotplug": "None",
        "Model": device.model.wire_name,
        "Hostname": device.hostname,
        "MACAddr": device.mac,
        "SerialNumber": device.serial,
        "IPAddr": now.address,
        "DHCP": True,
        "ControlBoardType": "cvitek",
        "CurtailMode": "None" if awake else "Sleep",
        "IsPowerSupplyOn": awake,
        "IsAtmEnabled": True,
        "IsTuning": False,
        "NameplateTHS": device.model.nameplate_hs / 1e12,
        "PSULabel": "APW121215f",
        "Profile": "default",
        "SystemStatus": "Normal",
        "UpdateOnStartup": "off",
    }
    return _envelope(now, 33, "LUXminer config", "CONFIG", [row])


def _stats(device: Device, now: Snapshot) -> Reply:
    model = device.model
    row: Reply = {
        "STATS": 0,
        "ID": "BTM_SOC0",
        "Elapsed": now.uptime_s,
        "GHS 5s": now.hashrate,
        "GHS av": now.hashrate,
        "rate_30m": now.hashrate,
        "rate_unit": "GH",
        "miner_count": model.boards,
        "fan_num": len(model.fans_rpm),
        "miner_version": _number(device),
        "miner_id": device.mac.replace(":", ""),
        "total_rateideal": model.nameplate_hs / 1e9,
        # This firmware writes the mean of the boards under this name.
        "total rate": round(now.hashrate / model.boards, 2),
        **{f"fan{n}": rpm for n, rpm in enumerate(fans_rpm(device, now), 1)},
    }
    boards = zip(board_rates(device, now), board_temps_c(device, now), chip_temps_c(device, now), strict=True)
    for n, (rate, temp_c, chip_c) in enumerate(boards, 1):
        row[f"chain_acn{n}"] = model.chips_per_board
        row[f"chain_rate{n}"] = f"{rate:.2f}"
        row[f"temp_pcb{n}"] = "-".join(str(round(temp_c - d)) for d in (0, 13, 13, 0))
        row[f"temp_chip{n}"] = "-".join(str(round(chip_c - d)) for d in (0, 13, 13, 0))
    head = {"Type": model.wire_name, "Miner": _number(device), "CompileTime": _BUILT}
    return _envelope(now, 70, "LUXminer stats", "STATS", [head, row])


def _devs(device: Device, now: Snapshot) -> Reply:
    boards = zip(board_rates(device, now), chip_temps_c(device, now), strict=True)
    rows: list[Reply] = [
        {
            "ASC": n,
            "ID": n,
            "Name": "",
            "Board": "BHB56903",
            "Connector": f"J{7 + n}",
            "SerialNumber": device.board_serials[n],
            "Enabled": "Y",
            "Status": "Alive",
            "IsUserShutdown": False,
            "Temperature": chip_c,
            **{f"MHS {window}": round(rate * 1000, 2) for window in ("5s", "1m", "5m", "15m", "30m", "av")},
            "Nominal MHS": device.model.nameplate_hs / 1e6 / device.model.boards,
            "Accepted": now.accepted // device.model.boards,
            "Rejected": 0,
            "Device Elapsed": now.uptime_s,
        }
        for n, (rate, chip_c) in enumerate(boards)
    ]
    return _envelope(now, 9, f"{len(rows)} ASC(s)", "DEVS", rows)


def _temps(device: Device, now: Snapshot) -> Reply:
    rows: list[Reply] = [
        {"TEMP": n, "ID": n, "TopLeft": c, "BottomLeft": c, "TopRight": c - 13, "BottomRight": c - 13}
        for n, c in enumerate(board_temps_c(device, now))
    ]
    return _envelope(now, 201, f"{len(rows)} Temp(s)", "TEMPS", rows)


def _fans(device: Device, now: Snapshot) -> Reply:
    rows: list[Reply] = [
        {"FAN": f"FAN{n + 1}", "ID": n, "RPM": rpm, "Speed": 60}
        for n, rpm in enumerate(fans_rpm(device, now))
    ]
    return _envelope(now, 202, f"{len(rows)} Fan(s)", "FANS", rows)


def _profiles(device: Device, now: Snapshot) -> Reply:
    row: Reply = {
        "Profile Name": "default",
        "Step": "0",
        "Frequency": 525,
        "Hashrate": device.model.nameplate_hs / 1e12,
        "Watts": device.model.nameplate_w,
        "IsTuned": False,
    }
    return _envelope(now, 334, "1 Profile(s)", "PROFILES", [row])


def _groups(_device: Device, now: Snapshot) -> Reply:
    return _envelope(now, 306, "1 Group(s)", "GROUPS", [{"GROUP": 0, "Name": "default", "Quota": 1.0}])


def _tempctrl(_device: Device, now: Snapshot) -> Reply:
    row: Reply = {"Mode": "Automatic", "Target": 55, "Hot": 75, "Dangerous": 85}
    return _envelope(now, 308, "Temperature control", "TEMPCTRL", [row])


COMMANDS: Mapping[str, Render] = {
    "version": _version,
    "summary": _summary,
    "pools": lambda device, now: cgminer_pools(device, now, PROGRAM),
    "power": _power,
    "config": _config,
    "stats": _stats,
    "devs": _devs,
    "temps": _temps,
    "fans": _fans,
    "profiles": _profiles,
    "groups": _groups,
    "tempctrl": _tempctrl,
}
CGMINER = Commands(COMMANDS, refusals(PROGRAM))
WEB = Pages(index=page("Luxor Firmware"))
