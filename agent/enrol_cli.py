"""`hashledger agent enroll`: the box makes its keys, shows its bundle once, and has a certificate."""

from __future__ import annotations

from pathlib import Path

import click

from agent import certificate, config, enrol, keys, private
from agent.certificate import CertificateError
from agent.clock import now_us
from agent.config import Config, ConfigError
from agent.enrol import EnrolError
from agent.wire_enrol import Bundle

# What the user can mend; click's own usage errors end with the same.
EXIT_USER = 2
_CAN_BE_MENDED = (
    EnrolError, CertificateError, ConfigError, keys.KeyMissing, private.PrivateFileError, OSError,
)  # fmt: skip


class NotEnrolled(click.ClickException):
    """The box is not enrolled; the message says why, and what would be right."""

    exit_code = EXIT_USER


@click.command("enroll")
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=config.DEFAULT_PATH, show_default=True,
    help="The agent's configuration; written where there is none yet.",
)  # fmt: skip
@click.option("--network", "networks", multiple=True, default=("192.168.1.0/24",), show_default=True)
@click.option(
    "--request", "request_path", type=click.Path(path_type=Path), metavar="FILE",
    help="No link: write the request, for 'hashledger collector enroll --sign FILE'.",
)  # fmt: skip
@click.option(
    "--answer", "answer_path", type=click.Path(path_type=Path, exists=True), metavar="FILE",
    help="No link: take the answer that was brought back.",
)  # fmt: skip
def enroll(
    bundle_path: Path,
    path: Path,
    networks: tuple[str, ...],
    request_path: Path | None,
    answer_path: Path | None,
) -> None:
    """Enrol this box with the one-time BUNDLE that 'hashledger collector enroll' made for it."""
    try:
        bundle = enrol.open_bundle(bundle_path)
        settings = _configuration(bundle, path, networks)
        state_dir = settings.agent.state_dir
        if answer_path is None:
            enrol.check_time(bundle, now_us())
        key = keys.create(state_dir)
        if request_path is not None:
            private.write(request_path, enrol.request_file(bundle, state_dir, key))
            click.echo(f"{request_path}: take it to the collector: hashledger collector enroll --sign FILE")
            return
        if answer_path is not None:
            answer = answer_path.read_bytes()
        else:
            answer = enrol.ask(bundle, enrol.request(bundle, state_dir, key))
        until = enrol.finish(bundle, state_dir, answer)
    except _CAN_BE_MENDED as error:
        raise NotEnrolled(str(error)) from error
    who = f"{bundle.org}/{bundle.site}/{bundle.agent}"
    click.echo(f"enrolled as {who}; the certificate is good until {until:%F} and renewed by the agent itself")
    click.echo(f"The bundle is used up: delete {bundle_path}. Then: hashledger agent check --config {path}")


def _configuration(bundle: Bundle, path: Path, networks: tuple[str, ...]) -> Config:
    """The configuration at `path`, written from the bundle where there is none; it must be this bundle's."""
    if not path.exists():
        broker = f"{bundle.host}:{bundle.port}"
        text = config.sample(bundle.org, bundle.site, networks, broker, bundle.agent, enrolled=True)
        config.parse(text, path)
        private.write(path, text.encode())
        click.echo(f"wrote {path}")
    settings = config.load(path)
    ours = settings.agent
    if (ours.org, ours.site, ours.name) != (bundle.org, bundle.site, bundle.agent):
        theirs = f"{bundle.org}/{bundle.site}/{bundle.agent}"
        raise EnrolError(f"{path} is of {ours.org}/{ours.site}/{ours.name}, the bundle for {theirs}")
    wanted = {
        "ca_file": enrol.CA_FILE,
        "client_cert_file": certificate.FILE,
        "collector_key_file": enrol.COLLECTOR_FILE,
    }
    wrong = [
        f'{path}: mqtt.{name}: must be "{ours.state_dir / file}", where enrolment puts it'
        for name, file in wanted.items()
        if getattr(settings.mqtt, name) != ours.state_dir / file
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return settings
