"""PDUs on SNMP: a pysnmp agent, v2c and v3, whose objects follow a simulated life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import cmdrsp, context
from pysnmp.proto.api import v2c
from pysnmp.smi.instrum import AbstractMibInstrumController

from agent.meters.oid_map import OidMap
from agent.meters.snmp import AUTH, PRIVACY, User
from agent.simulator.meter_life import MeterLife, Shown

# Decimal digits that a simulated PDU says its values have, where its family tells them by another object.
DIGITS = 0
TREE = (1, 3, 6)


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU's life and how its family tells it."""

    life: MeterLife
    rules: OidMap
    number: int = 1
    outlet: int = 1


def objects(pdu: Pdu, shown: Shown) -> dict[str, int | str]:
    """Every object of the map at an instant, by its OID."""
    values: dict[str, Fraction | str] = {
        "import_wh": shown.import_wh,
        "export_wh": shown.export_wh,
        "power_w": shown.power_w,
        "serial": shown.serial,
        "model": pdu.rules.models.split(",")[0],
        "firmware": "1.0",
    }
    found: dict[str, int | str] = {}
    for name, one in pdu.rules.oids.items():
        value = values[name]
        oid = one.oid.format(pdu=pdu.number, outlet=pdu.outlet)
        found[oid] = value if isinstance(value, str) else int(value / one.factor)
        if one.digits:
            found[one.digits.format(pdu=pdu.number, outlet=pdu.outlet)] = DIGITS
    return found


class _Objects(AbstractMibInstrumController):  # type: ignore[misc]  # pysnmp has no types
    """What the agent answers a GET from."""

    def __init__(self, look: Callable[[], dict[str, int | str]]) -> None:
        self._look = look

    def read_variables(self, *rows: Any, **_context: Any) -> list[tuple[Any, Any]]:
        held = self._look()
        return [(oid, _typed(held.get(str(oid)))) for oid, _ in rows]


def _typed(value: int | str | None) -> Any:
    if value is None:
        return v2c.NoSuchInstance()
    return v2c.OctetString(value) if isinstance(value, str) else v2c.Integer32(value)


@asynccontextmanager
async def serve(
    pdu: Pdu,
    now_us: Callable[[], int],
    port: int,
    *,
    host: str = "127.0.0.1",
    community: str | None = "public",
    user: User | None = None,
) -> AsyncIterator[None]:
    """A PDU's agent on its port; silent while its life is."""
    machine = engine.SnmpEngine()
    transport = udp.UdpAsyncioTransport().open_server_mode((host, port))
    config.add_transport(machine, udp.DOMAIN_NAME, transport)
    if community is not None:
        config.add_v1_system(machine, "ours", community)
        config.add_vacm_user(machine, 2, "ours", "noAuthNoPriv", TREE)
    if user is not None:
        config.add_v3_user(
            machine,
            user.name,
            AUTH[user.auth],
            user.auth_password,
            PRIVACY[user.privacy],
            user.privacy_password,
        )
        config.add_vacm_user(machine, 3, user.name, "authPriv", TREE)

    def look() -> dict[str, int | str]:
        shown = pdu.life.shown(now_us())
        return {} if shown is None else objects(pdu, shown)

    served = context.SnmpContext(machine)
    served.unregister_context_name(v2c.OctetString(""))
    served.register_context_name(v2c.OctetString(""), _Objects(look))
    cmdrsp.GetCommandResponder(machine, served)
    await asyncio.sleep(0)
    try:
        yield
    finally:
        machine.close_dispatcher()
