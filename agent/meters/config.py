"""`[[meter]]` of the agent's configuration: one table a meter, by the way that leads to it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from agent.meters import oid_map, register_map
from agent.sections import Name, Secret, Section

# A ratio beyond it is a typing slip: 8,000/1 A through 750,000/100 V is 60,000,000.
MAX_RATIO = 10**8


def _ratio(given: object) -> str:
    """A transformer's ratio as an exact decimal: from 40, "40", 0.5 or "200/5"."""
    primary, _, secondary = str(given).partition("/")
    try:
        ratio = Fraction(Decimal(primary.strip())) / Fraction(Decimal(secondary.strip() or 1))
        shown = decimal_text(ratio)
    except (ArithmeticError, ValueError) as error:
        raise ValueError('a ratio is a number or "PRIMARY/SECONDARY", such as 40 or "200/5"') from error
    if not 0 < ratio <= MAX_RATIO:
        raise ValueError(f"a ratio lies above 0 and is at most {MAX_RATIO:,}")
    return shown


def decimal_text(value: Fraction) -> str:
    """A fraction written as a decimal; ValueError where that would not be exact."""
    twos_and_fives = value.denominator
    for prime in (2, 5):
        while twos_and_fives % prime == 0:
            twos_and_fives //= prime
    if twos_and_fives != 1:
        raise ValueError(f"{value} is no exact decimal")
    digits = 0
    while value * 10**digits % 1:
        digits += 1
    whole = int(value * 10**digits)
    return str(whole) if not digits else f"{whole // 10**digits}.{whole % 10**digits:0{digits}d}"


def host_port(address: str, default: int) -> tuple[str, int]:
    """HOST or HOST:PORT taken apart."""
    host, colon, port = address.rpartition(":")
    return (host, int(port)) if colon else (address, default)


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if (colon and not (port.isdecimal() and 0 < int(port) < 65536)) or not (host if colon else text):
        raise ValueError("an address is HOST or HOST:PORT, such as 192.168.1.50 or gateway.local:502")
    return text


def _topic(text: str) -> str:
    if not text or any(mark in text for mark in "+#\0"):
        raise ValueError("a topic of one meter, without + and #")
    return text


def _known(name: str) -> str:
    if not name.endswith(".toml"):  # one's own file is looked at when its folder is known
        register_map.load(name)
    return name


Ratio = Annotated[str, BeforeValidator(_ratio)]
Address = Annotated[str, AfterValidator(_address)]


class Meter(Section, BaseModel):
    """What every meter has, whatever the way to it."""

    name: Name
    address: Address
    interval_s: int = Field(default=60, ge=1, le=3600)
    deadline_s: float = Field(default=5.0, gt=0, le=60)  # for one reading, once it is this meter's turn
    ct_ratio: Ratio = "1"
    vt_ratio: Ratio = "1"
    modulus_kwh: Decimal | int | None = Field(default=None, gt=0)  # where the register returns to 0

    @property
    def ratio(self) -> Fraction:
        """What a register's energy is multiplied by to be that of the primary side."""
        return Fraction(self.ct_ratio) * Fraction(self.vt_ratio)

    @property
    @abstractmethod
    def record_source(self) -> str:
        """The record's source: modbus, http, snmp, mqtt or pulse."""

    @property
    def place(self) -> str:
        """Its address, with what tells it from others there."""
        return self.address

    @property
    def rules(self) -> str | None:
        """The name of its register map, if it has one."""
        return None

    def at(self, base: Path) -> Meter:
        """The same, the files that it names seen from the folder `base`."""
        return self

    def secrets(self) -> list[Secret]:
        """The passwords that it names."""
        return []

    def mistakes(self) -> list[str]:
        """What is wrong with the files that it names."""
        return []


class ModbusMeter(Meter):
    """A meter on Modbus TCP, or behind a gateway that passes RTU frames on."""

    source: Literal["modbus"]
    map: Annotated[str, AfterValidator(_known)]
    unit: int = Field(default=1, ge=0, le=255)
    framing: Literal["tcp", "rtu"] = "tcp"

    @property
    def record_source(self) -> str:
        return "modbus"

    @property
    def place(self) -> str:
        return f"{self.address} unit {self.unit}"

    @property
    def rules(self) -> str | None:
        return Path(self.map).stem

    def at(self, base: Path) -> Meter:
        return self.model_copy(update={"map": str(base / self.map)}) if self.map.endswith(".toml") else self

    def mistakes(self) -> list[str]:
        try:
            register_map.load(self.map)
        except register_map.MapError as error:
            return [f"map: {error}"]
        return []


class MeterLogin(Section, BaseModel):
    """User and password of one meter's interface."""

    user: str = "admin"
    password: Secret


class _WebMeter(Meter):
    """A plug or meter that is asked over HTTP."""

    login: MeterLogin | None = None

    @property
    def record_source(self) -> str:
        return "http"

    def at(self, base: Path) -> Meter:
        if self.login is None:
            return self
        password = self.login.password.at(base)
        return self.model_copy(update={"login": self.login.model_copy(update={"password": password})})

    def secrets(self) -> list[Secret]:
        return [] if self.login is None else [self.login.password]


class ShellyMeter(_WebMeter):
    """A Shelly; `channel` counts from 0, "all" is their sum (the phases of a Gen1 3EM)."""

    source: Literal["shelly"]
    channel: Annotated[int, Field(ge=0, le=15)] | Literal["all"] = 0

    @property
    def place(self) -> str:
        return f"{self.address} channel {self.channel}"


class TasmotaMeter(_WebMeter):
    """A plug with Tasmota on it."""

    source: Literal["tasmota"]


class SnmpUser(Section, BaseModel):
    """Who asks in SNMP v3: with authentication and privacy, nothing less."""

    user: str = Field(min_length=1)
    auth: Literal["MD5", "SHA", "SHA224", "SHA256", "SHA384", "SHA512"] = "SHA256"
    auth_password: Secret
    privacy: Literal["DES", "AES", "AES192", "AES256"] = "AES"
    privacy_password: Secret


class SnmpMeter(Meter):
    """A PDU over SNMP: v2c with a community, or v3 with a user."""

    source: Literal["snmp"]
    map: str
    pdu: int = Field(default=1, ge=1, le=64)  # its number in a chain
    outlet: int | None = Field(default=None, ge=1, le=1000)
    community: Secret | None = None
    v3: SnmpUser | None = None

    @model_validator(mode="after")
    def _complete(self) -> SnmpMeter:
        if (self.community is None) == (self.v3 is None):
            raise ValueError("give either community (v2c) or v3 (a user with two passwords)")
        if not self.map.endswith(".toml"):
            self._check_map()
        return self

    def _check_map(self) -> None:
        rules = oid_map.load(self.map)
        if rules.by_outlet and self.outlet is None:
            raise register_map.MapError(f"outlet: the map {self.map} counts by outlet: say which one")

    @property
    def record_source(self) -> str:
        return "snmp"

    @property
    def place(self) -> str:
        outlet = "" if self.outlet is None else f" outlet {self.outlet}"
        return f"{self.address} pdu {self.pdu}{outlet}"

    @property
    def rules(self) -> str | None:
        return Path(self.map).stem

    def at(self, base: Path) -> Meter:
        update: dict[str, object] = {"map": str(base / self.map)} if self.map.endswith(".toml") else {}
        if self.community is not None:
            update["community"] = self.community.at(base)
        if self.v3 is not None:
            auth, privacy = self.v3.auth_password.at(base), self.v3.privacy_password.at(base)
            passwords = {"auth_password": auth, "privacy_password": privacy}
            update["v3"] = self.v3.model_copy(update=passwords)
        return self.model_copy(update=update)

    def secrets(self) -> list[Secret]:
        v3 = [] if self.v3 is None else [self.v3.auth_password, self.v3.privacy_password]
        return v3 if self.community is None else [self.community, *v3]

    def mistakes(self) -> list[str]:
        try:
            self._check_map()
        except register_map.MapError as error:
            return [f"map: {error}"]
        return []


class MqttMeter(Meter):
    """A register, or pulses, that somebody publishes.

    The payload is a plain number, or JSON in which a path such as `ENERGY.Total` or `phases.0.kwh` leads to
    one. A register is taken once, dated when its message came. Pulses are counted: each message is one, or as
    many as its path says; the count goes on over restarts.
    """

    source: Literal["mqtt"]
    topic: Annotated[str, AfterValidator(_topic)]
    kind: Literal["register", "pulse"] = "register"
    unit: Literal["Wh", "kWh", "MWh"] = "kWh"  # of import and export
    path: str | None = None
    export_path: str | None = None
    power_path: str | None = None  # in W
    serial_path: str | None = None
    wh_per_pulse: Decimal | int | None = Field(default=None, gt=0)
    start_kwh: Decimal | int = Field(default=0, ge=0)  # what the meter showed when the counting began
    login: MeterLogin | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> MqttMeter:
        if (self.kind == "pulse") != (self.wh_per_pulse is not None):
            raise ValueError('wh_per_pulse belongs to kind = "pulse": 1 for a meter of 1,000 pulses a kWh')
        extra = (self.export_path, self.power_path, self.serial_path)
        if self.path is None and any(extra):
            raise ValueError("path: in a JSON payload, say where the register stands too")
        return self

    @property
    def record_source(self) -> str:
        return "pulse" if self.kind == "pulse" else "mqtt"

    @property
    def place(self) -> str:
        return f"{self.address} {self.topic}"

    def at(self, base: Path) -> Meter:
        update: dict[str, object] = {}
        if self.ca_file is not None:
            update["ca_file"] = base / self.ca_file
        if self.login is not None:
            update["login"] = self.login.model_copy(update={"password": self.login.password.at(base)})
        return self.model_copy(update=update)

    def secrets(self) -> list[Secret]:
        return [] if self.login is None else [self.login.password]

    def mistakes(self) -> list[str]:
        missing = self.ca_file is not None and not self.ca_file.is_file()
        return [f"ca_file: {self.ca_file}: no such file"] if missing else []


AnyMeter = Annotated[
    ModbusMeter | ShellyMeter | TasmotaMeter | SnmpMeter | MqttMeter, Field(discriminator="source")
]


def check_names(meters: Sequence[Meter]) -> None:
    """ValueError if two meters bear one name."""
    names = [meter.name for meter in meters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the name of a meter is unique in its site; given twice: {', '.join(twice)}")
