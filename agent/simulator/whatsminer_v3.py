"""What a WhatsMiner with API 3 replies on 4433, and the little that it still does on 4028."""

from __future__ import annotations

from collections.abc import Mapping

from agent.readings import State
from agent.simulator import whatsminer
from agent.simulator.dialects import ACCESS_DENIED, Commands, Sections
from agent.simulator.farm import Snapshot, psu_serial
from agent.simulator.model import Device
from agent.simulator.replies import Render, Reply, board_rates, board_temps_c, chip_temps_c, fans_rpm

API = "3.0.2"
_STATUS = "get.miner.status"


def _info(device: Device, now: Snapshot) -> Reply:
    miner = {
        "type": device.model.wire_name,
        "hash-board": device.model.wire_name.rpartition("_")[2],
        "board-num": str(device.model.boards),
        "miner-sn": device.serial,
        **{f"pcbsn{n}": serial for n, serial in enumerate(device.board_serials)},
        "working": "true" if now.state is State.MINING else "false",
        "pool-strategy": "FAILOVER",
        "fast-boot": "disable",
        "hash-percent": "0",
    }
    network = {
        "ip": now.address,
        "proto": "dhcp",
        "netmask": "255.255.255.0",
        "mac": device.mac.upper(),
        "hostname": device.hostname,
    }
    power = {"type": "P222B", "model": "P222B", "sn": psu_serial(device), "fanspeed": 6240, "mode": "1"}
    system = {"api": API, "platform": "H616", "fwversion": device.model.firmware, "ledstatus": "auto"}
    return {"network": network, "miner": miner, "system": system, "power": power, "salt": "simulated"}


def _summary(device: Device, now: Snapshot) -> Reply:
    intake, exhaust = fans_rpm(device, now)
    hottest_c = max(chip_temps_c(device, now))
    row = {
        "elapsed": now.uptime_s,
        "bootup-time": now.uptime_s + 42,
        "freq-avg": 625,
        "hash-average": now.hashrate,
        "hash-1min": now.hashrate,
        "hash-15min": now.hashrate,
        "hash-realtime": now.hashrate,
        "factory-hash": round(device.model.nameplate_hs / 1e12, 3),
        "power-realtime": now.power_w,
        "power-5min": now.power_w,
        "power-limit": device.rated_w,
        "power-rate": round(now.power_w / now.hashrate, 1) if now.hashrate else 0.0,
        "environment-temperature": 22.0,
        "board-temperature": board_temps_c(device, now),
        "chip-temp-min": hottest_c - 18,
        "chip-temp-avg": hottest_c - 9,
        "chip-temp-max": hottest_c,
        "fan-speed-in": intake,
        "fan-speed-out": exhaust,
        "up-freq-finish": 1,
    }
    return {"summary": row}


def _pools(device: Device, now: Snapshot) -> Reply:
    rows = [
        {
            "url": pool.url,
            "account": pool.user,
            "status": "alive",
            "stratum-active": n == 0 and now.state is State.MINING,
            "pool-priority": n,
        }
        for n, pool in enumerate(device.pools)
    ]
    return {"pools": rows}


def _edevs(device: Device, now: Snapshot) -> Reply:
    boards = zip(board_rates(device, now), chip_temps_c(device, now), strict=True)
    rows = [
        {
            "id": n,
            "status": "alive",
            "hash-average": rate,
            "hash-realtime": rate,
            "factory-hash": round(device.model.nameplate_hs / 1e12 / device.model.boards, 3),
            "freq": 625.0,
            "effective-chips": device.model.chips_per_board,
            "chip-temp-min": chip_c - 18,
            "chip-temp-avg": chip_c - 9,
            "chip-temp-max": chip_c,
        }
        for n, (rate, chip_c) in enumerate(boards)
    ]
    return {"edevs": rows}


SECTIONS: Mapping[tuple[str, str | None], Render] = {
    ("get.device.info", None): _info,
    (_STATUS, "summary"): _summary,
    (_STATUS, "pools"): _pools,
    (_STATUS, "edevs"): _edevs,
}
V3 = Sections(SECTIONS)


def _version(device: Device, now: Snapshot) -> Reply:
    body = {"api_ver": API, "fw_ver": device.model.firmware, "platform": "H616", "chip": ""}
    return whatsminer.message(now, body)


CGMINER = Commands(
    {"get_version": _version, "devdetails": whatsminer.COMMANDS["devdetails"]},
    whatsminer.CGMINER.refuse,
    keys=("cmd", "command"),
    unknown=(ACCESS_DENIED, "Access denied"),
)
