"""The box's side of enrolment and its secrets: what is written, what is refused, what is never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import certificate, config, keys, private, wire, wire_enrol
from agent.cli import agent
from agent.config import ConfigError
from collector import ca
from hashledger import main

BUNDLE = wire_enrol.Bundle(
    wire.VERSION, "0" * 16, "acme", "north", "box-1", "127.0.0.1", 8883, 2**60, "CA", bytes(32), b"t", "", ""
)  # fmt: skip
CONFIG = config.sample("acme", "north", ("127.0.0.0/30",), name="box-1")


def enroll(folder: Path, *words: str) -> Result:
    line = ["enroll", str(folder / "bundle"), "--config", str(folder / "agent.toml"), *words]
    return CliRunner().invoke(agent, line)


def write_bundle(folder: Path, **changed: object) -> None:
    private.write(folder / "bundle", wire_enrol.encode_bundle(msgspec.structs.replace(BUNDLE, **changed)))


# ---- enrolment


def test_a_bundle_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    (tmp_path / "bundle").chmod(0o644)
    result = enroll(tmp_path)
    assert (result.exit_code, "chmod 600" in result.output) == (2, True)
    assert not (tmp_path / "agent-state").exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"v": 1}'])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    private.write(tmp_path / "bundle", content)
    result = enroll(tmp_path)
    assert (result.exit_code, "bundle: " in result.output) == (2, True)


def test_a_bundle_of_another_version_or_run_out_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path, v=2)
    assert "version 2" in enroll(tmp_path).output
    write_bundle(tmp_path, expires_us=1)
    assert "good until 1970-01-01" in enroll(tmp_path).output


def test_anothers_bundle_changes_nothing(tmp_path: Path) -> None:
    write_bundle(tmp_path, agent="box-2")
    (tmp_path / "agent.toml").write_text(CONFIG)
    result = enroll(tmp_path)
    assert (result.exit_code, "is of acme/north/box-1" in result.output) == (2, True)
    assert not (tmp_path / "agent-state").exists()


def test_a_configuration_that_looks_elsewhere_is_named(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    (tmp_path / "agent.toml").write_text(CONFIG.replace("agent-state/tls.pem", "elsewhere.pem"))
    result = enroll(tmp_path)
    assert (result.exit_code, "mqtt.client_cert_file" in result.output) == (2, True)


def test_the_request_keeps_its_keys_over_tries(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    assert enroll(tmp_path, "--request", str(tmp_path / "request")).exit_code == 0
    state = tmp_path / "agent-state"
    before = [(state / name).read_bytes() for name in (keys.KEY_FILE, certificate.NEXT_KEY_FILE)]
    assert enroll(tmp_path, "--request", str(tmp_path / "request")).exit_code == 0
    assert [(state / name).read_bytes() for name in (keys.KEY_FILE, certificate.NEXT_KEY_FILE)] == before
    assert {p.stat().st_mode & 0o777 for p in state.iterdir()} == {0o600}
    assert (tmp_path / "agent.toml").stat().st_mode & 0o777 == 0o600


def test_a_certificate_for_another_key_is_not_installed(tmp_path: Path) -> None:
    authority = ca.open_authority(tmp_path / "ca", "acme", certificate.now())
    certificate.request(tmp_path, "acme/north/box-1")
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    made = ca.pem(ca.issue_client(authority, "acme/north/box-1", other, certificate.now()))
    with pytest.raises(certificate.CertificateError, match="another key"):
        certificate.install(tmp_path, made)
    with pytest.raises(certificate.CertificateError, match="not a certificate"):
        certificate.install(tmp_path, "junk")
    assert not (tmp_path / certificate.FILE).exists()


@pytest.mark.parametrize("given", ["ca_file", "collector_key_file", ""])
def test_beyond_loopback_nothing_goes_unencrypted_or_unsigned(tmp_path: Path, given: str) -> None:
    text = config.sample("acme", "north", ("127.0.0.0/30",))
    kept = [line for line in text.splitlines() if "_file" not in line or (given and line.startswith(given))]
    with pytest.raises(ConfigError, match="ca_file and collector_key_file are needed"):
        config.parse("\n".join(kept), tmp_path / "agent.toml")
    config.parse(text, tmp_path / "agent.toml")


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """What is typed is seen by everyone on the machine, in its process title and in the shell's history."""

    def options(command: click.Command, context: click.Context) -> Iterator[str]:
        yield from (name for parameter in command.params for name in parameter.opts)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from options(inner, context)

    found = set(options(main, click.Context(main)))
    assert "--config" in found
    assert [name for name in found if re.search("pass|token|secret|pin", name)] == []


# ---- the collector's word


def test_a_word_counts_for_its_topic_and_from_its_key_only() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    word = wire.sign_word("a/ack", b"body", key)
    assert wire.open_word("a/ack", word, public) == b"body"
    forged = (b"body", b"", wire.WORD, word[:-1], word + b"x", wire.sign_word("a/ack", b"body", other))
    for topic, message in [("b/ack", word), *(("a/ack", message) for message in forged)]:
        with pytest.raises(wire.WireError):
            wire.open_word(topic, message, public)
    assert wire.open_word("a/ack", word, None) == wire.open_word("a/ack", b"body", None) == b"body"


# ---- miners' passwords


def login(folder: Path, password: str, mode: int = 0o600) -> config.Config:
    path = folder / "agent.toml"
    path.write_text(f'{CONFIG}\n[login.antminer]\nuser = "root"\npassword = {password}\n')
    path.chmod(mode)
    return config.load(path)


def test_a_plain_password_needs_a_configuration_that_only_its_owner_reads(tmp_path: Path) -> None:
    assert login(tmp_path, '"hunter2"').credentials().of("antminer") == ("root", "hunter2")
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        login(tmp_path, '"hunter2"', 0o640)
    assert "hunter2" not in str(caught.value)


def test_a_password_in_a_file_lets_the_configuration_be_read(tmp_path: Path) -> None:
    private.write(tmp_path / "secret", b"hunter2\n")
    assert login(tmp_path, '{ file = "secret" }', 0o644).credentials().of("antminer") == ("root", "hunter2")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigError, match=r"login\.antminer\.password: .*chmod 600"):
        login(tmp_path, '{ file = "secret" }').credentials()


def test_a_credential_comes_from_systemds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = login(tmp_path, '{ credential = "antminer" }', 0o644)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="LoadCredential=antminer"):
        settings.credentials()
    private.write(tmp_path / "credentials" / "antminer", b"hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert settings.credentials().of("antminer") == ("root", "hunter2")
    (tmp_path / "credentials" / "antminer").chmod(0o440)  # as an access list shows
    assert settings.credentials().of("antminer") == ("root", "hunter2")


@pytest.mark.parametrize("password", ["7", "[]", "{}", '{ file = "a", credential = "b" }', '{ plain = "x" }'])
def test_what_is_no_password_is_named(tmp_path: Path, password: str) -> None:
    with pytest.raises(ConfigError, match=r"login\.antminer\.password: write the password, or"):
        login(tmp_path, password)


def test_a_password_is_in_no_text_of_the_configuration(tmp_path: Path) -> None:
    settings = login(tmp_path, '"hunter2"')
    assert "hunter2" not in repr(settings) + str(settings) + repr(settings.credentials())
