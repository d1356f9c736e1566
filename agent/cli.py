"""`hashledger agent ...`: what an operator types on site."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from agent import app, capture, config, devices_cli, enrol_cli, keys, private, raw, scan, spool_cli, top
from agent.box_time import LinuxBox
from agent.config import Config, ConfigError
from agent.meters import cli as meter_cli
from agent.meters.config import MqttMeter
from agent.readings import DeviceError, Reading
from agent.redact import RedactionError
from agent.simulator.cli import simulate
from agent.spool import SpoolFull
from agent.transports import loop

UNVOUCHED = (
    "no time service vouches for it, so batches say 'unsynchronised'; install chrony with 'rtcsync'"
    " (apt-get install chrony) or enable systemd-timesyncd"
)
T = TypeVar("T")

# What the user can mend ends with this, as click's own usage errors do.
EXIT_USER = 2


class UserError(click.ClickException):
    """Something the user can mend: the message says what, where, and what would be right."""

    exit_code = EXIT_USER


_config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=config.DEFAULT_PATH,
    show_default=True,
    help="The agent's configuration.",
)


@click.group()
def agent() -> None:
    """On site: poll the miners, keep every reading, send it to the collector."""


@agent.command()
@_config_option
@click.option("--org", default="my-farm", show_default=True, help="The organisation, as on the collector.")
@click.option("--site", default="site-1", show_default=True, help="This site.")
@click.option("--network", "networks", multiple=True, default=("192.168.1.0/24",), show_default=True)
@click.option("--broker", default=config.DEFAULT_BROKER, show_default=True, metavar="HOST:PORT")
def init(path: Path, org: str, site: str, networks: tuple[str, ...], broker: str) -> None:
    """Write a commented configuration, and make this box's signing key where there is none yet."""
    if path.exists():
        loaded = _load(path)
        if (loaded.agent.state_dir / keys.KEY_FILE).exists():
            raise UserError(f"{path}: exists already, and so does its key; neither is overwritten")
        key = keys.create(loaded.agent.state_dir)
        click.echo(f"kept {path}; the signing key is in {loaded.agent.state_dir / keys.KEY_FILE}")
    else:
        text = config.sample(org, site, networks, broker)
        loaded = _checked(lambda: config.parse(text, path))
        part = path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        key = keys.create(loaded.agent.state_dir)
        part.replace(path)
        click.echo(f"wrote {path}; the signing key is in {loaded.agent.state_dir / keys.KEY_FILE}")
    click.echo("In the collector's configuration, this lets the agent in:\n")
    click.echo(
        f'[[agent]]\nsite = "{loaded.agent.site}"\nname = "{loaded.agent.name}"\n'
        f'public_key = "{keys.public_text(key)}"'
    )


@agent.command()
@_config_option
def check(path: Path) -> None:
    """Say whether this agent could run: configuration, key, folder, networks, broker."""
    loaded = _load(path)
    hosts = sum(
        1 for _ in _checked(lambda: list(scan.addresses(loaded.network.scan, loaded.network.exclude)))
    )
    key = _checked(lambda: keys.load(loaded.agent.state_dir))
    if not os.access(loaded.agent.state_dir, os.W_OK):
        raise UserError(f"{loaded.agent.state_dir}: not writable by this user")
    click.echo(f"{path}: good; {loaded.agent.org}/{loaded.agent.site}/{loaded.agent.name}, {hosts} addresses")
    click.echo(f"key: {keys.public_text(key)}")
    click.echo(f"clock: {'a time service vouches for it' if LinuxBox().look().synchronised else UNVOUCHED}")
    mqtt, problems = loaded.mqtt, []
    for name in config.MQTT_FILES:
        file = getattr(mqtt, name)
        if file is not None and not os.access(file, os.R_OK):
            problems.append(f"{path}: mqtt.{name}: {file} cannot be read")
    for secret in (mqtt.password_file, mqtt.client_key_file or mqtt.client_cert_file):
        if secret is not None and secret.exists():
            problems += _mistakes(functools.partial(private.check, secret))
    problems += _mistakes(loaded.credentials) or _check_meters(path, loaded)
    try:
        socket.create_connection((mqtt.host, mqtt.port), timeout=loaded.network.connect_timeout_s).close()
    except OSError as error:
        where = f"{mqtt.host}:{mqtt.port}"
        problems.append(f"{path}: mqtt.host, mqtt.port: {where} does not accept a connection ({error})")
    if problems:
        raise UserError("\n".join(problems))
    click.echo(f"broker {mqtt.host}:{mqtt.port}: accepts connections")


def _check_meters(path: Path, loaded: Config) -> list[str]:
    """Read each meter once; what it shows, and what keeps it from being read."""
    problems = []
    asked = [meter for meter in loaded.meter if not isinstance(meter, MqttMeter)]
    for name, told in asyncio.run(meter_cli.read_once(asked, loaded.agent.state_dir)).items():
        if isinstance(told, DeviceError):
            problems.append(f"{path}: meter {name}: {told.kind}: {told}")
        elif told.import_wh is None:
            problems.append(f"{path}: meter {name}: {told.unread.get('import_wh', 'no register')}")
        else:
            click.echo(
                f"meter {name}: {float(told.import_wh) / 1000:,.3f} kWh, serial {told.serial or 'not told'}"
            )
    return problems


@agent.command(name="scan")
@click.argument("networks", nargs=-1, metavar="CIDR...")
@_config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a miner.")
@click.option("--cgminer-port", type=int, help="Port of the cgminer API.  [default: 4028]")
@click.option("--http-port", type=int, help="Port of the web API.  [default: 80]")
def scan_command(
    networks: tuple[str, ...], path: Path, as_json: bool, cgminer_port: int | None, http_port: int | None
) -> None:
    """Find and identify the miners of the networks (those of the configuration, if none is named)."""
    settings = _optional_config(path, networks, cgminer_port, http_port)
    hosts = _checked(lambda: list(scan.addresses(settings.network.scan, settings.network.exclude)))
    console = Console(stderr=True)
    failures: list[tuple[str, DeviceError]] = []
    with Progress(
        TextColumn("scanning"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[found]} found"),
        console=console,
    ) as bar:  # fmt: skip
        task = bar.add_task("scan", total=len(hosts), found=0)
        found_count = 0

        def progress(host: str, result: Reading | DeviceError | None) -> None:
            nonlocal found_count
            found_count += isinstance(result, Reading)
            if isinstance(result, DeviceError):
                failures.append((host, result))
            bar.update(task, advance=1, found=found_count)

        found = loop.run(_scan(settings, hosts, progress))
    ordered = sorted(found.items(), key=lambda item: ipaddress.IPv4Address(item[0]))
    if as_json:
        for host, reading in ordered:
            click.echo(json.dumps({"address": host, **as_document(reading)}))
    else:
        Console().print(_found_table(ordered))
    for host, error in failures:
        click.echo(f"{host}: {error.kind}: {error}", err=True)


@agent.command()
@click.argument("address")
@_config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON; a value that was not read is null.")
@click.option(
    "--raw", "as_raw", is_flag=True, help="Each request and its reply as it came; nothing is hidden."
)
@click.option("--cgminer-port", type=int, help="Port of the cgminer API.  [default: 4028]")
@click.option("--http-port", type=int, help="Port of the web API.  [default: 80]")
def probe(
    address: str, path: Path, as_json: bool, as_raw: bool, cgminer_port: int | None, http_port: int | None
) -> None:
    """Tell all that is known of the one device at ADDRESS."""
    settings = _optional_config(path, (address,), cgminer_port, http_port)
    if as_raw:
        answers = loop.run(raw.record(address, settings.transport(), settings.credentials(), _show_raw))
        sys.exit(0 if any(answer.body for answer in answers) else 1)
    try:
        reading = loop.run(_probe(settings, address))
    except DeviceError as error:
        click.echo(f"{address}: {error.kind}: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(as_document(reading), indent=2, ensure_ascii=False))
    else:
        Console().print(_probe_table(reading))


@agent.command(name="capture")
@click.argument("address")
@_config_option
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("captures"), show_default=True
)
@click.option("--cgminer-port", type=int, help="Port of the cgminer API.  [default: 4028]")
@click.option("--http-port", type=int, help="Port of the web API.  [default: 80]")
def capture_command(
    address: str, path: Path, out: Path, cgminer_port: int | None, http_port: int | None
) -> None:
    """Record the raw replies of the device at ADDRESS, redacted, so that they can be shared."""
    settings = _optional_config(path, (address,), cgminer_port, http_port)
    try:
        answers = loop.run(raw.record(address, settings.transport(), settings.credentials()))
        found = capture.capture(address, answers, secrets.token_bytes(16))
        folder = capture.write(found, out)
    except (DeviceError, RedactionError) as error:
        click.echo(f"{address}: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        raise UserError(str(error)) from error
    click.echo(f"{folder}: {len(found.files) - 1} answers")
    for line in found.done or ("nothing to redact was found",):
        click.echo(f"  {line}")


@agent.command(name="top")
@_config_option
@click.option("--once", is_flag=True, help="Print one picture of every device and end.")
def top_command(path: Path, once: bool) -> None:
    """The running agent's devices, live, worst first; q quits."""
    endpoint = _load(path).exporter
    if not endpoint.port:
        raise UserError(f"{path}: exporter.port: 0 turns off what top reads; give it a port (9464)")
    if not once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("top needs a terminal; in a pipe use --once")

    def fetch() -> str:
        return top.scrape(endpoint.host, endpoint.port)

    try:
        if once:
            top.once(fetch, Console())
        else:
            top.live(fetch, Console(), sys.stdin.fileno())
    except top.ScrapeError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


@agent.command()
@_config_option
@click.option("--interval-s", type=click.IntRange(min=1), help="Instead of the configured interval.")
@click.option("--sweeps", type=click.IntRange(min=1), help="Stop after so many sweeps.")
def run(path: Path, interval_s: int | None, sweeps: int | None) -> None:
    """Sweep the site at its interval, until stopped."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    loaded = _load(path)
    if interval_s:
        loaded = loaded.model_copy(
            update={"agent": loaded.agent.model_copy(update={"interval_s": interval_s})}
        )
    _checked(loaded.credentials)
    try:
        running = _checked(lambda: app.Agent(loaded, report=click.echo))
    except SpoolFull as error:  # with status 1 its service tries again
        click.echo(f"{error}; free some room and start the agent (its service tries by itself)", err=True)
        sys.exit(1)
    loop.run(running.run(sweeps))


for _command in (
    enrol_cli.enroll, meter_cli.meter, devices_cli.devices, devices_cli.bind, devices_cli.split,
    spool_cli.spool, simulate,
):  # fmt: skip
    agent.add_command(_command)


def as_document(reading: Reading) -> dict[str, object]:
    """A reading as `probe` prints it: a value that was not read is null, its reason in `unknown`."""
    document = {
        name: value
        for name, value in msgspec.structs.asdict(reading).items()
        if name not in ("pools", "unknown", "observed_us", "state")
    }
    document["state"] = None if reading.state == "unknown" else reading.state
    document["pools"] = [
        msgspec.structs.asdict(pool) | {"payout_address": pool.payee.address, "coins": pool.payee.coins}
        for pool in reading.pools
    ]
    document["unknown"] = dict(reading.unknown)
    return document


async def _scan(settings: Config, hosts: list[str], progress: scan.Progress) -> dict[str, Reading]:
    async with app.drivers(settings) as poll:
        return await app.discover(settings, hosts, poll, progress)


def _show_raw(answer: raw.Answer) -> None:
    request = answer.request
    click.echo(f"> {request.protocol} {request.port} {request.text}")
    click.echo(raw.printable(answer.body) if answer.body else f"  {answer.error or answer.status}")


async def _probe(settings: Config, address: str) -> Reading:
    async with app.drivers(settings) as poll:
        return await poll(address, None, True)


def _found_table(found: list[tuple[str, Reading]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("address", "model", "TH/s", "W", "origin", "serial or MAC", "state"):
        table.add_column(name, no_wrap=name in ("address", "serial or MAC", "state"), overflow="fold")
    for host, r in found:
        hashrate = "-" if r.hashrate_hs is None else f"{r.hashrate_hs / 1e12:.2f}"
        power = "-" if r.power_w is None else f"{r.power_w:.0f}"
        identity = r.serial or r.mac or "-"
        table.add_row(host, r.model or "-", hashrate, power, r.power_origin or "-", identity, r.state)
    return table


def _probe_table(reading: Reading) -> Table:
    table = Table("field", "value")
    for name, value in as_document(reading).items():
        if name == "unknown":
            continue
        if name == "pools":
            for number, pool in enumerate(reading.pools):
                table.add_row(f"pool {number}", f"{pool.url}  {pool.user}  {'active' if pool.active else ''}")
        elif value is not None and value != ():
            table.add_row(name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
    for name, reason in reading.unknown.items():
        table.add_row(name, f"not read: {reason}", style="dim")
    return table


def _optional_config(
    path: Path, networks: tuple[str, ...], cgminer_port: int | None, http_port: int | None
) -> Config:
    """The configuration if it is there, else the sample's; what the command line says comes first."""
    given = click.get_current_context().get_parameter_source("path")
    if path.exists() or given is click.core.ParameterSource.COMMANDLINE:
        loaded = _load(path)
    else:
        loaded = config.parse(config.sample("local", "local", networks or ("127.0.0.0/30",)), path)
        if not networks:
            raise UserError(
                "name the networks to scan (for instance 192.168.1.0/24), or make a configuration"
            )
    update: dict[str, object] = {}
    if networks:
        update |= {"scan": list(networks), "exclude": []}
    if cgminer_port:
        update["cgminer_port"] = cgminer_port
    if http_port:
        update["http_port"] = http_port
    _checked(loaded.credentials)
    return loaded.model_copy(update={"network": loaded.network.model_copy(update=update)})


def _load(path: Path) -> Config:
    return _checked(lambda: config.load(path))


def _checked(action: Callable[[], T]) -> T:
    try:
        return action()
    except (ConfigError, keys.KeyMissing, private.PrivateFileError, OSError, ValueError) as error:
        raise UserError(str(error)) from error


def _mistakes(action: Callable[[], object]) -> list[str]:
    try:
        action()
    except (ConfigError, private.PrivateFileError) as error:
        return [str(error)]
    return []
