"""What VNish replies: JSON under /api/v1, settings behind an unlock, cgminer without `version`."""

from __future__ import annotations

from collections.abc import Mapping

from agent.readings import State
from agent.simulator.dialects import Commands
from agent.simulator.farm import Snapshot
from agent.simulator.model import Device
from agent.simulator.pages import Page, Pages, token
from agent.simulator.replies import (
    Render,
    Reply,
    board_rates,
    board_temps_c,
    chip_temps_c,
    fans_rpm,
    header,
    share_counts,
)

PROGRAM = "cgminer 4.11.1"
PASSWORD = "admin"  # noqa: S105 - the firmware's default, no secret
_BUILT = "2025-09-30 14:05:11"
_FEE_PERCENT = 2.8
_INDEX = (
    b'<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"><meta name="firmware" content="AnthillOS">'
    b"<title>AnthillOS</title></head><body><div id=root></div></body></html>"
)


def _type(device: Device) -> str:
    return f"{device.model.wire_name} (Vnish {_number(device)})"


def _number(device: Device) -> str:
    return device.model.firmware.removeprefix("VNish ")


def _host(device: Device, place: int) -> str:
    pool = device.pools[place]
    return f"{pool.host}:{pool.port}"


def _info(device: Device, now: Snapshot) -> Reply:
    minutes = now.uptime_s // 60
    short = device.model.wire_name.removeprefix("Antminer ").replace(" ", "").lower()
    network = {
        "mac": device.mac.upper(),
        "dhcp": True,
        "ip": now.address,
        "netmask": "255.255.255.0",
        "gateway": "",
        "dns": [],
        "hostname": device.hostname,
    }
    system = {
        "os": "GNU/Linux",
        "miner_name": short,
        "file_system_version": "",
        "network_status": network,
        "uptime": f"{minutes // 60}:{minutes % 60:02}",
    }
    return {
        "miner": device.model.wire_name,
        "model": short,
        "fw_name": "Vnish",
        "fw_version": _number(device),
        "build_name": "simulated",
        "build_time": _BUILT,
        "platform": "aml",
        "install_type": "nand",
        "algorithm": "sha256d",
        "hr_measure": "GH/s",
        "system": system,
        "serial": "N/A",
    }


def _web_pools(device: Device, now: Snapshot) -> list[Reply]:
    """The farm's pools, and the one that the developer's fee goes to."""
    mining = now.state is State.MINING
    fee = now.accepted // 36
    rows = [(_host(device, n), device.pools[n].user, "UserPool", *share_counts(now, n)) for n in (0, 1)]
    rows.append(("DevFee", "DevFee", "DevFee", fee, 0, 0))
    return [
        {
            "id": n,
            "url": url,
            "pool_type": kind,
            "user": user,
            "status": ("working" if n == 1 else "active") if mining else "offline",
            "asic_boost": True,
            "diff": "" if n == 1 else "262K",
            "accepted": accepted,
            "rejected": rejected,
            "stale": stale,
            "ls_time": "0" if n == 1 else "0:00:04",
            "ping": 8,
        }
        for n, (url, user, kind, accepted, rejected, stale) in enumerate(rows)
    ]


def _chains(device: Device, now: Snapshot) -> list[Reply]:
    boards = zip(board_rates(device, now), board_temps_c(device, now), chip_temps_c(device, now), strict=True)
    mining = now.state is State.MINING
    ideal = device.model.nameplate_hs / 1e9 / device.model.boards
    return [
        {
            "id": n,
            "frequency": 495.0,
            "voltage": 13000,
            "power_consumption": round(now.power_w / device.model.boards),
            "hashrate_ideal": round(ideal, 3),
            "hashrate_rt": rate,
            "hashrate_percentage": round(rate / ideal * 100, 2),
            "hr_error": 0.0,
            "hw_errors": 0,
            "pcb_temp": {"min": round(board_c) - 10, "max": round(board_c)},
            "chip_temp": {"min": round(chip_c) - 10, "max": round(chip_c)},
            "chip_statuses": {"red": 0, "orange": 0, "grey": device.model.chips_per_board},
            "status": {"state": "mining" if mining else "stopped"},
        }
        for n, (rate, board_c, chip_c) in enumerate(boards, 1)
    ]


def _web_summary(device: Device, now: Snapshot) -> Reply:
    mining = now.state is State.MINING
    pcb_c, chip_c = board_temps_c(device, now), chip_temps_c(device, now)
    fans = [
        {"id": n, "rpm": rpm, "status": "ok", "max_rpm": 6500} for n, rpm in enumerate(fans_rpm(device, now))
    ]
    miner = {
        "miner_status": {
            "miner_state": "mining" if mining else "stopped",
            "miner_state_time": now.uptime_s,
        },
        "miner_type": _type(device),
        "hr_stock": device.model.nameplate_hs / 1e9,
        "hr_nominal": device.model.nameplate_hs / 1e9,
        "hr_realtime": now.hashrate,
        "hr_average": now.hashrate,
        "instant_hashrate": now.hashrate / 1000,
        "average_hashrate": now.hashrate / 1000,
        "pcb_temp": {"min": round(min(pcb_c)) - 10, "max": round(max(pcb_c))},
        "chip_temp": {"min": round(min(chip_c)) - 10, "max": round(max(chip_c))},
        "power_consumption": now.power_w,
        "power_usage": now.power_w,
        "power_efficiency": round(now.power_w / now.hashrate * 1000, 6) if now.hashrate else 0.0,
        "hw_errors": 0,
        "hr_error": 0.0,
        "devfee_percent": _FEE_PERCENT,
        "devfee": round(now.hashrate * _FEE_PERCENT / 100, 4),
        "pools": _web_pools(device, now),
        "cooling": {"fan_num": len(fans), "fans": fans, "settings": {"mode": {"name": "auto"}}},
        "chains": _chains(device, now),
        "found_blocks": 0,
        "psu": {"temps": {"pfc_temp": 44}, "psu_power_metering": device.model.metered},
    }
    return {"miner": miner}


def _preset(device: Device) -> Reply:
    name = str(device.model.nameplate_w)
    return {"name": name, "pretty": f"{name} watt", "status": "untuned", "modded_psu_required": False}


def _perf_summary(device: Device, _now: Snapshot) -> Reply:
    return {"current_preset": _preset(device), "preset_switcher": {"enabled": False}}


def _settings(device: Device, _now: Snapshot) -> Reply:
    pools = [{"url": _host(device, n), "user": pool.user, "pass": "x"} for n, pool in enumerate(device.pools)]
    miner = {"pools": pools, "overclock": {"preset": str(device.model.nameplate_w), "modded_psu": False}}
    return {"miner": miner, "network": {"hostname": device.hostname, "dhcp": True}}


_API = "/api/v1"
_LOCKED = {f"{_API}/settings", f"{_API}/autotune/presets"}
PAGES: Mapping[str, Page] = {
    f"{_API}/info": _info,
    f"{_API}/summary": _web_summary,
    f"{_API}/perf-summary": _perf_summary,
    f"{_API}/settings": _settings,
    f"{_API}/autotune/presets": lambda device, _now: [_preset(device)],
}
WEB = Pages(
    PAGES,
    _INDEX,
    token(f"{_API}/unlock", lambda given: given.get("pw") == PASSWORD, lambda path: path in _LOCKED),
)


def _summary(device: Device, now: Snapshot) -> Reply:
    accepted, rejected, stale = share_counts(now)
    row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": now.hashrate,
        "GHS av": now.hashrate,
        "GHS 30m": now.hashrate,
        "Accepted": accepted,
        "Rejected": rejected,
        "Stale": stale,
        "Hardware Errors": 0,
        "Fee Percent": _FEE_PERCENT,
    }
    return {"STATUS": header(now, 11, "Summary", PROGRAM), "SUMMARY": [row]}


def _pools(device: Device, now: Snapshot) -> Reply:
    rows = [
        {
            "POOL": n,
            "URL": row["url"],
            "Type": int(row["pool_type"] == "DevFee"),
            "User": row["user"],
            "Status": "Alive",
            "Accepted": row["accepted"],
            "Rejected": row["rejected"],
            "Stale": row["stale"],
            "Stratum Active": n != 1 and now.state is State.MINING,
        }
        for n, row in enumerate(_web_pools(device, now))
    ]
    return {"STATUS": header(now, 7, f"{len(rows)} Pool(s)", PROGRAM), "POOLS": rows}


def _stats(device: Device, now: Snapshot) -> Reply:
    row: Reply = {
        "Elapsed": now.uptime_s,
        "GHS 5s": f"{now.hashrate:.2f}",  # text here, a number elsewhere
        "GHS av": now.hashrate,
        "fan_num": len(device.model.fans_rpm),
        **{f"fan{n}": rpm for n, rpm in enumerate(fans_rpm(device, now), 1)},
        "total_rate": now.hashrate,
        "total_rateideal": device.model.nameplate_hs / 1e9,
        "total_acn": device.model.boards * device.model.chips_per_board,
        "state": "mining" if now.state is State.MINING else "stopped",
    }
    for chain in _chains(device, now):
        n = chain["id"]
        row[f"chain_acn{n}"] = device.model.chips_per_board
        row[f"chain_rate{n}"] = chain["hashrate_rt"]
        row[f"chain_consumption{n}"] = chain["power_consumption"]
        row[f"chain_state{n}"] = chain["status"]["state"]
        row[f"temp_pcb{n}"] = "{max}-{min}-{max}-{max}".format(**chain["pcb_temp"])
        row[f"temp_chip{n}"] = "{max}-{min}-{max}-{max}".format(**chain["chip_temp"])
    head = {"Type": _type(device), "Miner": "0.0.0", "CompileTime": _BUILT}
    return {"STATUS": header(now, 70, "CGMiner stats", PROGRAM), "STATS": [head, row]}


def _devdetails(device: Device, now: Snapshot) -> Reply:
    name = device.model.wire_name.removeprefix("Antminer ").replace(" ", "").upper()
    row = {"DEVDETAILS": 0, "Name": f"BTM_{name}", "ID": 0, "Driver": f"bitmain_{name.lower()}_drv"}
    return {
        "STATUS": header(now, 69, "Device Details", PROGRAM),
        "DEVDETAILS": [row | {"Kernel": "", "Model": "", "Device Path": ""}],
        "id": 1,
    }


COMMANDS: Mapping[str, Render] = {
    "summary": _summary,
    "pools": _pools,
    "stats": _stats,
    "devdetails": _devdetails,
}
CGMINER = Commands(
    COMMANDS,
    lambda now, code, said: {"STATUS": header(now, code, said, PROGRAM, "E")},
    unknown=(0, "Invalid command"),
)
