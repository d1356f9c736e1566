"""What AxeOS replies on a Bitaxe."""

from __future__ import annotations

from agent.simulator.farm import CHIP_ABOVE_BOARD_C, REJECTED_OF, Snapshot
from agent.simulator.model import Device
from agent.simulator.pages import Pages, page
from agent.simulator.replies import Reply

# A Supra is a 40x board with a BM1368, a Gamma a 60x board with a BM1370.
_BOARD_VERSIONS = {"BM1368": "401", "BM1370": "601"}


def system_info(device: Device, now: Snapshot) -> Reply:
    """What `/api/system/info` tells; volts in mV, current in mA, hashrate in GH/s."""
    first, second = device.pools
    (temp_c,), (fan_rpm,) = device.board_temps_c, device.model.fans_rpm
    voltage_mv = 5150
    return {
        "power": now.power_w,
        "voltage": voltage_mv,
        "current": now.power_w / voltage_mv * 1e6,
        "temp": temp_c + now.heat_c + CHIP_ABOVE_BOARD_C,
        "vrTemp": temp_c + now.heat_c,
        "hashRate": now.hashrate,
        "bestDiff": "1.21G",
        "bestSessionDiff": "48.5M",
        "freeHeap": 8_200_000,
        "coreVoltage": 1150,
        "frequency": 525,
        "ssid": "sim",
        "macAddr": device.mac.upper(),
        "hostname": device.hostname,
        "wifiStatus": "Connected!",
        "sharesAccepted": now.accepted,
        "sharesRejected": now.accepted // REJECTED_OF,
        "uptimeSeconds": now.uptime_s,
        "asicCount": device.model.boards * device.model.chips_per_board,
        "ASICModel": device.model.wire_name,
        "stratumURL": first.host,
        "stratumPort": first.port,
        "stratumUser": first.user,
        "fallbackStratumURL": second.host,
        "fallbackStratumPort": second.port,
        "fallbackStratumUser": second.user,
        "isUsingFallbackStratum": 0,
        "version": device.model.firmware,
        "boardVersion": _BOARD_VERSIONS[device.model.wire_name],
        "runningPartition": "ota_0",
        "overheat_mode": 0,
        "autofanspeed": 1,
        "fanspeed": 60,
        "fanrpm": fan_rpm,
    }


WEB = Pages({"/api/system/info": system_info}, page("AxeOS"))
