"""What a WhatsMiner with API 2 replies: pure functions from a device and its snapshot to the reply's JSON."""

from __future__ import annotations

from collections.abc import Mapping

from agent.readings import State
from agent.simulator.dialects import Commands
from agent.simulator.farm import CHIP_ABOVE_BOARD_C, REJECTED_OF, Snapshot
from agent.simulator.model import Device
from agent.simulator.pages import Pages, redirect
from agent.simulator.replies import Render, Reply, board_rates, clock_text, fans_rpm, header

PROGRAM = "btminer"


def message(now: Snapshot, body: Reply | str, status: str = "S", code: int = 131) -> Reply:
    """The envelope of btminer's own commands, and of its errors."""
    when_s = now.observed_us // 1_000_000
    return {"STATUS": status, "When": when_s, "Code": code, "Msg": body, "Description": ""}


def _fans(device: Device, now: Snapshot) -> Reply:
    intake, exhaust = fans_rpm(device, now)
    return {"Fan Speed In": intake, "Fan Speed Out": exhaust}


def _chip_temps(temp_c: int) -> Reply:
    """A board's three figures around the hottest chip's."""
    hottest_c = float(temp_c + CHIP_ABOVE_BOARD_C)
    return {"Chip Temp Min": hottest_c - 18, "Chip Temp Max": hottest_c, "Chip Temp Avg": hottest_c - 9}


def _summary(device: Device, now: Snapshot) -> Reply:
    row = {
        "Elapsed": now.uptime_s,
        "MHS av": now.hashrate,
        "HS RT": now.hashrate,
        "Accepted": now.accepted,
        "Rejected": now.accepted // REJECTED_OF,
        "Factory GHS": round(device.model.nameplate_hs / 1e9),
        **_chip_temps(max(device.board_temps_c) + now.heat_c),
        **_fans(device, now),
        "Env Temp": 22.0,
        "Power": now.power_w,
        "Power Limit": device.rated_w,
        "Power Mode": "Normal",
        "Target Freq": 600,
        "Hash Stable": now.state is State.MINING,
        "Uptime": now.uptime_s,
        "MAC": device.mac.upper(),
    }
    return {"STATUS": header(now, 11, "Summary", PROGRAM), "SUMMARY": [row], "id": 1}


def _pools(device: Device, now: Snapshot) -> Reply:
    rows = [
        {
            "POOL": n + 1,
            "URL": pool.url,
            "Status": "Alive",
            "Priority": n,
            "Accepted": 0 if n else now.accepted,
            "Rejected": 0 if n else now.accepted // REJECTED_OF,
            "User": pool.user,
            "Stratum Active": n == 0 and now.state is State.MINING,
        }
        for n, pool in enumerate(device.pools)
    ]
    return {"STATUS": header(now, 7, f"{len(rows)} Pool(s)", PROGRAM), "POOLS": rows, "id": 1}


def _devs(device: Device, now: Snapshot) -> Reply:
    model = device.model
    rows = [
        {
            "ASC": n,
            "Slot": n,
            "Name": "SM",
            "ID": n,
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": float(device.board_temps_c[n] + now.heat_c),
            "Chip Frequency": 600,
            "Frequency": 600.0,
            **_fans(device, now),
            "MHS av": rate,
            "Accepted": now.accepted // model.boards,
            "Rejected": 0,
            "Device Elapsed": now.uptime_s,
            "PCB SN": device.board_serials[n],
            **_chip_temps(device.board_temps_c[n] + now.heat_c),
            "Effective Chips": model.chips_per_board,
            "Factory GHS": round(model.nameplate_hs / 1e9 / model.boards),
        }
        for n, rate in enumerate(board_rates(device, now))
    ]
    return {"STATUS": header(now, 9, f"{len(rows)} ASC(s)", PROGRAM), "DEVS": rows, "id": 1}


def _devdetails(device: Device, now: Snapshot) -> Reply:
    rows = [
        {
            "DEVDETAILS": n,
            "Name": "SM",
            "ID": n,
            "Driver": "bitmicro",
            "Kernel": "",
            "Model": device.model.wire_name,
            "Device Path": "",
        }
        for n in range(device.model.boards)
    ]
    return {"STATUS": header(now, 69, "Device Details", PROGRAM), "DEVDETAILS": rows, "id": 1}


def _miner_info(device: Device, now: Snapshot) -> Reply:
    return message(
        now,
        {
            "hostname": device.hostname,
            "mac": device.mac.upper(),
            "ledstat": "auto",
            "minersn": device.serial,
        },
    )


def _version(device: Device, now: Snapshot) -> Reply:
    return message(now, {"api_ver": "2.0.5", "fw_ver": device.model.firmware, "platform": "H616"})


def _psu(device: Device, now: Snapshot) -> Reply:
    body = {"name": "P222B", "model": "P222B", "hw_version": "", "sw_version": "230208.220429"}
    return message(now, body | {"fan_speed": "6000"})


def _status(device: Device, now: Snapshot) -> Reply:
    asleep = now.state is State.SLEEPING
    return message(
        now,
        {
            "mineroff": "true" if asleep else "false",
            "mineroff_reason": "poweroff by user" if asleep else "",
            "mineroff_time": clock_text(now, "%Y-%m-%d %H:%M:%S") if asleep else "",
            "FirmwareVersion": device.model.firmware,
            "power_mode": "normal",
            "power_limit_set": str(device.rated_w),
            "hash_percent": "0",
        },
    )


def _error_code(device: Device, now: Snapshot) -> Reply:
    return message(now, {"error_code": []})


COMMANDS: Mapping[str, Render] = {
    "summary": _summary,
    "pools": _pools,
    "devs": _devs,
    "edevs": _devs,
    "devdetails": _devdetails,
    "get_miner_info": _miner_info,
    "get_version": _version,
    "get_psu": _psu,
    "status": _status,
    "get_error_code": _error_code,
}
CGMINER = Commands(
    COMMANDS,
    lambda now, code, said: message(now, said, "E", code),
    keys=("cmd", "command"),
    unknown=(14, "invalid cmd"),
)
WEB = Pages(guard=redirect)
