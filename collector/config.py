"""The collector's TOML: read, checked and turned into values; all mistakes are told at once."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import ipaddress
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from agent.wire import check_name
from collector import private, roll, tariff, tree
from collector.ledger.allot import OverheadRule
from collector.places import BUCKET
from collector.private import PrivateFileError
from collector.roll import RollError
from collector.sources.declared import read_declared
from reporting.facts import DeclaredDevice, Filer, Investment, Operator, Site

_STRICT = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class ConfigError(Exception):
    """Mistakes in what a person wrote; each problem names file and key and says what would be right."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _zone(text: str) -> str:
    try:
        zone = ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("unknown time zone; write an IANA name such as Asia/Irkutsk") from error
    offset = datetime(2026, 1, 1, tzinfo=UTC).astimezone(zone).utcoffset()
    if offset is None or offset % timedelta(minutes=30):
        raise ValueError(
            "its offset is no multiple of 30 minutes: the ledger's half-hours cannot tile its days"
        )
    return text


def _public_key(text: object) -> bytes:
    try:
        key = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64; the agent prints its public key when it enrols") from error
    if len(key) != 32:
        raise ValueError(f"{len(key)} bytes; an Ed25519 public key has 32, as base64 44 characters")
    return key


def _address(text: object) -> tuple[str, int]:
    host, colon, port = str(text).rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) < 65536:
        raise ValueError("write HOST:PORT, such as 127.0.0.1:9465")
    return host.strip("[]"), int(port)


_Name = Annotated[str, AfterValidator(check_name)]
_Text = Annotated[str, Field(min_length=1)]


def _section_of(kind: type) -> Any:
    # A reporting dataclass as a section: same keys and types, unknown keys forbidden.
    hints = typing.get_type_hints(kind)
    fields: dict[str, Any] = {
        field.name: (hints[field.name], ... if field.default is dataclasses.MISSING else field.default)
        for field in dataclasses.fields(kind)
    }
    return create_model(kind.__name__, __config__=_STRICT, **fields)


def _database(text: object) -> str:
    try:
        url = make_url(str(text))
    except ArgumentError as error:
        raise ValueError("no URL; write postgresql+psycopg://USER@HOST/DATABASE") from error
    if url.drivername != "postgresql+psycopg":
        raise ValueError("write postgresql+psycopg://USER@HOST/DATABASE, or leave it out: a SQLite file then")
    if url.password is not None or "password" in url.query:
        raise ValueError("a password in it; put it into a file of mode 0600, named as ledger_password_file")
    return str(text)


class _Collector(BaseModel):
    model_config = _STRICT
    org: _Name
    state_dir: Path
    ledger: Annotated[str, BeforeValidator(_database)] | None = None
    ledger_password_file: Path | None = None
    metrics: Annotated[tuple[str, int], BeforeValidator(_address)] = ("127.0.0.1", 9465)
    metrics_per_device: bool = False
    archive: str | None = None
    keep_journal_days: Annotated[int, Field(ge=1)] | None = None


class Mqtt(BaseModel):
    """How to reach the broker; `embedded`: run one of our own, on loopback."""

    model_config = _STRICT
    host: _Text = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    embedded: bool = False


class _Agent(BaseModel):
    model_config = _STRICT
    site: _Name
    name: _Name
    public_key: Annotated[bytes, BeforeValidator(_public_key)]


class _Site(BaseModel):
    model_config = _STRICT
    name: _Text
    country: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    zone: Annotated[str, AfterValidator(_zone)]
    region: str | None = None
    province: str | None = None
    city: str | None = None
    address: str | None = None
    postal_code: str | None = None
    warehouse_id: str | None = None
    devices: Path | None = None
    filer: _section_of(Filer) | None = None  # type: ignore[valid-type]  # a model made at run time
    operator: _section_of(Operator) | None = None  # type: ignore[valid-type]  # likewise
    investment: _section_of(Investment) | None = None  # type: ignore[valid-type]  # likewise
    meter: _Text | None = None
    overhead: OverheadRule = "energy"
    node: dict[_Name, tree.NodeSection] = {}
    tariff: Path | None = None


class _File(BaseModel):
    model_config = _STRICT
    collector: _Collector
    mqtt: Mqtt = Mqtt()
    agent: list[_Agent] = []
    site: dict[_Name, _Site] = {}
    client: dict[_Name, tree.ClientSection] = {}


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """What is declared of one site."""

    site: Site
    filer: Filer | None
    investment: Investment | None
    declared: tuple[DeclaredDevice, ...]
    tree: tree.Tree
    tariff: tariff.Tariff | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; `agents`: (site, agent) -> public key of all, enrolled here or by a bundle.

    The `revoked` are among them: their keys still prove their old batches, new ones are refused.
    """

    path: Path
    org: str
    state_dir: Path
    metrics: tuple[str, int]
    metrics_per_device: bool
    mqtt: Mqtt
    agents: dict[tuple[str, str], bytes]
    sites: dict[str, SiteConfig]
    clients: dict[str, str]  # what each is called
    revoked: frozenset[tuple[str, str]] = frozenset()
    declared_files: tuple[Path, ...] = ()  # of which `sites` has the content
    ledger: str | None = None  # None: a SQLite file in the state folder
    ledger_password_file: Path | None = None
    archive: str | None = None
    keep_journal_days: int | None = None

    @property
    def journal_dir(self) -> Path:
        return self.state_dir / "journal"

    @property
    def ledger_path(self) -> Path:
        return self.state_dir / "ledger.sqlite3"

    @property
    def ledger_url(self) -> URL:
        """Where the ledger is; its text hides the password. PrivateFileError if that cannot be read."""
        if self.ledger is None:
            return URL.create("sqlite", database=str(self.ledger_path))
        file = self.ledger_password_file
        password = None if file is None else private.read(file).decode().rstrip("\r\n")
        return make_url(self.ledger).set(password=password)

    @property
    def ca_dir(self) -> Path:
        return self.state_dir / "ca"

    @property
    def statements_dir(self) -> Path:
        return self.state_dir / "statements"

    @property
    def meter_entries_dir(self) -> Path:
        return self.state_dir / "meter-entries"


def load(path: Path, *, unmade: bool = False) -> Config:
    """The configuration in a file; ConfigError with every mistake in it.

    `unmade`: certificates that it names may still be missing, because the caller is about to make them.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(
            [f"{path}: {error.strerror}; `hashledger collector init` writes a sample"]
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from error
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        raise ConfigError([f"{path}: {text}" for text in _problems(error)]) from error
    base = path.resolve().parent
    problems: list[str] = []
    declared: dict[str, tuple[DeclaredDevice, ...]] = {}
    tariffs: dict[str, tariff.Tariff | None] = {}
    for name, site in file.site.items():
        declared[name] = ()
        if site.devices is not None:
            declared[name], wrong = read_declared(base / site.devices)
            problems += [f"{path}: site.{name}.devices: {text}" for text in wrong]
        if site.tariff is not None:
            tariffs[name], wrong = tariff.load(base / site.tariff)
            problems += [f"{path}: site.{name}.tariff: {text}" for text in wrong]
    mqtt = file.mqtt.model_copy(
        update={key: base / value for key, value in file.mqtt if isinstance(value, Path)}
    )
    password_file = file.collector.ledger_password_file
    enrolled = _roll(base / file.collector.state_dir, problems)
    agents = {(agent.site, agent.name): agent.public_key for agent in file.agent}
    found = (
        *_mqtt_problems(mqtt, unmade),
        *_agent_problems(file, enrolled.keys),
        *tree.problems({name: (site.meter, site.node) for name, site in file.site.items()}, file.client),
    )
    problems += [f"{path}: {text}" for text in found]
    if problems:
        raise ConfigError(problems)
    return Config(
        path=path,
        org=file.collector.org,
        state_dir=base / file.collector.state_dir,
        metrics=file.collector.metrics,
        metrics_per_device=file.collector.metrics_per_device,
        mqtt=mqtt,
        declared_files=tuple(
            base / name for site in file.site.values() for name in (site.devices, site.tariff) if name
        ),
        ledger=file.collector.ledger,
        ledger_password_file=password_file and base / password_file,
        agents=agents | enrolled.keys,
        revoked=enrolled.revoked,
        archive=_archive(base, file.collector.archive),
        keep_journal_days=file.collector.keep_journal_days,
        sites={name: _site_config(file, name, declared[name], tariffs.get(name)) for name in file.site},
        clients={name: client.name for name, client in file.client.items()},
    )


def _site_config(
    file: _File, name: str, declared: tuple[DeclaredDevice, ...], calendar: tariff.Tariff | None
) -> SiteConfig:
    site = file.site[name]
    # What [site.x] holds beside where it is, has values of its own.
    others = {"devices", "filer", "operator", "investment", "meter", "overhead", "node", "tariff"}
    where = site.model_dump(exclude=others)
    operator = None if site.operator is None else Operator(**site.operator.model_dump())
    return SiteConfig(
        site=Site(org=file.collector.org, site=name, operator=operator, **where),
        filer=None if site.filer is None else Filer(**site.filer.model_dump()),
        investment=None if site.investment is None else Investment(**site.investment.model_dump()),
        declared=declared,
        tree=tree.site_tree(name, site.meter, site.overhead, site.node, file.client),
        tariff=calendar,
    )


def _archive(base: Path, text: str | None) -> str | None:
    return text if text is None or text.startswith(BUCKET) else str(base / text)


def _roll(state_dir: Path, problems: list[str]) -> roll.Roll:
    try:
        return roll.load(state_dir)
    except (RollError, PrivateFileError) as error:
        problems.append(str(error))
        return roll.Roll()


def _mqtt_problems(mqtt: Mqtt, unmade: bool) -> Iterator[str]:
    for key, value in mqtt:
        if isinstance(value, Path) and not (value.is_file() or unmade):
            made = "; 'hashledger collector broker-config DIR' makes it" if value.parent.name == "ca" else ""
            yield f"mqtt.{key}: {value} is no file{made}"
    if mqtt.client_key_file is not None and mqtt.client_cert_file is None:
        yield "mqtt.client_key_file: client_cert_file is missing; it may hold the key as well"
    if mqtt.ca_file is None and not (mqtt.embedded or _is_loopback(mqtt.host)):
        yield f"mqtt.ca_file: {mqtt.host} is not loopback; 'hashledger collector broker-config DIR' makes one"
    if mqtt.embedded and not _is_loopback(mqtt.host):
        yield f"mqtt.host: {mqtt.host}; the embedded broker is for loopback only: 127.0.0.1"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _agent_problems(file: _File, enrolled: dict[tuple[str, str], bytes]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for n, agent in enumerate(file.agent):
        if agent.site not in file.site:
            yield f"agent[{n}].site: {agent.site} has no section [site.{agent.site}]"
        if (agent.site, agent.name) in seen:
            yield f"agent[{n}]: {agent.site}/{agent.name} is enrolled twice"
        if enrolled.get((agent.site, agent.name), agent.public_key) != agent.public_key:
            yield f"agent[{n}].public_key: {agent.site}/{agent.name} has enrolled with another key"
        seen.add((agent.site, agent.name))


def _problems(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        loc = tuple(part for part in item["loc"] if part != "[key]")
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
        if item["type"] == "extra_forbidden":
            yield f"{key}: unknown key; known here: {', '.join(_known_keys(loc[:-1]))}"
        elif item["type"] == "missing":
            yield f"{key}: is missing"
        elif key == "collector.ledger":  # not shown: there may be a password in it
            yield f"{key}: {item['msg'].removeprefix('Value error, ')}"
        else:
            yield f"{key}: {item['msg'].removeprefix('Value error, ')} (given: {item['input']!r})"


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    model: Any = _File
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            hint = model.model_fields[part].annotation
            found = [kind for kind in (hint, *typing.get_args(hint)) if hasattr(kind, "model_fields")]
            model = found[0] if found else model
    return [field.alias or name for name, field in model.model_fields.items()]
