"""`hashledger collector enroll`, `revoke`, `broker-config`: who gets in, for the roll and the broker."""

from __future__ import annotations

from pathlib import Path

import click

from agent import wire_enrol
from agent.wire import check_name
from collector import app, broker_config, ca, config, desk, enrol, private, roll
from collector.ca import Authority
from collector.config import Config, ConfigError
from collector.enrol import EnrolError
from collector.told import config_option, told

# Long enough to carry it to the site, short enough to be worthless in a drawer.
VALID_H = 72


@click.command("enroll")
@config_option
@click.argument("site", required=False)
@click.argument("agent", required=False)
@click.option(
    "--valid-h", type=click.FloatRange(min=0, min_open=True, max=720), default=VALID_H, show_default=True,
    help="How long the bundle can be used.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="[default: SITE-AGENT.bundle, FILE.answer]")
@click.option(
    "--sign", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Answer a request FILE of a site without a link, instead of making a bundle.",
)  # fmt: skip
def enroll_command(
    path: Path, site: str | None, agent: str | None, valid_h: float, out: Path | None, sign: Path | None
) -> None:
    """Make a one-time bundle with which AGENT of SITE enrols; or answer a request file."""
    with told():
        settings = config.load(path, unmade=True)
        authority = _authority(settings)
        if sign is not None:
            _sign(settings, authority, sign, out or sign.with_suffix(".answer"))
            return
        if site is None or agent is None:
            raise click.UsageError("name SITE and AGENT, or a request file with --sign")
        _make(settings, authority, (site, agent), valid_h, out or Path(f"{site}-{agent}.bundle"))


def _make(settings: Config, authority: Authority, name: roll.Key, valid_h: float, out: Path) -> None:
    site, agent = name
    try:
        check_name(agent)
    except ValueError as error:
        raise ConfigError([f"AGENT {agent!r}: {error}"]) from error
    if site not in settings.sites:
        raise ConfigError([f"SITE {site}: no section [site.{site}] in {settings.path}"])
    if out.exists():
        raise ConfigError([f"{out} exists; it is not overwritten: name another with --out"])
    key = private.collector_key(settings.state_dir).public_key().public_bytes_raw()
    now_us = app.now_us()
    bundle = roll.change(
        settings.state_dir,
        lambda before: enrol.make_bundle(settings, authority, before, name, key, valid_h * 3600, now_us),
    )
    private.write(out, wire_enrol.encode_bundle(bundle))
    click.echo(f"{out}: bundle {bundle.id} for {site}/{agent}, good once until "
               f"{ca.instant(bundle.expires_us):%F %T} UTC")  # fmt: skip
    click.echo("Let it in at the broker: hashledger collector broker-config DIR, then reload mosquitto.")
    click.echo(f"Carry it to the site, there: hashledger agent enroll {out.name}")


def _sign(settings: Config, authority: Authority, request: Path, out: Path) -> None:
    answer, decided = desk.sign_file(settings, authority, request.read_bytes(), app.now_us())
    if decided.refusal is not None:
        raise EnrolError(desk.said(decided))
    private.write(out, answer)
    click.echo(f"{desk.said(decided)}: {out}")


@click.command("revoke")
@config_option
@click.argument("site")
@click.argument("agent")
def revoke_command(path: Path, site: str, agent: str) -> None:
    """Shut AGENT of SITE out for good, or withdraw its bundle that nobody has used yet."""
    with told():
        settings = config.load(path, unmade=True)
        now_us = app.now_us()

        def how(before: roll.Roll) -> tuple[roll.Roll, bool]:
            after = enrol.revoke(before, (site, agent), now_us)
            return after, after.member((site, agent)) is not None

        was_in = roll.change(settings.state_dir, how)
    if was_in:
        click.echo(f"{site}/{agent} is revoked: a running collector refuses its batches from now on.")
    else:
        click.echo(f"{site}/{agent}: its bundle is withdrawn; a running collector enrols nobody with it.")
    click.echo("Shut it out at the broker: hashledger collector broker-config DIR, then reload mosquitto.")


@click.command("broker-config")
@config_option
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seen-as", type=click.Path(path_type=Path), help="DIR as the broker sees it.  [default: DIR]")
@click.option("--host", "hosts", multiple=True, help="A further name that the broker is reached by.")
def broker_config_command(path: Path, folder: Path, seen_as: Path | None, hosts: tuple[str, ...]) -> None:
    """Write mosquitto's configuration for the agents on the roll: rights, certificates, revocations."""
    with told():
        settings = config.load(path, unmade=True)
        if settings.mqtt.embedded:
            raise ConfigError(
                [f"{path}: mqtt.embedded: must be false, the embedded broker takes no configuration"]
            )
        now_us = app.now_us()
        authority = ca.open_authority(settings.ca_dir, settings.org, ca.instant(now_us))
        broker_config.own_certificate(settings, authority, now_us)
        now = roll.load(settings.state_dir)
        names = (settings.mqtt.host, *hosts)
        broker_config.write(folder, seen_as or folder.resolve(), settings, authority, now, names, now_us)
    agents, certificates = len(settings.agents) - len(settings.revoked), enrol.revoked_serials(now, now_us)
    bundles = sum(p.is_out(now_us) for p in now.pending)
    click.echo(
        f"{folder}: {agents} agents, {bundles} bundles out, {len(certificates)} certificates revoked; "
        "a running mosquitto takes it with SIGHUP (systemctl reload mosquitto)"
    )


def _authority(settings: Config) -> Authority:
    authority = app.open_authority(settings)
    if authority is None:
        where = f"no authority in {settings.ca_dir} yet"
        raise EnrolError(f"{where}: 'hashledger collector broker-config DIR' makes it")
    return authority
