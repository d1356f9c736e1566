"""What `top` knows: from a page of the agent's metrics to devices in order. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
_DEVICE = "hashledger_agent_device_"


@dataclass(frozen=True, slots=True)
class Device:
    """One row; None is what the agent does not tell."""

    address: str
    model: str = ""
    hashrate_hs: float | None = None
    power_w: float | None = None
    origin: str = ""
    chip_temp_c: float | None = None
    state: str = ""  # what it was doing, or why it was not read
    result: str = ""  # "reading", or the kind of the failure
    age_s: float | None = None
    share: float | None = None  # of the median hashrate of its model on this site

    @property
    def j_per_th(self) -> float | None:
        if self.power_w is None or not self.hashrate_hs:
            return None
        return self.power_w * 1e12 / self.hashrate_hs


@dataclass(frozen=True, slots=True)
class Fleet:
    """What one scrape tells."""

    name: str = ""
    sweep_age_s: float | None = None
    sweep_duration_s: float | None = None
    results: Mapping[str, int] = field(default_factory=dict)
    hashrate_hs: float | None = None
    power_w: Mapping[str, float] = field(default_factory=dict)
    pools: Mapping[str, int] = field(default_factory=dict)  # host and port -> devices that work for it
    unexpected: int | None = None  # devices with a pool that nobody listed
    spool_waiting: int | None = None
    spool_age_s: float | None = None
    spool_bytes: int | None = None
    connected: bool | None = None
    devices: tuple[Device, ...] = ()


def parse(text: str) -> Fleet:
    """The fleet of a page of metrics; series that an older agent lacks are simply not known."""
    one: dict[str, float] = {}
    results: dict[str, int] = {}
    power_w: dict[str, float] = {}
    pools: dict[str, int] = {}
    rows: dict[str, dict[str, Any]] = {}
    name = ""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels, value = sample.labels, sample.value
            if sample.name == "hashledger_agent_up":
                name = "/".join(labels.get(key, "?") for key in ("org", "site", "agent"))
            elif sample.name == "hashledger_agent_devices":
                results[labels.get("result", "?")] = int(value)
            elif sample.name == "hashledger_agent_power_watts":
                power_w[labels.get("origin", "?")] = value
            elif sample.name == "hashledger_agent_pool_devices":
                pools[labels.get("pool", "?")] = int(value)
            elif sample.name.startswith(_DEVICE) and "address" in labels:
                _note(rows.setdefault(labels["address"], {}), sample.name, labels, value)
            elif not labels:
                one[sample.name.removeprefix("hashledger_agent_")] = value
    devices = tuple(Device(address, **row) for address, row in rows.items())
    connected = one.get("broker_connected")
    return Fleet(
        name=name,
        sweep_age_s=one.get("sweep_age_seconds"),
        sweep_duration_s=one.get("sweep_duration_seconds"),
        results=results,
        hashrate_hs=one.get("hashrate_hashes_per_second"),
        power_w=power_w,
        pools=pools,
        unexpected=_whole(one.get("unexpected_pool_devices")),
        spool_waiting=_whole(one.get("spool_waiting_batches")),
        spool_age_s=one.get("spool_oldest_waiting_age_seconds"),
        spool_bytes=_whole(one.get("spool_bytes")),
        connected=None if connected is None else connected > 0,
        devices=_shares(devices),
    )


def _note(row: dict[str, Any], name: str, labels: Labels, value: float) -> None:
    row.setdefault("model", labels.get("model", ""))
    match name.removeprefix(_DEVICE):
        case "hashrate_hashes_per_second":
            row["hashrate_hs"] = value
        case "power_watts":
            row["power_w"], row["origin"] = value, labels.get("origin", "")
        case "chip_temperature_celsius":
            row["chip_temp_c"] = value
        case "reading_age_seconds":
            row["age_s"] = value
        case "state" if value == 1:
            row["result"] = labels.get("result", "")
            row["state"] = labels.get("state", "") if row["result"] == "reading" else row["result"]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _shares(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Each with its part of what its model does here: a weak device stands out without a table of models."""
    by_model: dict[str, list[float]] = {}
    for device in devices:
        if device.hashrate_hs:
            by_model.setdefault(device.model, []).append(device.hashrate_hs)
    medians = {model: statistics.median(rates) for model, rates in by_model.items()}
    return tuple(
        device
        if device.hashrate_hs is None or device.model not in medians
        else replace(device, share=device.hashrate_hs / medians[device.model])
        for device in devices
    )


# The worst first; a failed poll is 0, and what nobody knows stands with those that are about to mine.
_SEVERITY = {
    "fault": 1,
    "overheat": 1,
    "idle": 2,
    "starting": 3,
    "rebooting": 3,
    "sleeping": 3,
    "unknown": 3,
    "mining": 4,
}


def rows(devices: Sequence[Device], sort: str, reverse: bool = False, wanted: str = "") -> list[Device]:
    """The devices that the filter lets through, in order; what is not known comes last either way."""
    wanted = wanted.lower()
    shown = [d for d in devices if wanted in f"{d.address} {d.model} {d.state} {d.result} {d.origin}".lower()]
    shown.sort(key=lambda device: _numbers(device.address))
    if sort == "address":
        return shown[::-1] if reverse else shown
    key = _ORDER[sort]
    known = [device for device in shown if key(device) is not None]
    unknown = [device for device in shown if key(device) is None]
    return sorted(known, key=key, reverse=reverse) + unknown


def _numbers(address: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in address.split("."))


def _worst(device: Device) -> Any:
    failed = device.result not in ("", "reading")
    severity = 0 if failed and device.result != "rebooting" else _SEVERITY.get(device.state, 3)
    if severity == 4 and device.hashrate_hs == 0:
        severity = 2
    share = device.share if device.share is not None else (-1.0 if failed or device.hashrate_hs == 0 else 1.0)
    return severity, share, -(device.j_per_th or 0.0)


_ORDER: Mapping[str, Callable[[Device], Any]] = {
    "worst": _worst,
    "model": lambda d: d.model.lower() or None,
    "hashrate": lambda d: None if d.hashrate_hs is None else -d.hashrate_hs,
    "power": lambda d: None if d.power_w is None else -d.power_w,
    "efficiency": lambda d: None if d.j_per_th is None else -d.j_per_th,
    "chip": lambda d: None if d.chip_temp_c is None else -d.chip_temp_c,
    "state": lambda d: d.state or None,
    "age": lambda d: None if d.age_s is None else -d.age_s,
}
