"""What an operator types: clear errors that name file, key and what would be right; nothing half-written."""

from __future__ import annotations

import json
import re
import socket
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent import config, keys
from agent.cli import agent, as_document
from agent.readings import Reading

PROBE_KEYS = {
    "hashrate_hs", "power_w", "power_origin", "make", "model", "firmware", "mac", "serial", "uptime_s",
    "state", "pools", "unknown",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(agent, arguments)


def test_init_writes_a_configuration_that_loads_and_a_key_only_its_owner_reads(here: Path) -> None:
    result = run("init", "--org", "farm", "--site", "north", "--network", "10.1.0.0/22")
    assert result.exit_code == 0, result.output
    loaded = config.load(here / "agent.toml")
    assert (loaded.agent.org, loaded.agent.site, loaded.network.scan) == ("farm", "north", ["10.1.0.0/22"])
    key_file = loaded.agent.state_dir / keys.KEY_FILE
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert keys.public_text(keys.load(loaded.agent.state_dir)) in result.output


def test_init_never_overwrites(here: Path) -> None:
    run("init")
    before = (here / "agent.toml").read_bytes(), (here / "agent-state" / keys.KEY_FILE).read_bytes()
    result = run("init", "--org", "other")
    assert result.exit_code == 2 and "agent.toml: exists already" in result.output
    assert before == (
        (here / "agent.toml").read_bytes(),
        (here / "agent-state" / keys.KEY_FILE).read_bytes(),
    )


def test_init_makes_only_the_missing_key_of_a_configuration_that_is_there(here: Path) -> None:
    (here / "agent.toml").write_text(config.sample("farm", "north", ("10.1.0.0/22",)))
    before = (here / "agent.toml").read_bytes()
    result = run("init")
    assert result.exit_code == 0 and 'site = "north"' in result.output
    assert (here / "agent.toml").read_bytes() == before
    assert keys.public_text(keys.load(here / "agent-state")) in result.output


def test_init_with_a_bad_network_writes_nothing(here: Path) -> None:
    result = run("init", "--network", "10.1.0.0/99")
    assert result.exit_code == 2 and "network.scan.0" in result.output
    assert list(here.iterdir()) == []


def test_a_configuration_with_three_mistakes_shows_all_three(here: Path) -> None:
    run("init", "--org", "farm")
    text = (here / "agent.toml").read_text()
    text = text.replace('org = "farm"', 'org = "My Farm"').replace("interval_s = 60", 'interval_s = "soon"')
    (here / "agent.toml").write_text(text.replace("rescan_s", "rescans"))
    for command in ("check", "run"):
        result = run(command)
        assert result.exit_code == 2
        for part in ("agent.toml: agent.org: 1 to 63", "agent.interval_s:", "network.rescans: is not a key"):
            assert part in result.output


@pytest.mark.parametrize(
    ("which", "mistake"),
    [
        ('mac = "none"', "correction.0.mac: no MAC of one device"),
        ('serial = " "', "correction.0.serial"),
        ('serial = "S1"\nmodel = "S19"', "name exactly one of serial, mac, model"),
        ("", "name exactly one of serial, mac, model"),
    ],
)
def test_a_correction_that_could_never_fit_is_a_mistake(here: Path, which: str, mistake: str) -> None:
    """And so is one that was measured tomorrow: nobody would look for it where the watts are wrong."""
    good = config.sample("o", "s", ("10.0.0.0/24",), "127.0.0.1:1883")
    row = '\n[[power.correction]]\nfactor = 1.1\nevidence = "plug meter 7"\nmeasured = '
    with pytest.raises(config.ConfigError, match=re.escape(mistake)):
        config.parse(f"{good}{row}2026-10-01\n{which}\n", here / "agent.toml")
    with pytest.raises(config.ConfigError, match="measured: is in the future"):
        config.parse(f'{good}{row}2126-10-01\nmodel = "S19"\n', here / "agent.toml")


def test_a_mac_is_one_however_it_is_written(here: Path) -> None:
    good = config.sample("o", "s", ("10.0.0.0/24",), "127.0.0.1:1883")
    row = 'factor = 1.1\nevidence = "e"\nmeasured = 2026-10-01\nmac = "AA-BB-CC-DD-EE-0F"'
    made = config.parse(f"{good}\n[[power.correction]]\n{row}\n", here / "agent.toml")
    assert made.power_rules().corrections[0].mac == "aa:bb:cc:dd:ee:0f"


def test_no_password_is_ever_shown_in_an_error(here: Path) -> None:
    run("init")
    with (here / "agent.toml").open("a") as file:
        file.write('[login.antminer]\nuser = "root"\npassword = ["hunter2"]\n')
    result = run("check")
    assert result.exit_code == 2 and "login.antminer.password" in result.output
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("text", "told"), [(None, "no such file"), ("[agent\n", "not TOML"), ("", "agent: is missing")]
)
def test_an_unusable_file_is_named(here: Path, text: str | None, told: str) -> None:
    if text is not None:
        (here / "agent.toml").write_text(text)
    result = run("check")
    assert result.exit_code == 2 and told in result.output and "agent.toml" in result.output


def test_check_tells_a_broker_that_is_not_there_and_one_that_is(here: Path) -> None:
    run("init")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = (here / "agent.toml").read_text()
        text = text.replace('host = "collector.example"', 'host = "127.0.0.1"').replace("8883", str(port))
        text = "\n".join(line for line in text.splitlines() if "_file" not in line)
        (here / "agent.toml").write_text(text)
        good = run("check")
    assert good.exit_code == 0 and "254 addresses" in good.output
    gone = run("check")
    assert gone.exit_code == 2 and "mqtt.host" in gone.output


def test_a_probe_that_reads_nothing_says_why_and_exits_1(here: Path) -> None:
    result = run("probe", "127.77.250.1", "--json", "--cgminer-port", "1", "--http-port", "1")
    assert result.exit_code == 1 and "127.77.250.1: unreachable" in result.output


def test_a_scan_that_is_too_large_is_refused_with_the_number(here: Path) -> None:
    result = run("scan", "10.0.0.0/8")
    assert result.exit_code == 2 and "16777216 addresses" in result.output


def test_a_reading_that_knows_nothing_is_all_null() -> None:
    document = json.loads(json.dumps(as_document(Reading(0, "antminer", unknown={"power_w": "not told"}))))
    assert set(document) >= PROBE_KEYS
    assert document["unknown"] == {"power_w": "not told"} and document["pools"] == []
    told = {name: value for name, value in document.items() if value not in (None, [], {})}
    assert set(told) == {"family", "unknown"}
