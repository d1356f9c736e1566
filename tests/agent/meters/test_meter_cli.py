"""What is typed when a meter is put into service, and a configuration's mistakes, all at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent import config, keys
from agent.cli import agent
from agent.config import ConfigError
from agent.meters import oid_map, register_map
from agent.meters.config import ModbusMeter
from agent.simulator.meter_life import MeterFault
from agent.simulator.meter_modbus import Unit
from demo.processes import free_ports
from tests.agent.meters import grid

HEAD = """[agent]
org = "o"
site = "s"
[network]
scan = ["127.90.90.90/32"]
[mqtt]
host = "127.0.0.1"
port = 1883
"""
SAID = (
    "modbuss",
    "meter.1.snmp.name",
    "meter.1.snmp.address: is missing",
    "comunity: is not a key",
    "HOST or HOST:PORT",
    "no map 'abb'",
    "PRIMARY/SECONDARY",
    "meter.3.tasmota.login",
)


def typed(*words: str) -> Result:
    return CliRunner().invoke(agent, list(words))


@pytest.fixture
def port() -> Iterator[int]:
    """Unit 1 sees a fortieth of what flows and is mounted the wrong way; unit 7 is an ABB."""
    (chosen,) = free_ports(1)
    turned = grid.life(start_wh=4 * 10**8, faults=(MeterFault("reversed", grid.START_US + grid.HOUR_US),))
    units = {
        1: Unit(turned, register_map.load("sdm630"), Fraction(40)),
        7: Unit(grid.life(serial="4711"), register_map.load("abb_b23")),
    }
    with grid.running(lambda: grid.gateway(units, grid.TurnedClock(), chosen)):
        yield chosen


def configured(folder: Path, *rows: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(HEAD + "\n".join(f"[[meter]]\n{row}" for row in rows))
    return path


def test_a_probe_shows_the_raw_words_and_what_they_mean(port: int) -> None:
    address = f"127.0.0.1:{port}"
    result = typed("meter", "probe", address, "--map", "abb_b23", "--unit", "7", "--json")
    found = json.loads(result.stdout)
    assert (found["serial"], found["map"], found["step_wh"], found["problem"]) == ("4711", "abb_b23", 10, "")
    (raw,) = [row for row in found["registers"] if row["name"] == "import_wh"]
    assert int(raw["came"].replace(" ", ""), 16) * 10 == found["import_wh"]


def test_a_probe_tells_the_ratio_and_a_transformer_that_is_mounted_the_wrong_way(port: int) -> None:
    result = typed("meter", "probe", f"127.0.0.1:{port}", "--map", "sdm630", "--ct-ratio", "200/5")
    assert result.exit_code == 0
    assert "x CT 40 x VT 1 =" in result.output and "mounted the wrong way" in result.output


def test_a_probe_that_finds_no_meter_ends_with_the_reason(port: int) -> None:
    result = typed("meter", "probe", f"127.0.0.1:{port}", "--map", "abb_m4m")
    assert result.exit_code == 1 and "illegal data address" in result.output
    result = typed("meter", "probe", f"127.0.0.1:{port}", "--map", "none", "--ct-ratio", "1/3")
    assert result.exit_code == 2 and "no map 'none'" in result.output and "a ratio is" in result.output


def test_a_configured_meter_is_probed_by_its_name_and_checked(port: int, tmp_path: Path) -> None:
    (dead,) = free_ports(1)
    row = 'source = "modbus"\naddress = "127.0.0.1:{}"\nunit = 7\nmap = "abb_b23"\nname = "{}"\n'
    path = configured(tmp_path, row.format(port, "feeder-1"), row.format(dead, "feeder-2"))
    keys.create(config.load(path).agent.state_dir)
    assert "4711" in typed("meter", "probe", "feeder-1", "--config", str(path)).output
    unknown = typed("meter", "probe", "feeder-9", "--config", str(path))
    assert unknown.exit_code == 2 and "feeder-1, feeder-2" in unknown.output
    check = typed("check", "--config", str(path))
    assert check.exit_code == 2 and "meter feeder-2: unreachable: " in check.output
    assert "meter feeder-1: " in check.output and "kWh, serial 4711" in check.output


def test_every_map_is_listed_with_its_sources() -> None:
    rows = json.loads(typed("meter", "maps", "--json").stdout)
    assert [row["map"] for row in rows] == [*register_map.names(), *oid_map.names()]
    listed = typed("meter", "maps").output
    for row in rows:
        assert row["map"] in listed and all(source in listed for source in row["source"])


def test_every_mistake_is_told_at_once_and_no_secret_is_shown(tmp_path: Path) -> None:
    path = configured(
        tmp_path,
        'name = "a"\nsource = "modbuss"\n',
        'name = "PDU 3"\nsource = "snmp"\nmap = "apc_rpdu2"\ncomunity = "geheim"\ncommunity = "geheim"\n',
        'name = "b"\nsource = "modbus"\naddress = "h:99999"\nmap = "abb"\nct_ratio = "200/0"\n',
        'name = "c"\nsource = "tasmota"\naddress = "h"\nlogin = { user = "u", pasword = "geheim" }\n',
    )
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    text = str(caught.value)
    for said in SAID:
        assert said in text, said
    assert "geheim" not in text


def test_a_name_is_given_once(tmp_path: Path) -> None:
    row = 'name = "a"\nsource = "modbus"\naddress = "h"\nmap = "sdm630"\n'
    with pytest.raises(ConfigError, match="given twice: a"):
        config.load(configured(tmp_path, row, row))


def test_a_map_and_a_password_stand_beside_the_configuration(tmp_path: Path) -> None:
    shipped = (register_map.FOLDER / "sdm630.toml").read_text()
    (tmp_path / "own.toml").write_text(shipped.replace("0x0048", "0x0148"))
    rows = (
        'name = "a"\nsource = "modbus"\naddress = "h"\nmap = "own.toml"\n',
        'name = "b"\nsource = "shelly"\naddress = "h"\nlogin = { password = { file = "pw" } }\n',
    )
    loaded = config.load(configured(tmp_path, *rows))
    own = loaded.meter[0]
    assert isinstance(own, ModbusMeter) and own.rules == "own"
    assert register_map.load(own.map).registers["import_wh"].address == 0x148
    with pytest.raises(ConfigError, match=r"meter b: .*pw"):
        loaded.credentials()
    with pytest.raises(ConfigError, match=r"meter\.0\.map: .*none\.toml"):
        config.load(configured(tmp_path, rows[0].replace("own.toml", "none.toml")))


def test_a_plain_password_of_a_meter_needs_a_private_file(tmp_path: Path) -> None:
    path = configured(
        tmp_path, 'name = "b"\nsource = "snmp"\naddress = "h"\nmap = "apc_rpdu2"\ncommunity = "x"\n'
    )
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it"):
        config.load(path)
    path.chmod(0o600)
    assert config.load(path).meter[0].name == "b"
