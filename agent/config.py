"""The agent's configuration: one TOML file, every mistake told at once."""

from __future__ import annotations

import base64
import ipaddress
import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from agent import listen, private
from agent.meters.config import AnyMeter, check_names
from agent.miners import fields
from agent.pace import SILENT_PER_S
from agent.pools import ExpectedPool
from agent.power import NO_RULES, Correction, PowerRules
from agent.sections import Name, Port, Secret, Section
from agent.spool import MAX_BYTES
from agent.thinning import Levels
from agent.transports.network import Credentials, Network

DEFAULT_PATH = Path("agent.toml")
DEFAULT_BROKER = "collector.example:8883"
GIB = 1024**3
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MQTT_FILES = ("password_file", "ca_file", "client_cert_file", "client_key_file", "collector_key_file")
SECRET_KEYS = {"password", "community", "auth_password", "privacy_password"}
# One whole reply; the slowest stock firmware needs about two seconds.
REPLY_DEADLINE_S = 5.0


class ConfigError(Exception):
    """The file cannot be used; the text names file, key and what would be right, a line a mistake."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return text


def _network(text: str) -> str:
    ipaddress.IPv4Network(text, strict=False)
    return text


def _mac(text: str) -> str:
    if (found := fields.mac(text)) is None:
        raise ValueError("no MAC of one device; write it like aa:bb:cc:dd:ee:ff")
    return found


def _past(day: date) -> date:
    if day > datetime.now(UTC).date() + timedelta(days=1):  # a day's grace for the zones east of ours
        raise ValueError("is in the future: the day on which it was measured")
    return day


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Cidr = Annotated[str, AfterValidator(_network)]


class _Section(Section, BaseModel):
    """A table of this file."""


class AgentSection(_Section):
    """Who this agent is, and its rhythm."""

    org: Name
    site: Name
    name: Name = "agent-1"
    state_dir: Path = Path("agent-state")
    interval_s: int = Field(default=60, ge=1, le=3600)
    synthetic: bool = False  # a rehearsal: everything this agent sends is marked SIMULATED


class SpoolSection(_Section):
    """The disk that batches may take, how long confirmed ones stay, where alarm and thinning begin."""

    max_gib: float = Field(default=MAX_BYTES / GIB, gt=0.005)  # below it a single large batch finds no room
    keep_days: float = Field(default=35, ge=0)
    alarm_percent: list[float] = [50, 75]
    thin_percent: float = Field(default=80, gt=0, lt=100)

    @model_validator(mode="after")
    def _ascending(self) -> SpoolSection:
        levels = [0, *self.alarm_percent, self.thin_percent]
        if any(low >= high for low, high in pairwise(levels)):
            raise ValueError("alarm_percent ascends from above 0 and stays below thin_percent")
        return self

    @property
    def max_bytes(self) -> int:
        return int(self.max_gib * GIB)

    @property
    def levels(self) -> Levels:
        return Levels(tuple(percent / 100 for percent in self.alarm_percent), self.thin_percent / 100)


class NetworkSection(_Section):
    """Where the miners are. The bounds keep one slow device or one large site from stopping the rest."""

    scan: list[Cidr] = Field(min_length=1)
    exclude: list[Cidr] = []
    rescan_s: int = Field(default=600, ge=10)
    # Of the interval. With the longest deadline of 30 s behind it a sweep still ends within a minute.
    spread: float = Field(default=0.4, ge=0, le=0.9)
    concurrency: int = Field(default=200, ge=1, le=2000)
    scan_silent_per_s: float = Field(default=SILENT_PER_S, gt=0, le=10_000)
    ip_report_ports: list[Port] = list(listen.PORTS)
    connect_timeout_s: float = Field(default=2.0, gt=0, le=30)
    deadline_s: float = Field(default=10.0, gt=0, le=60)
    foreign_deadline_s: float = Field(default=30.0, gt=0, le=300)
    cgminer_port: Port = 4028
    http_port: Port = 80

    @property
    def longest_deadline_s(self) -> float:
        """What bounds any device; the drivers hold their own families to the shorter one."""
        return max(self.deadline_s, self.foreign_deadline_s)


class LoginSection(_Section):
    """User and password of one firmware family's web interface."""

    user: str = "root"
    password: Secret


class PoolSection(_Section):
    """A pool this farm mines to; with any listed, every other one is an alarm."""

    host: str
    port: Port
    user: Annotated[str, AfterValidator(_pattern)] = ".*"


class CorrectionSection(_Section):
    """A factor found against a meter; of one device (serial or mac) or of a model."""

    factor: float = Field(gt=0.5, lt=2.0)  # beyond that the meter or the device is broken
    measured: Annotated[date, AfterValidator(_past)]
    evidence: Words
    serial: Words | None = None
    mac: Annotated[str, AfterValidator(_mac)] | None = None
    model: Words | None = None

    @model_validator(mode="after")
    def _one_of(self) -> CorrectionSection:
        if sum(value is not None for value in (self.serial, self.mac, self.model)) != 1:
            raise ValueError("name exactly one of serial, mac, model")
        return self


class PowerSection(_Section):
    """What is declared of power; `nameplate`: J/TH x hashrate where a device tells no watts at all."""

    nameplate: bool = False
    correction: list[CorrectionSection] = []


class MqttSection(_Section):
    """The broker; TLS as soon as `ca_file` is given, signed acks alone as soon as `collector_key_file` is."""

    host: str
    port: Port = 8883
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None  # left out where `client_cert_file` holds the key as well
    collector_key_file: Path | None = None

    @model_validator(mode="after")
    def _secured(self) -> MqttSection:
        if self.host not in LOOPBACK and None in (self.ca_file, self.collector_key_file):
            raise ValueError(
                f"{self.host} is not loopback: ca_file and collector_key_file are needed;"
                " 'hashledger agent enroll BUNDLE' makes them"
            )
        return self

    def collector_key(self) -> bytes | None:
        """The collector's public key (32 bytes), if its file is named; ConfigError if that is no key."""
        if self.collector_key_file is None:
            return None
        try:
            key = base64.b64decode(self.collector_key_file.read_text(encoding="ascii").strip(), validate=True)
        except (OSError, ValueError) as error:
            raise ConfigError(f"mqtt.collector_key_file: {self.collector_key_file}: {error}") from error
        if len(key) != 32:
            raise ConfigError(f"mqtt.collector_key_file: {self.collector_key_file}: no key of 32 bytes")
        return key


class ExporterSection(_Section):
    """The Prometheus endpoint; port 0 turns it off."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)
    per_device: bool = True


class Config(_Section):
    """The whole file."""

    agent: AgentSection
    network: NetworkSection
    mqtt: MqttSection
    spool: SpoolSection = SpoolSection()
    exporter: ExporterSection = ExporterSection()
    login: dict[str, LoginSection] = {}
    pool: list[PoolSection] = []
    power: PowerSection = PowerSection()
    meter: list[AnyMeter] = []

    @field_validator("meter")
    @classmethod
    def _unique(cls, meters: list[AnyMeter]) -> list[AnyMeter]:
        check_names(meters)
        return meters

    def transport(self) -> Network:
        """The drivers' network settings."""
        net = self.network
        return Network(
            cgminer_port=net.cgminer_port,
            http_port=net.http_port,
            connect_timeout_s=net.connect_timeout_s,
            deadline_s=min(net.deadline_s, REPLY_DEADLINE_S),
            poll_deadline_s=net.deadline_s,
            foreign_deadline_s=net.foreign_deadline_s,
        )

    def power_rules(self) -> PowerRules:
        """What is declared of power."""
        rows = [c.model_dump() | {"measured": c.measured.isoformat()} for c in self.power.correction]
        corrections = tuple(Correction(**row) for row in rows)
        return (
            PowerRules(self.power.nameplate, corrections) if corrections or self.power.nameplate else NO_RULES
        )

    def expected_pools(self) -> list[ExpectedPool]:
        """The pools that are no alarm."""
        return [ExpectedPool(pool.host, pool.port, pool.user) for pool in self.pool]

    def credentials(self) -> Credentials:
        """The drivers' logins, the configured ones over the makers'; ConfigError: a password is not there."""
        found, wrong = {}, []
        for meter in self.meter:
            for secret in meter.secrets():
                try:
                    secret.read()
                except (private.PrivateFileError, UnicodeDecodeError) as error:
                    wrong.append(f"meter {meter.name}: {error}")
        for family, login in self.login.items():
            try:
                found[family] = login.user, login.password.read()
            except (private.PrivateFileError, UnicodeDecodeError) as error:
                wrong.append(f"login.{family}.password: {error}")
        if wrong:
            raise ConfigError("\n".join(wrong))
        return Credentials(found)


def load(path: Path) -> Config:
    """The configuration at `path`; paths in it are relative to its folder. ConfigError tells all mistakes."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; 'hashledger agent init' writes one") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from error
    loaded = parse(text, path)
    secrets = [login.password for login in loaded.login.values()]
    secrets += [secret for meter in loaded.meter for secret in meter.secrets()]
    if any(secret.plain is not None for secret in secrets):
        try:
            private.check(path)
        except private.PrivateFileError as error:
            raise ConfigError(
                f'{error}, or move the passwords into files of their own: password = {{ file = "PATH" }}'
            ) from error
    return loaded


def parse(text: str, path: Path) -> Config:
    """A configuration's text; `path` is where it stands or will stand."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _mistakes(error))) from error
    base = path.resolve().parent
    agent = config.agent.model_copy(update={"state_dir": base / config.agent.state_dir})
    files = MQTT_FILES
    meters = [meter.at(base) for meter in config.meter]
    wrong = [f"{path}: meter.{n}.{line}" for n, meter in enumerate(meters) for line in meter.mistakes()]
    if wrong:
        raise ConfigError("\n".join(wrong))
    given = {name: base / getattr(config.mqtt, name) for name in files if getattr(config.mqtt, name)}
    return config.model_copy(
        update={
            "agent": agent,
            "mqtt": config.mqtt.model_copy(update=given),
            "login": {family: _login_at(base, login) for family, login in config.login.items()},
            "meter": meters,
        }
    )


def _login_at(base: Path, login: LoginSection) -> LoginSection:
    return login.model_copy(update={"password": login.password.at(base)})


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors():
        key = ".".join(str(part) for part in mistake["loc"])
        text = {
            "missing": "is missing",
            "extra_forbidden": "is not a key of this file",
        }.get(mistake["type"], mistake["msg"].removeprefix("Value error, "))
        lines.append(f"{key}: {text}{_given(mistake)}")
    return lines


def _given(mistake: Any) -> str:
    if mistake["type"] == "missing" or isinstance(mistake["input"], dict):
        return ""
    # Of a misspelt key nobody knows what it holds: in these tables it may be a password.
    if SECRET_KEYS & {*mistake["loc"]} or mistake["loc"][0] == "login":
        return ""
    if mistake["loc"][0] == "meter" and mistake["type"] == "extra_forbidden":
        return ""
    return f" (given: {mistake['input']!r})"


SAMPLE_SECURED = """\
# Made by `hashledger agent enroll BUNDLE`; leave out only on loopback: without them nothing is encrypted.
ca_file = "agent-state/ca.crt"
client_cert_file = "agent-state/tls.pem"           # key and certificate, renewed by the agent itself
collector_key_file = "agent-state/collector.pub"   # what acks have to be signed with
"""


SAMPLE_METER = """\
# Electricity meters ('hashledger agent meter maps' lists maps); a ratio only where the meter has none set:
# [[meter]]
# name = "feeder-1"
# source = "modbus"            # modbus, shelly, tasmota, snmp, mqtt
# address = "192.168.1.50:502"
# unit = 1
# map = "sdm630"
# ct_ratio = "200/5"
# interval_s = 60
"""


def sample(
    org: str,
    site: str,
    networks: tuple[str, ...],
    broker: str = DEFAULT_BROKER,
    name: str = "agent-1",
    *,
    enrolled: bool = False,
) -> str:
    """A commented configuration to begin with; only a broker on loopback may go without certificates."""
    host, _, port = broker.partition(":")
    scan = ", ".join(f'"{n}"' for n in networks)
    return f"""\
# hashledger agent: runs on site, polls the miners, keeps every reading until the collector has it.

[agent]
org = "{org}"              # a-z, 0-9 and '-'; the same on the collector
site = "{site}"
name = "{name}"           # one name per box; two boxes never share one
state_dir = "agent-state"  # spool, identities, key; relative to this file
interval_s = 60            # one sweep a minute

[spool]                    # what waits for the collector; see also 'hashledger agent spool'
max_gib = 20               # never exceeded; 20 hold 30 days of 10,000 devices a minute, 2 those of 1,000
keep_days = 35             # confirmed batches are kept so long, unless new ones need the room
alarm_percent = [50, 75]   # of the room taken by what waits: an event and an alarm
thin_percent = 80          # from here on only every 2nd sweep is stored, later every 4th, 8th, 16th

[network]
scan = [{scan}]   # where miners may be found
exclude = []               # addresses or networks never to touch
rescan_s = 600             # how often to look for new and moved miners
spread = 0.4               # polls begin over this part of the interval, not all at once
concurrency = 200          # devices polled at a time
scan_silent_per_s = 150    # addresses without an answer a second: more would overflow the neighbour table
ip_report_ports = [14235, 8888]  # UDP, where miners call when their "IP report" is pressed; [] for none
connect_timeout_s = 2.0
deadline_s = 10.0          # hard limit for one device; a hung one costs its own reading only
foreign_deadline_s = 30.0  # the same for devices without a driver of our own: pyasic asks many things

[mqtt]
host = "{host}" # the broker, usually beside the collector
port = {port or 8883}
{"" if host in LOOPBACK and not enrolled else SAMPLE_SECURED}
[exporter]                 # Prometheus: http://127.0.0.1:9464/metrics
host = "127.0.0.1"
port = 9464
per_device = true          # one series a device; false on very large sites

# Your own pools; with any listed, every other one is an alarm:
# [[pool]]
# host = "pool.example"
# port = 3333
# user = "myaccount\\..*"

# Power measured against a meter: a factor with date and evidence, of a device (serial, mac) or a model.
# [[power.correction]]
# model = "Bitaxe Gamma"
# factor = 1.12
# measured = 2026-10-01
# evidence = "plug meter no. 7, 24 h, 18.1 W shown, 20.3 W measured"

# Web logins where they differ from the maker's default; a password written here needs this file at mode 0600:
# [login.antminer]
# user = "root"
# password = {{ file = "antminer.password" }}   # or {{ credential = "NAME" }} of systemd's LoadCredential=

{SAMPLE_METER}"""
