"""Energy of nodes and clients: the parts add up to the site, and a device that changes hands is cut there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.collector.energy_farm import Farm

pytestmark = pytest.mark.usefixtures("both_stores")

H = 3600
DAY = 24 * H
TREE = """
[site.north.node.rack-a]
networks = ["10.0.1.0/24"]
[site.north.node.rack-b]
networks = ["10.0.2.0/24"]
[client.acme]
name = "Acme LLC"
[[client.acme.holds]]
site = "north"
nodes = ["rack-a"]
[[client.acme.holds]]
site = "north"
devices = ["SN-3"]
until = 2026-10-03
[client.beta]
name = "Beta LLC"
[[client.beta.holds]]
site = "north"
devices = ["SN-3"]
from = 2026-10-03
"""
DAYS = ("--from", "2026-10-01", "--until", "2026-10-05")


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    farm = Farm(tmp_path, "UTC", more=TREE)
    for n, address in enumerate(("10.0.1.1", "10.0.1.2", "10.0.2.1", "192.168.0.1"), 1):
        farm.introduce(n, address, f"SN-{n}")
    farm.run(0, 3 * DAY, [1000, 2000, 3000, 500], every_s=900)
    farm.run(3 * DAY + 4 * H, 4 * DAY, [1000, 2000, 3000, None], every_s=900)
    return farm


def energy(told: dict[str, Any]) -> dict[str, int]:
    return {row["name"]: row["energy_wh"] for row in told["rows"]}


def test_clients_and_nobody_add_up_to_the_site(farm: Farm) -> None:
    for resolution in ("half-hour", "day", "whole"):
        told = farm.told(*DAYS, "--by", "client", "--resolution", resolution)
        site = farm.told(*DAYS)["total"]
        for name in ("energy_wh", "low_wh", "high_wh", "covered_us", "gap_us"):
            assert told["total"][name] == site[name] == sum(row[name] for row in told["rows"]), name


def test_a_device_that_changes_hands_is_cut_at_the_sites_midnight(farm: Farm) -> None:
    told = farm.told("--from", "2026-10-01", "--until", "2026-10-04", "--by", "client")
    assert energy(told) == {
        "Acme LLC": 3 * 24 * 3000 + 2 * 24 * 3000, "Beta LLC": 24 * 3000, "(nobody)": 3 * 24 * 500,
    }  # fmt: skip
    assert farm.told(*DAYS, "--client", "beta")["total"]["energy_wh"] == 24 * 3000 + 20 * 3000


def test_devices_of_a_client_only_while_it_held_them(farm: Farm) -> None:
    told = farm.told(*DAYS, "--client", "acme", "--by", "device")
    assert energy(told) == {"SN-1": 92_000, "SN-2": 184_000, "SN-3": 2 * 24 * 3000}
    assert told["total"]["energy_wh"] == sum(energy(told).values())
    assert told["total"]["gap_us"] == sum(row["gap_us"] for row in told["rows"])


def test_nodes_by_client_and_device(farm: Farm) -> None:
    assert farm.told(*DAYS, "--node", "rack-a")["total"]["energy_wh"] == 92 * 3000
    assert energy(farm.told(*DAYS, "--node", "rack-b", "--by", "client")) == {
        "Acme LLC": 48 * 3000, "Beta LLC": 44 * 3000,
    }  # fmt: skip
    assert energy(farm.told(*DAYS, "--node", "rack-b", "--by", "device")) == {"SN-3": 92 * 3000}


def test_an_open_gap_is_told_with_the_client_that_holds_the_device(farm: Farm) -> None:
    told = farm.told("--from", "2026-10-04", "--until", "2026-10-06", "--by", "client")
    gaps = {row["name"]: row["gap_us"] // 1_000_000 for row in told["rows"]}
    assert gaps == {"Acme LLC": 2 * (4 * H + DAY), "Beta LLC": 4 * H + DAY, "(nobody)": 2 * DAY}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--client", "gone"), "no section [client.gone]; known: acme, beta"),
        (("--node", "gone"), "no section [site.north.node.gone]; known: rack-a, rack-b"),
        (("--node", "rack-a", "--client", "acme"), "of one thing at a time"),
        (("--device", "SN-1", "--by", "device"), "--device is one already"),
        (("--client", "acme", "--by", "client"), "leave --device and --client out"),
    ],
)
def test_mistakes_end_with_2(farm: Farm, words: tuple[str, ...], why: str) -> None:
    result = farm.ask(*DAYS, *words)
    assert (result.exit_code, why in result.output) == (2, True), result.output
