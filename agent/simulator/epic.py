"""What ePIC's PowerPlay replies: plain HTTP, and that on 4028."""

from __future__ import annotations

from collections.abc import Mapping

from agent.readings import State
from agent.simulator.farm import Snapshot
from agent.simulator.model import Device
from agent.simulator.pages import Page, Pages, page
from agent.simulator.replies import (
    Reply,
    board_rates,
    board_temps_c,
    chip_temps_c,
    fans_rpm,
    share_counts,
)

_FAN_SLOTS = 12


def _board(n: int, rate: float, temp_c: float, ideal: float) -> Reply:
    """Rates are MH/s, percent of the ideal, and percent of errors."""
    return {
        "Index": n,
        "Hashrate": [rate, round(rate / ideal * 100, 1), 0.8],
        "Core Clock": [],
        "Core Clock Avg": 487.5,
        "Temperature": temp_c,
        "Input Voltage": 12.6,
        "Input Current": 0.0,
        "Input Power": 0.0,
        "Output Voltage": 0.0,
        "Output Current": 0.0,
        "Output Power": 0.0,
    }


def _session(device: Device, now: Snapshot) -> Reply:
    accepted, rejected, _ = share_counts(now)
    now_s = now.observed_us // 1_000_000
    return {
        "Uptime": now.uptime_s,
        "Startup Timestamp": now_s - now.uptime_s,
        "Active HBs": device.model.boards if now.state is State.MINING else 0,
        "Average MHs": now.hashrate,
        "LastAverageMHs": {"Hashrate": now.hashrate, "Timestamp": now_s // 3600 * 3600},
        "Difficulty": 262144.0,
        "Accepted": accepted,
        "Rejected": rejected,
        "Submitted": accepted + rejected,
        "Last Accepted Share Timestamp": now_s,
        "WorkReceived": accepted // 3,
    }


def _summary(device: Device, now: Snapshot) -> Reply:
    model, mining, first = device.model, now.state is State.MINING, device.pools[0]
    ideal = model.nameplate_hs / 1e6 / model.boards
    boards = zip(board_rates(device, now), board_temps_c(device, now), strict=True)
    speeds: dict[int, int | None] = dict(enumerate(fans_rpm(device, now), 1))
    return {
        "Software": model.firmware,
        "OS Type": "umcOS",
        "Hostname": device.hostname,
        "Mining": {"Algorithm": "SHA-256", "Coin": "BTC"},
        "Status": {
            "Operating State": "Mining" if mining else "Idling",
            "Last Command": None,
            "Last Error": None,
        },
        "Session": _session(device, now),
        "Stratum": {
            "Current Pool": f"{first.host}:{first.port}",
            "Current User": f"{first.user}-simulated",
            "Config Id": 0,
            "IsPoolConnected": mining,
            "Worker Unique Id": True,
            "Average Latency": 0.04,
        },
        "StratumConfigs": [{"pool": pool.url, "login": pool.user, "password": "x"} for pool in device.pools],
        "HBStatus": [{"Index": n, "Detected": True, "Enabled": mining} for n in range(model.boards)],
        "HBs": [_board(n, rate, temp_c, ideal) for n, (rate, temp_c) in enumerate(boards)],
        "Fans": {"Fan Mode": {"Auto": {"Idle Speed": 20, "Target Temperature": 60}}, "Fans Speed": 100},
        "Fans Rpm": {f"Fans Speed {n}": speeds.get(n) for n in range(1, _FAN_SLOTS + 1)},
        # A supply without metering: only the firmware's figure of its input.
        "Power Supply Stats": {
            "Input Power": now.power_w,
            "Input Voltage": 0.0,
            "Input Current": 0.0,
            "Output Power": 0.0,
            "Output Voltage": 12.6,
            "Output Current": 0.0,
            "Target Voltage": 12600,
        },
        "PresetInfo": {"Target Power": model.nameplate_w},
        "PerpetualTune": {"Running": False, "Algorithm": {}},
        "Misc": {"Shutdown Temp": 85.0, "Critical Temp": 100.0, "Locate Miner State": False},
    }


def _capabilities(device: Device, _now: Snapshot) -> Reply:
    return {
        "Model": device.model.wire_name,
        "Model Subtype": "BHB56802",
        "Coins": ["BTC"],
        "Chip Type": "BM1366",
        "Max HBs": device.model.boards,
        "Board Serial Numbers": list(device.board_serials),
        "Control Board Version": {"cpuHardware": "STM32 (Device Tree Support)", "cpuSerial": ""},
        "Default Hashrate": round(device.model.nameplate_hs / 1e12),
        "Performance Estimator": {"Chip Count": device.model.chips_per_board},
        "Psu Info": {"FW": 25, "PSU Type": 118},
    }


def _network(device: Device, now: Snapshot) -> Reply:
    row = {"address": now.address, "netmask": "255.255.255.0", "gateway": "", "dns": ""}
    return {"dhcp": row | {"mac_address": device.mac.upper()}}


def _temps(device: Device, now: Snapshot) -> list[Reply]:
    return [
        {"Index": n, "Data": [temp_c - 12, temp_c], "Total": 0.0}
        for n, temp_c in enumerate(board_temps_c(device, now))
    ]


def _chip_temps(device: Device, now: Snapshot) -> list[Reply]:
    chips = device.model.chips_per_board
    return [
        {"Index": n, "Data": [temp_c] * chips, "Total": 0.0}
        for n, temp_c in enumerate(chip_temps_c(device, now))
    ]


PAGES: Mapping[str, Page] = {
    "/summary": _summary,
    "/capabilities": _capabilities,
    "/network": _network,
    "/temps": _temps,
    "/temps/chip": _chip_temps,
}
API = Pages(PAGES)
WEB = Pages(index=page("Miner Web Dashboard"))
