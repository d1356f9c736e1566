"""What Canaan's Avalon replies: cgminer with one long text field, `KEY[value]` after `KEY[value]`.

The A series has it in `stats`; Q and Nano leave `stats` empty and have it in `litestats`.
"""

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

PROGRAM = "cgminer 4.11.1"
# A supply of this class gives this share of what it takes; slot 4 of PS is behind it, slot 6 before it.
_EFFICIENCY = 0.93
_OUTPUT_VOLTS = 13.2


def _is_lite(device: Device) -> bool:
    return device.model.boards == 1


def _supply(device: Device, now: Snapshot) -> str:
    """PS: 0, control and output voltage (1/100 V), output A and W, the voltage asked for, input W."""
    output_w = round(now.power_w * _EFFICIENCY)
    volts = round(_OUTPUT_VOLTS * 100)
    return f"0 1215 {volts} {round(output_w / _OUTPUT_VOLTS)} {output_w} {volts + 4} {now.power_w}"


def _text(device: Device, now: Snapshot) -> str:
    """The text field of a unit."""
    model, mining, lite = device.model, now.state is State.MINING, _is_lite(device)
    chips_c = [round(temp_c) for temp_c in chip_temps_c(device, now)]
    work = "In Work" if mining else "In Idle"
    versions = dict.fromkeys(("LVer", "BVer"), model.firmware) | {"STATE": 1 if mining else 2} if lite else {}
    parts: dict[str, object] = {
        "Ver": f"{model.wire_name}-{model.firmware}",
        **versions,
        "DNA": device.serial,
        "MEMFREE": "1201472.0",
        "NETFAIL": "0 0 0 0 0 0 0 0",
        "SYSTEMSTATU": f"Work: {work}, Hash Board: {model.boards} ",
        "Elapsed": now.uptime_s,
        "BOOTBY": "0x01.00000000",
        "LW": now.accepted * 1000,
        "HW": now.accepted // 9,
        "DH": "1.214%",
        "Temp" if not lite else "ITemp": 28,
    }
    if lite:
        inlet_c = round(board_temps_c(device, now)[0])
        parts |= {"HBITemp": inlet_c - 2, "HBOTemp": inlet_c}
    parts |= {"TMax": max(chips_c), "TAvg": max(chips_c) - 9}
    parts |= {f"Fan{n}": rpm for n, rpm in enumerate(fans_rpm(device, now), 1)}
    parts |= {
        "FanR": "72%" if mining else "0%",
        "PS": _supply(device, now),
        "GHSspd": f"{now.hashrate:.2f}",
        "DHspd": "1.214%",
        "GHSmm": f"{model.nameplate_hs / 1e9 * 1.03:.2f}",
        "GHSavg": f"{now.hashrate * 0.98:.2f}",
        "WU": f"{now.hashrate * 13.96:.2f}",
        "Freq": "502.41",
        "Led": 0,
        "MGHS": " ".join(f"{rate:.2f}" for rate in board_rates(device, now)),
    }
    if not lite:
        parts |= {
            "MTmax": " ".join(map(str, chips_c)),
            "MTavg": " ".join(str(temp_c - 9) for temp_c in chips_c),
        }
    parts |= {
        "TA": model.boards * model.chips_per_board,
        "Core": "A3201",
        "PING": 43,
        "SoftOFF": 0 if mining else 4,
        "ECHU": " ".join(["0"] * model.boards),
        "ECMM": 0,
        "CRC": " ".join(["0"] * model.boards),
        "MPO": device.rated_w,
        "WORKMODE": 1,
    }
    return " ".join(f"{key}[{value}]" for key, value in parts.items())


def _stats(device: Device, now: Snapshot) -> Reply:
    lite = _is_lite(device)
    unit: Reply = {"STATS": 0, "ID": "AVALON0", "Elapsed": now.uptime_s, "Calls": 0, "Wait": 0.0, "Max": 0.0}
    unit |= {"MM ID0:Summary": "", "HBinfo": ""} if lite else {"MM Count": 1, "MM ID0": _text(device, now)}
    pools = [
        {"STATS": n, "ID": f"POOL{n - 1}", "Elapsed": now.uptime_s, "Calls": 0, "Wait": 0.0, "Max": 0.0}
        for n in range(1, len(device.pools) + 1)
    ]
    return {"STATUS": header(now, 70, "CGMiner stats", PROGRAM), "STATS": [unit, *pools], "id": 1}


def _litestats(device: Device, now: Snapshot) -> Reply:
    row = {"MM ID0:Summary": f"'STATS':{{{_text(device, now)}}}"}
    return {"STATUS": header(now, 70, "CGMiner stats", PROGRAM), "STATS": [row], "id": 1}


def _summary(device: Device, now: Snapshot) -> Reply:
    accepted, rejected, stale = share_counts(now)
    rate_mhs = round(now.hashrate * 1000, 2)
    row = {
        "Elapsed": now.uptime_s,
        "MHS av": rate_mhs,
        "MHS 5s": rate_mhs,
        "MHS 1m": rate_mhs,
        "MHS 5m": rate_mhs,
        "MHS 15m": rate_mhs,
        "Found Blocks": 0,
        "Getworks": now.accepted // 4,
        "Accepted": accepted,
        "Rejected": rejected,
        "Hardware Errors": 0,
        "Stale": stale,
        "Last getwork": now.observed_us // 1_000_000,
    }
    return {"STATUS": header(now, 11, "Summary", PROGRAM), "SUMMARY": [row], "id": 1}


def _version(device: Device, now: Snapshot) -> Reply:
    model, lite = device.model, _is_lite(device)
    firmware = ("LVERSION", "BVERSION", "CGVERSION") if lite else ("VERSION",)
    row = {
        "CGMiner": "4.11.1",
        "API": "3.7",
        "PROD": model.name if lite else f"AvalonMiner {model.wire_name}",
        "MODEL": model.wire_name,
        "HWTYPE": "Q_MM1v1_X1" if lite else "MM3v2_X3",
        "SWTYPE": "MM319",
        **dict.fromkeys(firmware, model.firmware),
        "DNA": device.serial,
        "MAC": device.mac.upper() if lite else device.mac.replace(":", ""),
        "UPAPI": "2",
    }
    return {"STATUS": header(now, 22, "CGMiner versions", PROGRAM), "VERSION": [row], "id": 1}


def _devs(device: Device, now: Snapshot) -> Reply:
    accepted, rejected, _ = share_counts(now)
    row = {
        "ASC": 0,
        "Name": "AVALON",
        "ID": 0,
        "Enabled": "Y",
        "Status": "Alive",
        "Temperature": 0.0,
        "MHS 5s": round(now.hashrate * 1000, 2),
        "Accepted": accepted,
        "Rejected": rejected,
        "Device Elapsed": now.uptime_s,
    }
    return {"STATUS": header(now, 9, "1 ASC(s)", PROGRAM), "DEVS": [row], "id": 1}


COMMANDS: Mapping[str, Render] = {
    "version": _version,
    "stats": _stats,
    "litestats": _litestats,
    "summary": _summary,
    "pools": lambda device, now: cgminer_pools(device, now, PROGRAM),
    "devs": _devs,
}
CGMINER = Commands(COMMANDS, refusals(PROGRAM))
WEB = Pages(index=page("Avalon Device"))
