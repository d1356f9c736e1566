"""The sample configurations load, and say nothing that the programs' own samples do not know."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

import agent.config
import collector.config
import collector.ingest
from agent import wire
from collector.sample import SAMPLE
from tests.deploy.files import DEPLOY, directives, read_yaml

AGENT, COLLECTOR = DEPLOY / "config" / "agent.toml", DEPLOY / "config" / "collector.toml"


def test_agent_sample_loads() -> None:
    config = agent.config.load(AGENT)
    assert config.agent.state_dir.is_relative_to("/var/lib/hashledger-agent")
    assert config.mqtt.ca_file is not None, "TLS"


def test_collector_sample_loads(tmp_path: Path) -> None:
    for name in ("ca.crt", "collector.mqtt.password"):
        (tmp_path / name).touch()  # made on site, by the recipe in the README
    config = collector.config.load(Path(shutil.copy(COLLECTOR, tmp_path)))
    assert config.state_dir == Path("/var/lib/hashledger-collector")
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
    users = [words[1] for words in directives(DEPLOY / "mosquitto" / "acl") if words[0] == "user"]
    assert users == [theirs["mqtt"]["username"], ours.mqtt.username]
    scraped = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"][1]["static_configs"][0]
    who = {"org": ours.agent.org, "site": ours.agent.site, "agent": ours.agent.name}
    assert scraped["labels"] == who


def test_acl_speaks_of_the_topics_of_the_wire() -> None:
    ours = agent.config.load(AGENT).agent
    granted = {tuple(w[1:]) for w in directives(DEPLOY / "mosquitto" / "acl") if w[0] == "topic"}
    assert granted == {
        *(("read", wire.topic(ours.org, "+", "+", leaf)) for leaf in ("batch", "status")),
        *(("write", wire.topic(ours.org, "+", "+", leaf)) for leaf in ("ack", "register")),
        *(("write", wire.topic(ours.org, ours.site, ours.name, leaf)) for leaf in ("batch", "status")),
        *(("read", wire.topic(ours.org, ours.site, ours.name, leaf)) for leaf in ("ack", "register")),
    }


def test_broker_takes_every_batch_the_collector_takes() -> None:
    settings = {words[0]: words[1] for words in directives(DEPLOY / "mosquitto" / "mosquitto.conf")}
    largest = collector.ingest.PACKET_BYTES + 64 * 1024  # and room for topic and header
    assert largest <= int(settings["max_packet_size"]) < 2 * largest
    assert "message_size_limit" not in settings, "it confirms what it drops"
