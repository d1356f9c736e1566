"""Tasmota plugs over HTTP: `cm?cmnd=Status 8`, its `ENERGY` in kWh, and the MAC of `Status 5` as identity.

Source: tasmota.github.io/docs, Commands (Status 5, Status 8) and Power-Monitoring-Calibration; a web password
goes into the query (`user`, `password`), so no path is ever shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import quote, urlencode

from agent.meters.http_meter import row, take
from agent.meters.told import Told, named
from agent.readings import AuthError, DeviceError, Unsupported
from agent.transports.http import Asked, Web

KWH = Fraction(1000)


async def read(web: Web, host: str, port: int, login: tuple[str, str] | None, deadline_s: float) -> Told:
    """One plug; DeviceError if it does not answer, refuses us, or has no meter."""
    told = Told(make="Tasmota")
    sensors = await _ask(web, host, port, "Status 8", login, deadline_s)
    parse(told, sensors)
    try:
        network = await _ask(web, host, port, "Status 5", login, deadline_s)
    except DeviceError:
        return told  # the energy stands without its identity
    told.serial = named(row(network.get("StatusNET")).get("Mac"))
    return told


async def _ask(
    web: Web, host: str, port: int, command: str, login: tuple[str, str] | None, deadline_s: float
) -> Mapping[str, Any]:
    query = urlencode({"user": login[0], "password": login[1]}) + "&" if login else ""
    path = f"/cm?{query}cmnd={quote(command)}"
    try:
        reply = await web.ask(host, path, Asked(port=port), deadline_s=deadline_s)
    except DeviceError as error:
        raise type(error)(str(error).replace(path, f"/cm ({command})")) from None
    if "WARNING" in reply:
        raise AuthError(f"/cm ({command}): {'the password is refused' if login else 'it wants a password'}")
    return reply


def parse(told: Told, reply: Mapping[str, Any]) -> None:
    """The `ENERGY` of a `Status 8`: phases are listed and added up."""
    energy = row(row(reply.get("StatusSNS")).get("ENERGY"))
    if not energy:
        raise Unsupported("Status 8 has no ENERGY: this plug has no meter")
    take(told, "import_wh", _all(energy.get("Total")), KWH)
    take(told, "power_w", _all(energy.get("Power")))
    if "ExportActive" in energy:
        take(told, "export_wh", _all(energy.get("ExportActive")), KWH)
    told.step_wh = Fraction(1)


def _all(given: object) -> list[object]:
    return list(given) if isinstance(given, list) else [given]
