"""A capture asks only what changes nothing, tells nobody whose device it was, and is whole or not at all."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import capture as captures
from agent import raw
from agent.miners import registry
from agent.raw import Answer, Request
from agent.redact import Kind, classify, redact
from agent.simulator.farm import Farm
from agent.simulator.plan import plan
from agent.simulator.serve import serve
from agent.standin import TEST_ADDRESS
from agent.transports.network import Credentials, Network
from tests.ports import free_port

SALT = b"0123456789abcdef"
PLAN = plan()
FARM = Farm(PLAN)
START_US = max(site.start_us for site in PLAN.sites)
PAYOUT = "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"


def flat(text: str) -> str:
    """Letters and digits alone: every spelling of an identity looks the same."""
    return re.sub(r"[^0-9a-z]", "", text.replace("%3A", "").replace("%3a", "").lower())


# ---- what is asked


def test_every_question_only_asks() -> None:
    """Who adds a command here has looked up that no firmware does anything on it."""
    words = re.compile(
        r"set|add|remove|enable|disable|switch|restart|reboot|quit|save|update|on$|off$|write|login"
    )
    asked = {name for name, _ in (*raw.COMMANDS, *raw.V3_COMMANDS)}
    assert {name for name in asked if words.search(name)} == {
        "get_version", "version", "get.miner.setting", "get.system.setting", "get.fan.setting",
    }  # fmt: skip
    assert all(name.startswith("get.") for name, _ in raw.V3_COMMANDS)
    assert {parameter for _, parameter in raw.COMMANDS} == {None, "0", "1", "2"}
    questions = raw.questions(Network())
    assert len(set(questions)) == len(questions)
    assert all(q.text.startswith("GET /") for q in questions if q.protocol == raw.HTTP)


def test_nothing_goes_over_the_wire_but_the_questions() -> None:
    heard: list[str] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(4096)
        heard.append(data.decode("latin-1"))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def scenario(network: Network) -> None:
        ports = (network.cgminer_port, network.http_port, network.whatsminer_v3_port)
        servers = [await asyncio.start_server(listen, "127.94.0.1", port) for port in ports]
        await raw.record("127.94.0.1", network, Credentials())
        for server in servers:
            server.close()

    network = Network(
        cgminer_port=free_port(), http_port=free_port(), whatsminer_v3_port=free_port(), deadline_s=2
    )
    asyncio.run(scenario(network))
    allowed = {q.text for q in raw.questions(network)}
    for request in heard:
        line = request.split("\r\n", 1)[0]
        text = line.removesuffix(" HTTP/1.1") if line.startswith("GET ") else request[request.index("{") :]
        assert text in allowed
    assert len(heard) >= 40


@asynccontextmanager
async def farm() -> AsyncIterator[Network]:
    network = Network(cgminer_port=free_port(), http_port=free_port(), deadline_s=2)
    ports = {"cgminer_port": network.cgminer_port, "http_port": network.http_port}
    async with await serve(FARM, lambda: START_US, **ports):
        yield network


@pytest.mark.parametrize("family", ["antminer", "whatsminer", "axeos"])
def test_a_simulated_device_is_captured_recognised_and_not_to_be_known_again(
    family: str, tmp_path: Path
) -> None:
    device = next(d for d in PLAN.devices if d.model.family == family)

    async def scenario() -> list[Answer]:
        async with farm() as network:
            return await raw.record(device.address, network, Credentials())

    found = captures.capture(device.address, asyncio.run(scenario()), SALT)
    folder = captures.write(found, tmp_path)
    document = tomllib.loads((folder / "device.toml").read_text())
    assert document["family"] == family
    assert {row["file"] for row in document["exchange"]} == {p.name for p in folder.iterdir()} - {
        "device.toml"
    }
    assert document["identity"]["macs"] and document["identity"]["macs"] != [device.mac]
    everything = flat("".join(p.read_text() for p in folder.iterdir()))
    secrets = [device.mac, device.serial, *device.board_serials, device.hostname, device.pools[0].user]
    assert [s for s in secrets if s and flat(s) in everything] == []
    parsed = {row.get("command"): (folder / row["file"]).read_text() for row in document["exchange"]}
    if family != "axeos":
        assert json.loads(parsed["summary"])["SUMMARY"]


def test_a_device_that_says_nothing_leaves_nothing(tmp_path: Path) -> None:
    network = Network(cgminer_port=1, http_port=1, whatsminer_v3_port=1, connect_timeout_s=0.5)
    answers = asyncio.run(raw.record("127.94.0.2", network, Credentials()))
    with pytest.raises(captures.NothingHeard):
        captures.capture("127.94.0.2", answers, SALT)
    assert list(tmp_path.iterdir()) == []


def test_junk_without_an_end_is_cut_off() -> None:
    async def junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"{" * 65536)
            await writer.drain()

    async def scenario(network: Network) -> list[Answer]:
        server = await asyncio.start_server(junk, "127.94.0.3", network.cgminer_port)
        try:
            return await raw.record("127.94.0.3", network, Credentials())
        finally:
            server.close()

    network = Network(cgminer_port=free_port(), http_port=1, whatsminer_v3_port=1)
    answers = asyncio.run(scenario(network))
    assert sum(len(a.body) for a in answers) <= raw.MAX_TOTAL_BYTES + network.max_reply_bytes
    assert all(len(a.body) <= network.max_reply_bytes for a in answers)


# ---- the folder


def answer(name: str, body: str) -> Answer:
    return Answer(Request(raw.CGMINER, 4028, name), body.encode() + b"\0")


REFUSED = '{"STATUS":[{"STATUS":"E","When":1,"Code":14,"Msg":"Invalid command"}],"id":1}'
VERSION = '{"VERSION":[{"Type":"Antminer S19","CompileTime":"Tue"}],"STATUS":[{"STATUS":"S"}]}'


def test_refusals_are_one_line_unless_they_tell_who_refuses() -> None:
    found = captures.capture(
        "10.0.0.1", [answer("version", VERSION), answer("coin", REFUSED), answer("stats", REFUSED)], SALT
    )
    assert set(found.files) == {"device.toml", "rpc.version.json", "rpc.stats.json"}
    document = tomllib.loads(found.files["device.toml"].decode())
    assert document["cgminer"]["unknown"] == "invalid" and document["cgminer"]["terminator"] == "nul"
    assert found.folder == Path("antminer/antminer-s19__tue")


def test_a_folder_is_never_overwritten_and_a_full_disk_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = captures.capture("10.0.0.1", [answer("version", VERSION)], SALT)
    captures.write(found, tmp_path / "one")
    with pytest.raises(FileExistsError):
        captures.write(found, tmp_path / "one")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        captures.write(found, tmp_path / "two")
    assert [p for p in (tmp_path / "two").rglob("*") if p.is_file() or p.name.startswith(".")] == []


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.text(st.characters(codec="utf-8"), max_size=20) | st.integers(-9, 9) | st.booleans(),
        max_size=5,
    )
)
def test_what_is_written_as_toml_reads_the_same(row: dict[str, object]) -> None:
    document = {**row, "table": row, "rows": [row, {"list": ["a", "b"]}]}
    read = tomllib.loads(captures.toml(document))
    clean = json.loads(json.dumps(document).replace("\\u007f", "?").replace("\x7f", "?"))
    assert read == clean


# ---- redaction

hexes = st.text("0123456789abcdef", min_size=12, max_size=12).filter(lambda h: len(set(h)) > 2)
serials = st.from_regex(r"[A-Z]{2,6}[0-9]{4,12}[A-Z0-9]{0,12}", fullmatch=True)
accounts = st.from_regex(r"[a-z]{3}[a-z0-9]{4,10}q[a-z0-9]z", fullmatch=True)
workers = st.from_regex(r"\.[a-z]{1,3}[0-9]{1,4}|", fullmatch=True)


def spellings(mac: str) -> list[str]:
    pairs = re.findall("..", mac)
    spelt = [":".join(pairs), "-".join(pairs), mac, "%3A".join(pairs), ".".join(re.findall("....", mac))]
    return [*spelt, *(s.upper().replace("%3A", "%3a") for s in spelt)]


def files_of(mac: str, serial: str, user: str) -> dict[str, bytes]:
    """One device's answers: JSON, broken JSON, cgminer's text, Avalon's brackets, a page."""
    return {
        "info.json": json.dumps({"macaddr": ":".join(re.findall("..", mac)), "serinum": serial}).encode(),
        "lower.json": json.dumps(
            {"note": [serial.lower(), *spellings(mac)], "miner_id": f"{mac}0000"}
        ).encode(),
        "pools.json": f'{{"POOLS":[{{"User":"{user}"}}{{"User":"{user}","Pass":"hunter22"}}]'.encode(),
        "text": f"STATUS=S|VERSION,MAC={mac},DNA={serial},|POOL=0,User={user},Priority=0|".encode(),
        "avalon.json": json.dumps({"MM ID0": f"Ver[Q] DNA[{serial}] PS[0 1214 2245 39]"}).encode(),
        "page.html": f"<td>Serial Number</td><td>{serial}</td><a href='/?m={mac}'>{user}</a>\xff".encode(
            "latin-1"
        ),
        "nested.json": json.dumps({"log": json.dumps({"user": user, "hunter": "hunter22"})}).encode(),
    }


@given(hexes, serials, accounts, workers)
def test_no_identity_survives_in_any_spelling(mac: str, serial: str, account: str, worker: str) -> None:
    user = account + worker
    redacted = redact(files_of(mac, serial, user), SALT)
    everything = b"\n".join(redacted.files.values()).decode("utf-8", "replace")
    for identity in (mac, serial, account, "hunter22"):
        assert flat(identity) not in flat(everything)
    assert everything.count("PS[0 1214 2245 39]") == 1  # what identifies nobody stays


@given(hexes, serials, accounts)
def test_one_identity_stays_one(mac: str, serial: str, account: str) -> None:
    redacted = redact(files_of(mac, serial, f"{account}.7"), SALT)
    info = json.loads(redacted.files["info.json"])
    notes = json.loads(redacted.files["lower.json"])["note"]
    # In which case a MAC without letters was written nobody can tell.
    assert [mac.lower() for mac in redacted.macs] == [info["macaddr"].lower()]
    assert info["macaddr"].startswith("02:")
    assert {flat(note) for note in notes[1:]} == {flat(info["macaddr"])}
    assert notes[0] == info["serinum"].lower() and info["serinum"] in redacted.serials
    assert len(info["serinum"]) == len(serial)
    assert [c.isdigit() for c in info["serinum"]] == [c.isdigit() for c in serial]


@given(hexes, serials, accounts)
def test_what_is_redacted_needs_no_redaction(mac: str, serial: str, account: str) -> None:
    once = redact(files_of(mac, serial, f"{account}.7"), SALT)
    users = re.compile(rb"farmuser[.\w]*|dropped")
    assert users.findall(redact(once.files, b"another").files["pools.json"]) == users.findall(
        once.files["pools.json"]
    )


@pytest.mark.parametrize(
    "payout",
    [
        PAYOUT,
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "t1VmmGiyjVNeCjxDZzg7vZmd99WyzVby9yC",
        "XpESxaUmonkq8RaLLp46Brx2K39ggQe226",
        "bitcoincash:qr6m7j9njldwwzlg9v7v53unlr4jkmx6eylep8ekg2",
        "qr6m7j9njldwwzlg9v7v53unlr4jkmx6eylep8ekg2",
        "kaspa:qpauqsvk7yf9unexwmxsnmg547mhyga37csh0kj53q6xxgl24ydxjsgzthw5j",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    ],
)
def test_payout_addresses_become_the_published_test_address(payout: str) -> None:
    text = f'{{"user":"{payout}.rig7","url":"stratum+tcp://{payout}:x@pool.example:3333","seen":"{payout}"}}'
    found = redact({"a": text.encode()}, SALT).files["a"].decode()
    assert payout not in found and "rig7" not in found
    assert json.loads(found) == {
        "user": f"{TEST_ADDRESS}.worker1",
        "url": "stratum+tcp://pool.example:3333",
        "seen": TEST_ADDRESS,
    }


def test_hosts_wifi_and_secrets_go_and_factory_names_and_private_networks_stay() -> None:
    document = {
        "hostname": "berta-farm-07", "ssid": "Berta Home", "wifiPass": "sehr geheim", "token": "abc",
        "seen": "berta-farm-07.local", "ipv6": "fe80::1234:56ff:fe78:9abc", "mail": "berta@farm.example",
        "Hostname": "WhatsMiner", "ip": "192.168.1.17", "mac": "00:00:00:00:00:00", "sn": "N/A", "User": "ab",
        "bssid": "02:M0:11:22:33:44", "password": "",
    }  # fmt: skip
    redacted = redact({"a": json.dumps(document).encode()}, SALT)
    got = json.loads(redacted.files["a"])
    assert re.fullmatch(r"miner-[0-9a-f]{6}", got["hostname"]) and got["seen"] == f"{got['hostname']}.local"
    assert re.fullmatch(r"wifi-[0-9a-f]{4}", got["ssid"])
    assert (got["wifiPass"], got["token"], got["User"], got["password"]) == (
        "dropped",
        "dropped",
        "farmuser",
        "",
    )
    assert got["ipv6"] == "fe80::1" and "berta" not in got["mail"]
    for name in ("Hostname", "ip", "mac", "sn"):
        assert got[name] == document[name]
    assert got["bssid"] != document["bssid"]
    assert any("Wi-Fi" in line for line in redacted.done)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_text_come_back_as_they_were(data: bytes) -> None:
    redacted = redact({"a": data}, SALT)
    if not redacted.done and b"\\u" not in data:
        assert redacted.files["a"] == data or b"=" in data or b":" in data or b"[" in data


def test_escapes_hide_nothing() -> None:
    found = redact({"a": rb'{"user":"\u0061lice-farm.rig\u0031","x":"alice-farm"}'}, SALT).files["a"]
    assert b"alice" not in found and b"0061" not in found


@pytest.mark.parametrize(
    ("key", "kind"),
    [("macAddr", Kind.MAC), ("pcbsn0", Kind.SERIAL), ("PCB SN", Kind.SERIAL), ("stratumUser", Kind.USER),
     ("wifiPass", Kind.SECRET), ("ssid", Kind.WIFI), ("Hostname", Kind.HOST), ("wifiStatus", None),
     ("UpdateOnUser", None), ("dns", None), ("MHS av", None), ("Accepted", None)],
)  # fmt: skip
def test_what_a_field_is_by_its_name(key: str, kind: Kind | None) -> None:
    assert classify(key) is kind


def test_the_drivers_own_questions_are_among_ours() -> None:
    """What is captured is enough to be told apart: each identification command is asked."""
    assert set(registry.COMMANDS) <= {name for name, _ in raw.COMMANDS}
