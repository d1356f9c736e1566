"""PDUs over SNMP: a pysnmp agent that follows a life, and the real net-snmp agent, v2c and v3."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.meters import oid_map, register_map, snmp
from agent.meters.config import SnmpMeter
from agent.meters.drivers import drivers
from agent.meters.snmp import User
from agent.meters.told import Told
from agent.readings import AuthError, DeviceError, DeviceTimeout
from agent.simulator import meter_snmp
from agent.simulator.meter_snmp import Pdu
from demo.processes import free_ports
from tests.agent.meters import grid

ME = User("hashledger", "SHA256", "auth-password", "AES", "privacy-password")
SNMPD = shutil.which("snmpd", path="/usr/sbin:/usr/bin:/sbin:/bin")


def asked(port: int, map_name: str, who: str | User, *, deadline_s: float = 3.0, outlet: int = 1) -> Told:
    async def ask() -> Told:
        asker = snmp.Asker()
        try:
            rules = oid_map.load(map_name)
            return await snmp.read(asker, "127.0.0.1", port, who, rules, 1, outlet, deadline_s)
        finally:
            asker.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("who", ["public", ME], ids=["v2c", "v3"])
@pytest.mark.parametrize("name", oid_map.names())
def test_every_family_is_read(name: str, who: str | User) -> None:
    clock, rules = grid.TurnedClock(), oid_map.load(name)
    life = grid.life(serial="7701", start_wh=123_456)
    (port,) = free_ports(1)
    with grid.running(lambda: meter_snmp.serve(Pdu(life, rules), clock, port, user=ME)):
        told = asked(port, name, who)
    shown = life.shown(clock())
    assert shown is not None and told.import_wh is not None and told.power_w is not None
    step = rules.oids["import_wh"].factor
    assert told.import_wh == shown.import_wh // step * step and told.step_wh == step
    assert abs(told.power_w - shown.power_w) <= rules.oids["power_w"].factor
    assert told.serial == "7701" and told.unread == {}


def test_a_wrong_password_is_refused_and_a_wrong_community_is_silence() -> None:
    pdu = Pdu(grid.life(), oid_map.load("apc_rpdu2"))
    (port,) = free_ports(1)
    wrong = User(ME.name, ME.auth, "other-password", ME.privacy, ME.privacy_password)
    stranger = User("nobody", ME.auth, ME.auth_password, ME.privacy, ME.privacy_password)
    with grid.running(lambda: meter_snmp.serve(pdu, grid.TurnedClock(), port, user=ME)):
        for who in (wrong, stranger):
            with pytest.raises(AuthError):
                asked(port, "apc_rpdu2", who)
        with pytest.raises(DeviceTimeout):
            asked(port, "apc_rpdu2", "private", deadline_s=0.4)


def test_a_port_without_an_agent_is_silence() -> None:
    (port,) = free_ports(1)
    with pytest.raises(DeviceError):
        asked(port, "apc_rpdu2", "public", deadline_s=0.4)


def test_an_object_that_is_not_there_is_named() -> None:
    pdu = Pdu(grid.life(), oid_map.load("apc_rpdu2"))
    (port,) = free_ports(1)
    with grid.running(lambda: meter_snmp.serve(pdu, grid.TurnedClock(), port)):
        told = asked(port, "raritan_px2", "public")
    assert told.import_wh is None and told.unread["import_wh"].startswith("unsupported: 1.3.6.1.4.1.13742.")


def test_a_meter_of_the_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "community").write_text("public\n")
    (tmp_path / "community").chmod(0o600)
    clock = grid.TurnedClock()
    (port,) = free_ports(1)
    meter = SnmpMeter.model_validate(
        {
            "name": "m",
            "source": "snmp",
            "map": "raritan_px2_outlet",
            "outlet": 9,
            "address": f"127.0.0.1:{port}",
            "community": {"file": tmp_path / "community"},
        }
    )
    pdu = Pdu(grid.life(), oid_map.load(meter.map), outlet=9)

    async def read() -> Told:
        async with meter_snmp.serve(pdu, clock, port), drivers([meter], tmp_path) as reads:
            return await reads["m"]()

    assert asyncio.run(read()).import_wh is not None
    assert (meter.record_source, meter.place) == ("snmp", f"127.0.0.1:{port} pdu 1 outlet 9")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"map": "apc_rpdu2"}, "either community"),
        ({"map": "apc_rpdu2_outlet", "community": "x"}, "say which one"),
        ({"map": "acme", "community": "x"}, "no map 'acme'"),
        ({"map": "apc_rpdu2", "v3": {"user": "u", "auth_password": "x"}}, "privacy_password"),
    ],
)
def test_what_is_missing_is_said(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SnmpMeter.model_validate({"name": "m", "source": "snmp", "address": "h", **fields})


def test_a_map_of_ones_own_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    head = 'make = "M"\nmodels = "X"\nsource = ["MIB"]\nstatus = "verified"\nlast_checked = 2026-11-29\n'
    path.write_text(head + '[oids.import_wh]\noid = "1.3.6.1.4.1.1.{outlet}"\nscale = 0.01\nunit = "kWh"\n')
    assert oid_map.load(str(path)).oids["import_wh"].factor == 10
    mistakes = {
        "pattern": '[oids.import_wh]\noid = "1.3.x"\nunit = "kWh"\n',
        "other kind": '[oids.import_wh]\noid = "1.3.6.1"\nunit = "W"\n',
        "import_wh is missing": '[oids.power_w]\noid = "1.3.6.1"\nunit = "W"\n',
    }
    for says, rows in mistakes.items():
        other = tmp_path / f"{len(says)}.toml"
        other.write_text(head + rows)
        with pytest.raises(register_map.MapError, match=says):
            oid_map.load(str(other))


@contextmanager
def net_snmp(folder: Path, port: int) -> Iterator[None]:
    """The Debian agent with the objects of an APC unit, ended by its id."""
    if SNMPD is None:
        if os.environ.get("CI"):
            pytest.fail("snmpd is missing: apt-get install snmpd")
        pytest.skip("snmpd is not installed: apt-get install snmpd")
    conf = folder / "snmpd.conf"
    conf.write_text(
        f"rocommunity public 127.0.0.1\nrouser {ME.name} authpriv\n"
        f'createUser {ME.name} SHA-256 "{ME.auth_password}" AES "{ME.privacy_password}"\n'
        "override .1.3.6.1.4.1.318.1.1.26.4.3.1.9.1 integer 170982\n"
        "override .1.3.6.1.4.1.318.1.1.26.4.3.1.5.1 integer -1\n"
        'override .1.3.6.1.4.1.318.1.1.26.2.1.9.1 octet_str "5A1234E00001"\n'
        'override .1.3.6.1.4.1.318.1.1.26.2.1.8.1 octet_str "AP8853"\n'
    )
    command = [SNMPD, "-f", "-Lo", "-C", "-c", str(conf), f"udp:127.0.0.1:{port}"]
    environment = {**os.environ, "SNMP_PERSISTENT_DIR": str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


def test_the_real_agent_is_read_in_both_versions(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with net_snmp(tmp_path, port):
        ends_s = time.monotonic() + grid.LIMIT_S
        for who in ("public", ME):
            while True:
                try:
                    told = asked(port, "apc_rpdu2", who, deadline_s=1.0)
                    break
                except DeviceError:  # it is still starting
                    assert time.monotonic() < ends_s
            assert told.import_wh == Fraction(17_098_200) and told.step_wh == 100
            assert (told.serial, told.model) == ("5A1234E00001", "AP8853")
            assert told.power_w is None and "no value (-1)" in told.unread["power_w"]
