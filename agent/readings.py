"""What a device said: the one result type of every driver, native or foreign.

Units at this edge and nowhere else: H/s, W, degrees Celsius, rpm, seconds, microseconds UTC.
A value that was not read is None and has its reason in `Reading.unknown`; it is never 0 or True.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from agent.payout import Payee, payee


class PowerOrigin(StrEnum):
    """Where in the chain a watt was taken; the origin travels into every total."""

    METER = "meter"
    WALL_MEASURED = "wall_measured"
    PSU_MEASURED = "psu_measured"
    DC_OUTPUT = "dc_output"
    FIRMWARE_ESTIMATED = "firmware_estimated"
    NAMEPLATE = "nameplate"


class State(StrEnum):
    """What the device was doing when it was read."""

    MINING = "mining"
    IDLE = "idle"
    SLEEPING = "sleeping"
    STARTING = "starting"
    OVERHEAT = "overheat"
    FAULT = "fault"
    UNKNOWN = "unknown"


class FailureKind(StrEnum):
    """Why one poll gave no reading."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"  # it hangs: connected, and no whole answer
    AUTH = "auth"  # the password that we sent
    LOCKED = "locked"  # the API is closed to us, no password was asked for or none would do
    REBOOTING = "rebooting"
    PROTOCOL = "protocol"
    UNSUPPORTED = "unsupported"


class DeviceError(Exception):
    """A poll failed; the sweep catches this tree alone and records a failure of `kind`."""

    kind = FailureKind.PROTOCOL


class Unreachable(DeviceError):
    """Nothing accepts a connection at the address."""

    kind = FailureKind.UNREACHABLE


class Refused(Unreachable):
    """The host is there and refuses: nothing listens at this port."""


class DeviceTimeout(DeviceError):
    """Connected, but no whole answer within the deadline."""

    kind = FailureKind.TIMEOUT


class AuthError(DeviceError):
    """The device refused the credentials."""

    kind = FailureKind.AUTH


class Locked(AuthError):
    """The device answers, but its API is closed to us: switched off, or refused before any password."""

    kind = FailureKind.LOCKED


class Rebooting(DeviceError):
    """Its controller answers and its mining program does not, or not yet."""

    kind = FailureKind.REBOOTING


class ProtocolError(DeviceError):
    """Answered with something that is not the protocol."""

    kind = FailureKind.PROTOCOL


class Unsupported(DeviceError):
    """Answered, but no driver knows it."""

    kind = FailureKind.UNSUPPORTED


class Pool(msgspec.Struct, frozen=True, gc=False):
    """One configured pool as the device reports it; `active`: work comes from it now.

    `fee`: the firmware's developer is paid there. The difficulties are sums over shares, told like
    `last_share_age_s` (seconds before the reply) at full depth alone.
    """

    url: str
    user: str
    active: bool | None
    priority: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    stale: int | None = None
    fee: bool | None = None
    difficulty_accepted: float | None = None
    difficulty_rejected: float | None = None
    difficulty_stale: float | None = None
    last_share_age_s: int | None = None

    @property
    def payee(self) -> Payee:
        """Whom the user string pays: an address of some coin, or an account at the pool."""
        return payee(self.user)


class Reading(msgspec.Struct, frozen=True, gc=False):
    """Everything one poll learnt of one device; `unknown` maps field name -> reason it was not read."""

    observed_us: int
    family: str
    hashrate_hs: float | None = None
    hashrate_window: str | None = None
    power_w: float | None = None
    power_origin: PowerOrigin | None = None
    make: str | None = None
    model: str | None = None
    firmware: str | None = None
    mac: str | None = None
    serial: str | None = None
    hostname: str | None = None
    uptime_s: int | None = None
    state: State = State.UNKNOWN
    board_temps_c: tuple[float, ...] = ()
    chip_temps_c: tuple[float, ...] = ()
    fans_rpm: tuple[int, ...] = ()
    pools: tuple[Pool, ...] = ()
    board_serials: tuple[str, ...] = ()
    psu_serial: str | None = None
    boards_total: int | None = None
    boards_hashing: int | None = None
    chips: int | None = None
    unknown: Mapping[str, str] = {}


class Shares(NamedTuple):
    """Shares since the device started, over the pools that pay the farm; None where no pool tells."""

    accepted: int | None
    rejected: int | None
    stale: int | None


NO_SHARES = Shares(None, None, None)


def shares(pools: Sequence[Pool]) -> Shares:
    """The sums over the pools, those of the firmware's developer left out."""
    accepted = rejected = stale = None
    for pool in pools:
        if pool.fee:
            continue
        if pool.accepted is not None:
            accepted = (accepted or 0) + pool.accepted
        if pool.rejected is not None:
            rejected = (rejected or 0) + pool.rejected
        if pool.stale is not None:
            stale = (stale or 0) + pool.stale
    return Shares(accepted, rejected, stale)


class Failure(msgspec.Struct, frozen=True, gc=False):
    """One poll of one device that gave no reading."""

    observed_us: int
    kind: FailureKind
    detail: str
