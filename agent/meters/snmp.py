"""PDUs over SNMP v2c, and v3 with authentication and privacy: all objects of a reading in one request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pysnmp.hlapi.v3arch import asyncio as hlapi
from pysnmp.proto import errind
from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchInstance, NoSuchObject

from agent.meters.oid_map import OidMap
from agent.meters.register_map import ENERGY, IDENTITY
from agent.meters.told import Raw, Told, named
from agent.readings import AuthError, DeviceTimeout, FailureKind, ProtocolError, Unreachable, Unsupported

# One repetition within the deadline: a datagram may be lost, and the request changes nothing.
RETRIES = 1
AUTH = {
    "MD5": hlapi.usmHMACMD5AuthProtocol, "SHA": hlapi.usmHMACSHAAuthProtocol,
    "SHA224": hlapi.usmHMAC128SHA224AuthProtocol, "SHA256": hlapi.usmHMAC192SHA256AuthProtocol,
    "SHA384": hlapi.usmHMAC256SHA384AuthProtocol, "SHA512": hlapi.usmHMAC384SHA512AuthProtocol,
}  # fmt: skip
PRIVACY = {
    "DES": hlapi.usmDESPrivProtocol, "AES": hlapi.usmAesCfb128Protocol,
    "AES192": hlapi.usmAesCfb192Protocol, "AES256": hlapi.usmAesCfb256Protocol,
}  # fmt: skip
# An agent that knows us not answers with a report of one of these.
NOT_OURS = (
    errind.UnknownUserName, errind.WrongDigest, errind.AuthenticationError, errind.AuthenticationFailure,
    errind.DecryptionError, errind.UnsupportedSecurityLevel, errind.UnknownSecurityName,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    """Who asks in SNMP v3, with authentication and privacy."""

    name: str
    auth: str
    auth_password: str = field(repr=False)
    privacy: str
    privacy_password: str = field(repr=False)


class Asker:
    """An SNMP engine, of all PDUs that know us by the same words; close it at the end."""

    def __init__(self) -> None:
        self._engine = hlapi.SnmpEngine()

    def close(self) -> None:
        self._engine.close_dispatcher()

    async def get(
        self, host: str, port: int, who: str | User, oids: list[str], deadline_s: float
    ) -> dict[str, Any]:
        """The objects' values, None where the agent has none; DeviceError if it does not answer."""
        login = (
            hlapi.CommunityData(who, mpModel=1)
            if isinstance(who, str)
            else hlapi.UsmUserData(
                who.name, authKey=who.auth_password, authProtocol=AUTH[who.auth],
                privKey=who.privacy_password, privProtocol=PRIVACY[who.privacy],
            )
        )  # fmt: skip
        try:
            async with asyncio.timeout(deadline_s):
                target = await hlapi.UdpTransportTarget.create(
                    (host, port), timeout=deadline_s / (RETRIES + 1), retries=RETRIES
                )
                failed, status, at, rows = await hlapi.get_cmd(
                    self._engine, login, target, hlapi.ContextData(),
                    *(hlapi.ObjectType(hlapi.ObjectIdentity(oid)) for oid in oids), lookupMib=False,
                )  # fmt: skip
        except TimeoutError as error:
            raise DeviceTimeout(f"{port}/udp: no answer within {deadline_s:g} s") from error
        except OSError as error:
            raise Unreachable(f"{host}: {error}") from error
        if failed:
            raise _refusal(failed, port, deadline_s)
        if status:
            which = oids[int(at) - 1] if 0 < int(at) <= len(oids) else "the request"
            raise Unsupported(f"{which}: {status.prettyPrint()}")
        absent = (NoSuchObject, NoSuchInstance, EndOfMibView)
        return {str(oid): None if isinstance(value, absent) else value for oid, value in rows}


def _refusal(failed: Any, port: int, deadline_s: float) -> Exception:
    if isinstance(failed, NOT_OURS):
        return AuthError(f"{port}/udp: {failed}")
    if isinstance(failed, errind.RequestTimedOut):
        # Nothing tells a wrong community from a host that is not there: both are silence.
        return DeviceTimeout(f"{port}/udp: no answer within {deadline_s:g} s")
    return ProtocolError(f"{port}/udp: {failed}")


async def read(
    asker: Asker,
    host: str,
    port: int,
    who: str | User,
    rules: OidMap,
    pdu: int,
    outlet: int,
    deadline_s: float,
) -> Told:
    """One PDU, or one outlet of it; DeviceError if it does not answer."""

    def placed(template: str) -> str:
        return template.format(pdu=pdu, outlet=outlet)

    wanted = [placed(t) for one in rules.oids.values() for t in (one.oid, one.digits) if t]
    values = await asker.get(host, port, who, wanted, deadline_s)
    told = Told(make=rules.make)
    for name, one in rules.oids.items():
        oid = placed(one.oid)
        came = values.get(oid)
        means = "not read: the PDU has no such object"
        if name in IDENTITY:
            shown = named(None if came is None else str(came))
            setattr(told, name, shown)
            means = shown or means
        elif came is None:
            told.refuse(name, f"{oid}: the PDU has no such object", FailureKind.UNSUPPORTED)
        else:
            factor = one.factor
            if one.digits:
                factor *= _shift(told, name, values.get(placed(one.digits)))
            _take(told, name, came, factor, one.not_available)
            value = getattr(told, name)
            means = told.unread.get(name) or f"{float(value):,.3f} {'Wh' if name in ENERGY else 'W'}"
        told.raw.append(Raw(name, oid, "" if came is None else str(came), means))
    if rules.modulus is not None:
        told.modulus_wh = Fraction(rules.modulus) * 1000
    return told


def _shift(told: Told, name: str, digits: Any) -> Fraction:
    """One step of a value of which the last `digits` are decimals; 0 where that was not read."""
    try:
        shift = int(digits)
    except (TypeError, ValueError):
        shift = -1
    if not 0 <= shift <= 9:
        told.refuse(name, "how many of its digits are decimals was not read")
        return Fraction(0)
    return Fraction(1, 10**shift)


def _take(told: Told, name: str, came: Any, factor: Fraction, not_available: list[int]) -> None:
    if name in told.unread:
        return None
    try:
        number = int(came)
    except (TypeError, ValueError):
        return told.refuse(name, f"{str(came)[:40]!r} is no number")
    if number in not_available:
        return told.refuse(name, f"the PDU says that it has no value ({number})", FailureKind.UNSUPPORTED)
    told.take(name, number * factor)
    if name in ENERGY:
        told.step_wh = factor
    return None
