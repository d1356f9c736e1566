"""What Braiins OS replies: the REST API of 2025 behind a login, and the cgminer API on 4028."""

from __future__ import annotations

from collections.abc import Mapping

from agent.readings import State
from agent.simulator.dialects import Commands
from agent.simulator.farm import Snapshot
from agent.simulator.model import Device
from agent.simulator.pages import Page, Pages, page, token
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

PROGRAM = "BOSer boser-buildroot 0.1.0-5f2c77e1"
_STATUS_NORMAL, _STATUS_PAUSED = 2, 3
_WINDOWS = ("last_5s", "last_15s", "last_30s", "last_1m", "last_5m", "last_15m", "last_30m", "last_1h")


def _ghs(rate: float) -> Reply:
    return {"gigahash_per_second": rate}


def _rates(rate: float, nominal: float) -> Reply:
    return {
        "best_share": 776_342_690,
        "error_hashrate": {"megahash_per_second": 0.0},
        "found_blocks": 0,
        "nominal_hashrate": _ghs(nominal),
        "real_hashrate": {window: _ghs(rate) for window in (*_WINDOWS, "last_24h", "since_restart")},
    }


def _nominal_ghs(device: Device) -> float:
    return device.model.nameplate_hs / 1e9


def _details(device: Device, now: Snapshot) -> Reply:
    name = device.model.wire_name
    return {
        "uid": device.mac.replace(":", "")[-8:],
        "miner_identity": {"brand": 1, "model": 18, "name": name, "miner_model": name},
        "platform": 4,
        "bos_mode": 4,
        "bos_version": {"current": device.model.firmware, "major": "2022-09-13-0-11012d53-22.08-plus"},
        "hostname": device.hostname,
        "mac_address": device.mac,
        "serial_number": None,
        "system_uptime": now.uptime_s + 40,
        "system_uptime_s": now.uptime_s + 40,
        "bosminer_uptime_s": now.uptime_s,
        "sticker_hashrate": _ghs(_nominal_ghs(device)),
        "psu_info": {"model_name": "APW121215d", "serial_number": None, "fw_version": None, "version": 117},
        "status": _STATUS_NORMAL if now.state is State.MINING else _STATUS_PAUSED,
        "kernel_version": "4.9.113",
        "control_board_soc_family": 3,
    }


def _pool_counts(now: Snapshot, place: int = 0) -> Reply:
    accepted, rejected, stale = share_counts(now, place)
    return {
        "accepted_shares": accepted,
        "rejected_shares": rejected,
        "stale_shares": stale,
        "last_difficulty": 262_144,
        "best_share": 776_342_690,
        "generated_work": accepted * 1_700_000,
        "last_share_time": {"nanos": 0, "seconds": now.observed_us // 1_000_000},
    }


def _miner_stats(device: Device, now: Snapshot) -> Reply:
    efficiency = now.power_w / now.hashrate * 1000 if now.hashrate else None
    return {
        "miner_stats": _rates(now.hashrate, _nominal_ghs(device)),
        "pool_stats": _pool_counts(now),
        "power_stats": {
            "approximated_consumption": {"watt": now.power_w},
            "efficiency": {"joule_per_terahash": efficiency},
        },
    }


def _hashboards(device: Device, now: Snapshot) -> Reply:
    model, mining = device.model, now.state is State.MINING
    boards = zip(board_rates(device, now), board_temps_c(device, now), chip_temps_c(device, now), strict=True)
    rows = [
        {
            "id": str(n + 1),
            "enabled": mining,
            "board_name": "BHB56802",
            "model": "BHB56802",
            "serial_number": device.board_serials[n],
            "chip_type": "BM1366",
            "chips_count": model.chips_per_board,
            "board_temp": {"degree_c": board_c},
            "highest_outlet_temp": {"degree_c": board_c},
            "lowest_inlet_temp": {"degree_c": board_c - 12},
            "highest_chip_temp": {"id": n + 1, "location": 1, "temperature": {"degree_c": chip_c}},
            "current_frequency": {"hertz": 486_000_000.0},
            "current_voltage": {"volt": 12.9},
            "stats": _rates(rate, _nominal_ghs(device) / model.boards),
        }
        for n, (rate, board_c, chip_c) in enumerate(boards)
    ]
    return {"hashboards": rows}


def _network(device: Device, now: Snapshot) -> Reply:
    return {
        "name": "eth0",
        "protocol": 1,
        "hostname": device.hostname,
        "mac_address": device.mac,
        "networks": [{"address": now.address, "netmask": "255.255.255.0"}],
        "dns_servers": [],
        "default_gateway": "",
    }


def _rest_pools(device: Device, now: Snapshot) -> list[Reply]:
    rows = [
        {
            "uid": f"pool{n}",
            "url": pool.url,
            "user": pool.user,
            "enabled": True,
            "alive": True,
            "active": n == 0 and now.state is State.MINING,
            "stats": _pool_counts(now, n),
        }
        for n, pool in enumerate(device.pools)
    ]
    return [{"name": "default", "pools": rows, "strategy": {"quota": {"value": 1}}}]


def _cooling(device: Device, now: Snapshot) -> Reply:
    hottest = {"id": None, "location": 1, "temperature": {"degree_c": max(chip_temps_c(device, now))}}
    fans = [
        {"position": n, "rpm": rpm, "target_speed_ratio": 1.0} for n, rpm in enumerate(fans_rpm(device, now))
    ]
    return {"fans": fans, "highest_temperature": hottest}


def _tuner_state(device: Device, now: Snapshot) -> Reply:
    profile = {
        "target": {"watt": device.model.nameplate_w},
        "estimated_power_consumption": {"watt": now.power_w},
        "measured_hashrate": _ghs(now.hashrate),
    }
    target = {"current_target": {"watt": device.model.nameplate_w}, "profile": profile}
    return {"overall_tuner_state": 2, "mode_state": {"powertargetmodestate": target}}


def _tuner_settings(device: Device, _now: Snapshot) -> Reply:
    target = {"watt": device.model.nameplate_w}
    return {"pool_groups": [], "tuner": {"enabled": True, "tuner_mode": 1, "power_target": target}}


_API = "/api/v1"
_VERSION, _LOGIN = f"{_API}/version", f"{_API}/auth/login"
PAGES: Mapping[str, Page] = {
    f"{_API}/miner/details": _details,
    f"{_API}/miner/stats": _miner_stats,
    f"{_API}/miner/hw/hashboards": _hashboards,
    f"{_API}/miner/errors": lambda _device, _now: {"errors": []},
    f"{_API}/network": _network,
    f"{_API}/pools": _rest_pools,
    f"{_API}/cooling/state": _cooling,
    f"{_API}/performance/tuner-state": _tuner_state,
    f"{_API}/configuration/miner": _tuner_settings,
    _VERSION: lambda _device, _now: {"major": 1, "minor": 3, "patch": 0},
}
# From the factory no password is set, and then every one is accepted.
WEB = Pages(
    PAGES,
    page("Braiins OS"),
    token(
        _LOGIN,
        lambda given: given.get("username") == "root",
        lambda path: path.startswith(_API) and path != _VERSION,
    ),
)


def _summary(device: Device, now: Snapshot) -> Reply:
    accepted, rejected, _ = share_counts(now)
    rate_mhs = round(now.hashrate * 1000, 2)
    windows = ("5s", "1m", "5m", "15m", "24h", "av")
    row = {
        "Elapsed": now.uptime_s,
        **{f"MHS {window}": rate_mhs for window in windows},
        "Found Blocks": 0,
        "Accepted": accepted,
        "Rejected": rejected,
        "Hardware Errors": 0,
    }
    return {"STATUS": header(now, 11, "Summary", PROGRAM), "SUMMARY": [row], "id": 1}


def _tunerstatus(device: Device, now: Snapshot) -> Reply:
    boards = device.model.boards
    row = {
        "ApproximateChainPowerConsumption": now.power_w,
        "ApproximateMinerPowerConsumption": now.power_w,
        "DynamicPowerScaling": "Disabled",
        "PowerLimit": device.model.nameplate_w,
        "TunerMode": "PowerTarget",
        "TunerRunning": True,
        "TunerChainStatus": [
            {
                "HashchainIndex": n + 1,
                "ApproximatePowerConsumptionWatt": round(now.power_w / boards),
                "PowerLimitWatt": round(device.model.nameplate_w / boards),
                "Status": "Stable",
            }
            for n in range(boards)
        ],
    }
    return {"STATUS": header(now, 210, "Tuner Status", PROGRAM), "TUNERSTATUS": [row], "id": 1}


def _devs(device: Device, now: Snapshot) -> Reply:
    boards = zip(board_rates(device, now), chip_temps_c(device, now), strict=True)
    rows = [
        {
            "ASC": n,
            "Name": "",
            "ID": n + 1,
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": chip_c,
            **{f"MHS {window}": round(rate * 1000, 2) for window in ("5s", "1m", "5m", "15m", "av")},
            "Nominal MHS": _nominal_ghs(device) * 1000 / device.model.boards,
            "Device Elapsed": now.uptime_s,
        }
        for n, (rate, chip_c) in enumerate(boards)
    ]
    return {"STATUS": header(now, 9, f"{len(rows)} ASC(s)", PROGRAM), "DEVS": rows, "id": 1}


def _devdetails(device: Device, now: Snapshot) -> Reply:
    rows = [
        {
            "DEVDETAILS": n,
            "ID": n + 1,
            "Name": "",
            "Driver": "",
            "Kernel": "",
            "Model": device.model.wire_name,
            "Device Path": "",
            "Chips": device.model.chips_per_board,
        }
        for n in range(device.model.boards)
    ]
    return {"STATUS": header(now, 69, "Device Details", PROGRAM), "DEVDETAILS": rows, "id": 1}


def _temps(device: Device, now: Snapshot) -> Reply:
    pairs = zip(board_temps_c(device, now), chip_temps_c(device, now), strict=True)
    rows = [{"TEMP": n, "ID": n + 1, "Board": board, "Chip": chip} for n, (board, chip) in enumerate(pairs)]
    return {"STATUS": header(now, 201, f"{len(rows)} Temp(s)", PROGRAM), "TEMPS": rows, "id": 1}


def _fans(device: Device, now: Snapshot) -> Reply:
    rows = [{"FAN": n, "ID": n, "RPM": rpm, "Speed": 100} for n, rpm in enumerate(fans_rpm(device, now))]
    return {"STATUS": header(now, 202, f"{len(rows)} Fan(s)", PROGRAM), "FANS": rows, "id": 1}


def _version(_device: Device, now: Snapshot) -> Reply:
    row = {"API": "3.7", "BOSer": PROGRAM.removeprefix("BOSer ")}
    return {"STATUS": header(now, 22, "BOSer versions", PROGRAM), "VERSION": [row], "id": 1}


COMMANDS: Mapping[str, Render] = {
    "version": _version,
    "summary": _summary,
    "pools": lambda device, now: cgminer_pools(device, now, PROGRAM),
    "tunerstatus": _tunerstatus,
    "devs": _devs,
    "devdetails": _devdetails,
    "temps": _temps,
    "fans": _fans,
}
CGMINER = Commands(COMMANDS, refusals(PROGRAM), end=b"")
