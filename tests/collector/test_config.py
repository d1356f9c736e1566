"""The configuration: all mistakes at once, each with key and what would be right."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from collector import config
from collector.config import ConfigError
from collector.sample import SAMPLE
from reporting.facts import DeclaredDevice, FilerKind
from tests.collector.support import Agent

MINIMAL = """
[collector]
org = "acme"
state_dir = "state"
[site.north]
name = "North"
country = "kz"
zone = "Asia/Almaty"
"""
NORTH = 'name = "North"\n'
AGENT = f"""
[[agent]]
site = "north"
name = "box-1"
public_key = "{Agent().public_text}"
"""


def load(folder: Path, text: str) -> config.Config:
    path = folder / "collector.toml"
    path.write_text(text)
    return config.load(path)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    assert all(problem.startswith(f"{folder / 'collector.toml'}: ") for problem in caught.value.problems)
    return [problem.split(": ", 1)[1] for problem in caught.value.problems]


def test_sample_is_right(tmp_path: Path) -> None:
    settings = load(tmp_path, SAMPLE)
    assert settings.state_dir == tmp_path / "collector-state"
    assert settings.mqtt.embedded
    filer = settings.sites["north"].filer
    assert filer is not None
    assert filer.kind is FilerKind.ORGANISATION


def test_declarations_become_values(tmp_path: Path) -> None:
    (tmp_path / "devices.csv").write_text(
        "serial,licensed,status,acquisition_date\nX1,true,in_use,2026-01-31\nX2,,,\n"
    )
    settings = load(
        tmp_path,
        MINIMAL + 'devices = "devices.csv"\n[site.north.operator]\nname = "Host"\n'
        "[site.north.investment]\ncontracted_mw = 1.10\nmaintenance_jobs = 3\n" + AGENT,
    )
    site = settings.sites["north"]
    assert site.site.operator is not None
    assert site.investment is not None
    assert site.investment.contracted_mw == Decimal("1.10")
    assert site.declared == (
        DeclaredDevice(serial="X1", licensed=True, status="in_use", acquisition_date="2026-01-31"),
        DeclaredDevice(serial="X2"),
    )
    assert settings.agents == {("north", "box-1"): Agent().public_key}


def test_three_mistakes_are_three_lines(tmp_path: Path) -> None:
    text = MINIMAL.replace('org = "acme"', 'org = "ACME"').replace("Asia/Almaty", "Almaty")
    found = problems(tmp_path, text + AGENT.replace("public_key", "publik_key"))
    assert [problem.split(":")[0] for problem in found] == [
        "collector.org",
        "agent[0].public_key",
        "agent[0].publik_key",
        "site.north.zone",
    ]
    assert "known here: site, name, public_key" in found[2]
    assert "IANA" in found[3]


@pytest.mark.parametrize(
    ("change", "key", "right"),
    [
        (("[collector]", "[colector]"), "colector", "known here: collector, mqtt, agent, site"),
        (('state_dir = "state"', 'state_dir = "state"\nmetrics = "9465"'), "collector.metrics", "HOST:PORT"),
        (("Asia/Almaty", "Asia/Kathmandu"), "site.north.zone", "30 minutes"),
        (('country = "kz"', 'country = "KZ"'), "site.north.country", "a-z"),
        (("site.north", "site.North"), "site.North", "a-z"),
        ((NORTH, NORTH + 'filer = {kind = "person", name = "x"}\n'), "site.north.filer.kind", "sole"),
        ((NORTH, NORTH + 'filer = {kind = "organisation"}\n'), "site.north.filer.name", "missing"),
        ((NORTH, NORTH + 'devices = "no.csv"\n'), "site.north.devices", "No such file"),
    ],
)  # fmt: skip
def test_mistake_names_key_and_what_would_be_right(
    tmp_path: Path, change: tuple[str, str], key: str, right: str
) -> None:
    found = problems(tmp_path, MINIMAL.replace(*change))
    assert any(problem.startswith(f"{key}: ") and right in problem for problem in found), found


def test_agents_and_broker_are_checked_against_each_other(tmp_path: Path) -> None:
    text = MINIMAL + AGENT + AGENT + AGENT.replace("north", "south")
    text += '[mqtt]\nhost = "broker.example"\nembedded = true\nclient_key_file = "no.key"\n'
    found = problems(tmp_path, text)
    assert len(found) == 5
    assert "no file" in found[0]
    assert "client_cert_file is missing" in found[1]
    assert "loopback only" in found[2]
    assert "enrolled twice" in found[3]
    assert "[site.south]" in found[4]


def test_declared_devices_mistakes(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("serial,status,licensed\nA,lost,\nA,,yes\n,,\nB\n")
    found = problems(tmp_path, MINIMAL + 'devices = "d.csv"\n')
    assert [right in text for right, text in zip(
        ["in_use, stored", "true or false", "is empty", "has 1 cells"], found, strict=True
    )] == [True] * 4  # fmt: skip


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="init"):
        config.load(tmp_path / "none.toml")
    assert "not TOML" in problems(tmp_path, "x = ")[0]
