"""The sample configurations load, and say nothing that the programs' own samples do not know."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

import agent.config
import collector.config
from agent import certificate, enrol
from collector import broker_config, ca
from collector.sample import SAMPLE
from tests.deploy.files import DEPLOY, read_yaml

AGENT, COLLECTOR = DEPLOY / "config" / "agent.toml", DEPLOY / "config" / "collector.toml"


def test_agent_sample_loads() -> None:
    config = agent.config.load(AGENT)
    assert config.agent.state_dir.is_relative_to("/var/lib/hashledger-agent")
    state = config.agent.state_dir
    assert config.mqtt.ca_file == state / enrol.CA_FILE
    assert config.mqtt.client_cert_file == state / certificate.FILE
    assert config.mqtt.collector_key_file == state / enrol.COLLECTOR_FILE


def test_collector_sample_loads(tmp_path: Path) -> None:
    config = collector.config.load(Path(shutil.copy(COLLECTOR, tmp_path)), unmade=True)
    assert config.state_dir == Path("/var/lib/hashledger-collector")
    assert config.mqtt.ca_file == config.ca_dir / ca.CERTIFICATE_FILE
    assert config.mqtt.client_cert_file == config.ca_dir / broker_config.OWN_CERTIFICATE
    assert not config.mqtt.embedded
    assert config.agents == {}, "nobody is enrolled by a sample"


@pytest.mark.parametrize(
    ("shipped", "own"),
    [(AGENT, agent.config.sample("my-farm", "site-1", ("192.168.1.0/24",))), (COLLECTOR, SAMPLE)],
    ids=["agent", "collector"],
)
def test_sample_has_the_sections_of_init(shipped: Path, own: str) -> None:
    assert set(tomllib.loads(shipped.read_text("utf-8"))) == set(tomllib.loads(own))


def test_agent_sample_has_the_keys_of_init() -> None:
    own = tomllib.loads(agent.config.sample("my-farm", "site-1", ("192.168.1.0/24",)))
    shipped = tomllib.loads(AGENT.read_text("utf-8"))
    assert {name: set(section) for name, section in shipped.items()} == {
        name: set(section) for name, section in own.items()
    }


def test_names_agree_over_all_files() -> None:
    ours = agent.config.load(AGENT)
    theirs = tomllib.loads(COLLECTOR.read_text("utf-8"))
    assert theirs["collector"]["org"] == ours.agent.org
    assert list(theirs["site"]) == [ours.agent.site]
    assert (theirs["mqtt"]["host"], theirs["mqtt"]["port"]) == (ours.mqtt.host, ours.mqtt.port)
    scraped = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"][1]["static_configs"][0]
    who = {"org": ours.agent.org, "site": ours.agent.site, "agent": ours.agent.name}
    assert scraped["labels"] == who
