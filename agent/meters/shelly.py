"""Shelly plugs and meters over HTTP: Gen1 (`/status`, HTTP basic), Gen2 and later (RPC, digest).

`/shelly` is open and says which generation it is. Energy of Gen1 relays is in watt-minutes, of everything
else in Wh. Sources: shelly-api-docs.shelly.cloud, gen1 (`/status`: `meters`, `emeters`) and gen2
(Shelly.GetStatus: `switch`, `pm1`, `em1` with `em1data`, `em` with `emdata`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from agent.meters.http_meter import row, take
from agent.meters.told import Told, named
from agent.readings import Unsupported
from agent.transports.http import Asked, Web

# Gen2: component -> (where its energy stands, import, export, power); the first that a device has is taken.
COMPONENTS: dict[str, tuple[str, str, str, str]] = {
    "em": ("emdata", "total_act", "total_act_ret", "total_act_power"),
    "em1": ("em1data", "total_act_energy", "total_act_ret_energy", "act_power"),
    "pm1": ("pm1", "aenergy", "ret_aenergy", "apower"),
    "switch": ("switch", "aenergy", "ret_aenergy", "apower"),
}
USER = "admin"  # Gen2 knows no other


async def read(
    web: Web, host: str, port: int, channel: int | None, login: tuple[str, str] | None, deadline_s: float
) -> Told:
    """One channel of a device, or with None the sum of them all; DeviceError if it does not answer."""
    about = await web.ask(host, "/shelly", Asked(port=port), deadline_s=deadline_s)
    told = Told(make="Shelly")
    told.serial = named(about.get("mac"))
    told.model = named(about.get("model") or about.get("type"))
    told.firmware = named(about.get("ver") or about.get("fw"))
    if about.get("gen"):
        digest = (login[0] or USER, login[1]) if login else None
        asked, path = Asked(port=port, digest=digest), "/rpc/Shelly.GetStatus"
        parse = gen2
    else:
        asked, path = Asked(port=port, headers=_basic(login)), "/status"
        parse = gen1
    status = await web.ask(host, path, asked, deadline_s=deadline_s)
    parse(told, status, channel)
    return told


def _basic(login: tuple[str, str] | None) -> Mapping[str, str]:
    if login is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(login).encode()).decode()}


def gen1(told: Told, status: Mapping[str, Any], channel: int | None) -> None:
    """A Gen1 device's `/status`: its meters proper (`emeters`, Wh) or those of its relays (watt-minutes)."""
    kind, per_wh = ("emeters", Fraction(1)) if status.get("emeters") else ("meters", Fraction(60))
    rows = _rows(kind, status.get(kind), channel)
    take(told, "import_wh", [r.get("total") for r in rows], 1 / per_wh)
    take(told, "power_w", [r.get("power") for r in rows])
    if kind == "emeters":
        take(told, "export_wh", [r.get("total_returned") for r in rows])
    if any(r.get("is_valid") is False for r in rows):
        for name in ("import_wh", "export_wh", "power_w"):
            setattr(told, name, None)
        told.refuse("import_wh", "the device says that its values are not valid")
    told.step_wh = 1 / per_wh


def _rows(kind: str, rows: object, channel: int | None) -> list[Mapping[str, Any]]:
    found = [r for r in rows if isinstance(r, Mapping)] if isinstance(rows, list) else []
    if not found or (channel is not None and channel >= len(found)):
        raise Unsupported(f"{len(found)} {kind}: no channel {0 if channel is None else channel}")
    return found if channel is None else [found[channel]]


def gen2(told: Told, status: Mapping[str, Any], channel: int | None) -> None:
    """A Gen2 device's `Shelly.GetStatus`."""
    for component, (energy, imported, exported, power) in COMPONENTS.items():
        numbers = [n for n in range(16) if f"{component}:{n}" in status]
        if channel is not None:
            numbers = [n for n in numbers if n == channel]
        if not numbers:
            continue
        counted = [row(status.get(f"{energy}:{n}")) for n in numbers]
        take(told, "import_wh", [_total(r.get(imported)) for r in counted])
        if any(exported in r for r in counted):
            take(told, "export_wh", [_total(r.get(exported)) for r in counted])
        take(told, "power_w", [row(status[f"{component}:{n}"]).get(power) for n in numbers])
        told.step_wh = Fraction(1)
        return
    where = "no channel" if channel is None else f"no channel {channel}"
    raise Unsupported(f"{where} with a meter; this device has {', '.join(sorted(status)) or 'nothing'}"[:200])


def _total(given: object) -> object:
    return given.get("total") if isinstance(given, Mapping) else given
