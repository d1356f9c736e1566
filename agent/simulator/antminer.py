"""What an Antminer with stock firmware replies, over cgminer TCP and over the web CGI."""

from __future__ import annotations

from collections.abc import Mapping

from agent.simulator.dialects import Commands
from agent.simulator.farm import CHIP_ABOVE_BOARD_C, REJECTED_OF, STALE_OF, Snapshot
from agent.simulator.model import Device
from agent.simulator.pages import Pages, digest
from agent.simulator.replies import Render, Reply, board_rates, fans_rpm, header, refusals

PROGRAM = "cgminer 1.0.0"
_VERSION = "49.0.1.3"
# Sensors of a board sit between its inlet and its hottest spot, which is what the plan calls its temperature.
_BELOW_HOTTEST_C = (9, 6, 2, 0)


def _board_temps_c(device: Device, now: Snapshot, above_c: int = 0) -> list[list[int]]:
    return [[temp_c + now.heat_c + above_c - d for d in _BELOW_HOTTEST_C] for temp_c in device.board_temps_c]


def _version(device: Device, now: Snapshot) -> Reply:
    version = {
        "BMMiner": "1.0.0",
        "API": "3.1",
        "Miner": _VERSION,
        "CompileTime": device.model.firmware,
        "Type": device.model.wire_name,
    }
    return {"STATUS": header(now, 22, "CGMiner versions", PROGRAM), "VERSION": [version], "id": 1}


def _summary(device: Device, now: Snapshot) -> Reply:
    summary = {
        "Elapsed": now.uptime_s,
        "GHS 5s": now.hashrate,
        "GHS av": now.hashrate,
        "GHS 30m": now.hashrate,
        "Found Blocks": 0,
        "Accepted": now.accepted,
        "Rejected": now.accepted // REJECTED_OF,
        "Hardware Errors": 0,
        "Stale": now.accepted // STALE_OF,
        "Device Hardware%": 0.0,
        "Last getwork": now.observed_us // 1_000_000,
    }
    return {"STATUS": header(now, 11, "Summary", PROGRAM), "SUMMARY": [summary], "id": 1}


def _stats(device: Device, now: Snapshot) -> Reply:
    """The older form: numbered keys, and no power in it."""
    model = device.model
    row: Reply = {
        "STATS": 0,
        "ID": "BTM_SOC0",
        "Elapsed": now.uptime_s,
        "Calls": 0,
        "GHS 5s": now.hashrate,
        "GHS av": now.hashrate,
        "rate_30m": now.hashrate,
        "Mode": 2,
        "miner_count": model.boards,
        "rate_unit": "GH",
        "fan_num": len(model.fans_rpm),
        **{f"fan{n}": rpm for n, rpm in enumerate(fans_rpm(device, now), 1)},
        "temp_num": model.boards,
        "total_acn": model.boards * model.chips_per_board,
        "total rate": now.hashrate,
        "total_rateideal": model.nameplate_hs / 1e9,
        "miner_version": _VERSION,
        "miner_id": device.mac.replace(":", "") + "0000",
    }
    boards = zip(board_rates(device, now), _board_temps_c(device, now), strict=True)
    chips_c = _board_temps_c(device, now, CHIP_ABOVE_BOARD_C)
    for n, (rate, temps_c) in enumerate(boards, 1):
        row[f"chain_acn{n}"] = model.chips_per_board
        row[f"chain_acs{n}"] = " ".join(["ooo"] * (model.chips_per_board // 3))
        row[f"chain_hw{n}"] = 0
        row[f"chain_rate{n}"] = f"{rate:.2f}"
        row[f"temp_pcb{n}"] = "-".join(map(str, temps_c))
        row[f"temp_chip{n}"] = "-".join(map(str, chips_c[n - 1]))
    # The firmware has four slots; the last is empty on a machine with three boards.
    row |= {"chain_acn4": 0, "chain_acs4": "", "chain_hw4": 0, "chain_rate4": ""}
    row |= {"temp_pcb4": "0-0-0-0", "temp_chip4": "0-0-0-0"}
    version = _version(device, now)["VERSION"][0]
    head = {key: version[key] for key in ("BMMiner", "Miner", "CompileTime", "Type")}
    return {"STATUS": header(now, 70, "CGMiner stats", PROGRAM), "STATS": [head, row], "id": 1}


def new_stats(device: Device, now: Snapshot) -> Reply:
    """The form that `new_api` asks for: boards as a list, and the supply's power."""
    model = device.model
    pcb_c, chip_c = _board_temps_c(device, now), _board_temps_c(device, now, CHIP_ABOVE_BOARD_C)
    chain = [
        {
            "index": n,
            "freq_avg": 525,
            "rate_ideal": round(model.nameplate_hs / 1e9 / model.boards, 2),
            "rate_real": rate,
            "asic_num": model.chips_per_board,
            "temp_pcb": pcb_c[n],
            "temp_chip": chip_c[n],
            "hw": 0,
            "sn": device.board_serials[n],
        }
        for n, rate in enumerate(board_rates(device, now))
    ]
    row = {
        "elapsed": now.uptime_s,
        "rate_5s": now.hashrate,
        "rate_30m": now.hashrate,
        "rate_avg": now.hashrate,
        "rate_ideal": model.nameplate_hs / 1e9,
        "rate_unit": "GH/s",
        "power": now.power_w,
        "chain_num": model.boards,
        "fan_num": len(model.fans_rpm),
        "fan": fans_rpm(device, now),
        "chain": chain,
    }
    info = {
        "miner_version": _VERSION,
        "CompileTime": model.firmware,
        "type": model.wire_name,
    }
    when_s = now.observed_us // 1_000_000
    status = {"STATUS": "S", "when": when_s, "Msg": "stats", "api_version": "1.0.0"}
    return {"STATUS": status, "INFO": info, "STATS": [row]}


def _pools(device: Device, now: Snapshot) -> Reply:
    rows = [
        {
            "POOL": n,
            "URL": pool.url,
            "Status": "Alive",
            "Priority": n,
            "Quota": 1,
            "Accepted": 0 if n else now.accepted,
            "Rejected": 0 if n else now.accepted // REJECTED_OF,
            "Stale": 0 if n else now.accepted // STALE_OF,
            "User": pool.user,
            "Last Share Time": "0" if n else "0:00:05",
            "Diff": "" if n else "524K",
            "Has Stratum": True,
            "Stratum Active": n == 0,
            "Stratum URL": "" if n else pool.host,
        }
        for n, pool in enumerate(device.pools)
    ]
    return {"STATUS": header(now, 7, f"{len(rows)} Pool(s)", PROGRAM), "POOLS": rows, "id": 1}


def _devs(device: Device, now: Snapshot) -> Reply:
    # This firmware does not keep the rates of `devs` up: always 0.
    row = {
        "ASC": 0,
        "Name": "BTM_SOC",
        "ID": 0,
        "Enabled": "Y",
        "Status": "Alive",
        "MHS av": 0.0,
        "MHS 5s": 0.0,
        "Accepted": now.accepted,
        "Rejected": now.accepted // REJECTED_OF,
        "Device Elapsed": now.uptime_s,
    }
    return {"STATUS": header(now, 9, "1 ASC(s)", PROGRAM), "DEVS": [row], "id": 1}


def system_info(device: Device, now: Snapshot) -> Reply:
    """What `/cgi-bin/get_system_info.cgi` tells: the only place of MAC and serial."""
    return {
        "minertype": device.model.wire_name,
        "nettype": "DHCP",
        "netdevice": "eth0",
        "macaddr": device.mac.upper(),
        "hostname": device.hostname,
        "ipaddress": now.address,
        "netmask": "255.255.255.0",
        "system_mode": "GNU/Linux",
        "system_kernel_version": "Linux 4.9.113",
        "system_filesystem_version": device.model.firmware,
        "firmware_type": "Release",
        "serinum": device.serial,
    }


COMMANDS: Mapping[str, Render] = {
    "version": _version,
    "summary": _summary,
    "stats": _stats,
    "pools": _pools,
    "devs": _devs,
}
CGMINER = Commands(
    COMMANDS, refusals(PROGRAM), joins=False, new_api={"stats": new_stats}
)  # as the S19 series
# Bitmain's factory default, no secret.
CGI = Pages(
    {"/cgi-bin/get_system_info.cgi": system_info},
    guard=digest("antMiner Configuration", "root", "root"),
)
