"""A site's tree and clients: every mistake at once; every device in one place and with one holder."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import config, tree
from collector.config import ConfigError
from collector.sample import SAMPLE
from collector.tree import Known, Placement
from tests.collector.energy_farm import Farm
from tests.collector.support import SITE

TREE = """
meter = "main"
overhead = "nameplate"
[site.north.node.feeder-1]
meter = "f1"
networks = ["10.0.0.0/16"]
[site.north.node.rack-a]
parent = "feeder-1"
meter = "pdu-a"
devices = ["sn-1"]
networks = ["10.0.1.0/24"]
[site.north.node.rack-b]
parent = "feeder-1"
devices = ["00:11:22:33:44:55", "gone"]
[client.acme]
name = "Acme LLC"
[[client.acme.holds]]
site = "north"
nodes = ["rack-a"]
until = 2026-10-11
[[client.acme.holds]]
site = "north"
devices = ["SN-3"]
[client.beta]
name = "Beta LLC"
[[client.beta.holds]]
site = "north"
nodes = ["feeder-1"]
[[client.beta.holds]]
site = "north"
nodes = ["rack-a"]
from = 2026-10-11
"""
REGISTER = [
    Known(str(UUID(int=1)), "SN-1", None, "192.168.0.1"),  # named in rack-a, wherever its address is
    Known(str(UUID(int=2)), "SN-2", None, "10.0.1.9"),  # rack-a by the smaller network
    Known(str(UUID(int=3)), "SN-3", None, "10.0.1.10"),
    Known(str(UUID(int=4)), None, "001122334455", "10.0.2.1"),  # rack-b by its MAC
    Known(str(UUID(int=5)), None, None, "10.0.3.1"),  # feeder-1 by its network
    Known(str(UUID(int=6)), None, None, "172.16.0.1"),
    Known(str(UUID(int=7)), None, None, None),
]


def placed(folder: Path) -> Placement:
    return tree.place(Farm(folder, more=TREE).config.sites[SITE].tree, REGISTER)


def test_named_devices_before_networks_and_small_networks_before_large(tmp_path: Path) -> None:
    found = placed(tmp_path)
    assert found.nodes == ("rack-a", "rack-a", "rack-a", "rack-b", "feeder-1", None, None)
    assert found.notes == ("node rack-b: device gone was never seen",)


def test_under_a_node_is_all_below_it(tmp_path: Path) -> None:
    found = placed(tmp_path)
    assert found.under("rack-a") == [0, 1, 2]
    assert found.under("feeder-1") == [0, 1, 2, 3, 4]
    assert found.under(None) == list(range(7))


def test_the_nearer_holding_counts_and_each_day_has_its_own(tmp_path: Path) -> None:
    found = placed(tmp_path)
    before, after = found.holders(date(2026, 10, 10)), found.holders(date(2026, 10, 11))
    assert before == ["acme", "acme", "acme", "beta", "beta", None, None]
    assert after == ["beta", "beta", "acme", "beta", "beta", None, None]  # SN-3 is Acme's by itself


def test_meters_rule_and_names_are_read(tmp_path: Path) -> None:
    settings = Farm(tmp_path, more=TREE).config
    site = settings.sites[SITE].tree
    assert site.meters() == {None: "main", "feeder-1": "f1", "rack-a": "pdu-a"}
    assert site.overhead == "nameplate"
    assert settings.clients == {"acme": "Acme LLC", "beta": "Beta LLC"}


def test_without_a_tree_every_device_is_the_sites(tmp_path: Path) -> None:
    found = tree.place(Farm(tmp_path).config.sites[SITE].tree, REGISTER)
    assert set(found.nodes) == set(found.holders(date(2026, 10, 1))) == {None}


def test_the_samples_tree_is_right_once_it_is_no_comment(tmp_path: Path) -> None:
    _, _, rest = SAMPLE.partition("# [site.north.node.feeder-1]\n")
    section, _, _ = rest.partition("\n\n# Who files")
    lines = [line.removeprefix("# ") for line in section.splitlines() if "=" in line or "[" in line]
    settings = Farm(tmp_path, more="\n".join(["[site.north.node.feeder-1]", *lines])).config
    assert settings.clients == {"acme": "Acme LLC"}
    assert settings.sites[SITE].tree.nodes["rack-a"].path == ("rack-a", "feeder-1")
    (hold,) = settings.sites[SITE].tree.holds
    assert (hold.start, hold.until) == (date(2026, 10, 1), date(2027, 1, 1))


MISTAKES = [
    ('[site.north.node.a]\nparent = "b"', "site.north.node.a.parent: no node b; known: a"),
    (
        '[site.north.node.a]\nparent = "b"\n[site.north.node.b]\nparent = "a"',
        "site.north.node.a.parent: a circle: a -> b -> a; the top node has no parent",
    ),
    ('[site.north.node.a]\nparent = "a"', "site.north.node.a.parent: a circle: a -> a; the top node has no"),
    (
        'meter = "m"\n[site.north.node.a]\nmeter = "m"',
        "site.north.node.a.meter: m is site.north.meter already; one meter measures one node",
    ),
    (
        '[site.north.node.a]\ndevices = ["sn-1"]\n[site.north.node.b]\ndevices = ["SN-1"]',
        "site.north.node.b.devices[0]: SN-1 is site.north.node.a.devices[0] already; a device is in one",
    ),
    (
        '[site.north.node.a]\nnetworks = ["10.0.0.0/24", "10.0.0.0/24"]',
        "site.north.node.a.networks[1]: 10.0.0.0/24 is site.north.node.a.networks[0] already; "
        "the smaller network of two counts",
    ),
    ('[site.north.node.a]\nnetworks = ["10.0.0.1/24"]', "write a network such as 10.1.0.0/24"),
    ('[site.north.node.a]\nrack = 1', "site.north.node.a.rack: unknown key; known here: parent, meter"),
    ('overhead = "none of it"', "site.north.overhead:"),
    ('[client.x]\nname = "X"\n[[client.x.holds]]\nsite = "south"', "client.x.holds[0].site: south has no"),
    (
        '[client.x]\nname = "X"\n[[client.x.holds]]\nsite = "north"\nnodes = ["r"]',
        "client.x.holds[0].nodes[0]: site north has no node r; known: none",
    ),
    ('[client.x]\nname = "X"\n[[client.x.holds]]\nsite = "north"', "client.x.holds[0]: holds nothing"),
    (
        '[client.x]\nname = "X"\n[[client.x.holds]]\nsite = "north"\ndevices = ["d"]\n'
        "from = 2026-10-02\nuntil = 2026-10-02",
        "client.x.holds[0].until: 2026-10-02 is not after from 2026-10-02",
    ),
    (
        '[client.x]\nname = "X"\n[[client.x.holds]]\nsite = "north"\ndevices = ["d"]\nuntil = 2026-10-03\n'
        '[client.y]\nname = "Y"\n[[client.y.holds]]\nsite = "north"\ndevices = ["D"]\nfrom = 2026-10-02',
        "client.y.holds[0]: D is held by client.x.holds[0] on the same days; give from and until",
    ),
    ('[client.x]\nname = "X"\n[[client.x.holds]]\nsites = "n"', "known here: site, nodes, devices, from, "),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_name_their_key_and_what_is_right(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        Farm(tmp_path, more=text)
    assert any(told in problem for problem in error.value.problems), error.value.problems


def test_mistakes_are_told_all_at_once(tmp_path: Path) -> None:
    text = """
meter = "m"
[site.north.node.a]
parent = "gone"
meter = "m"
[client.x]
name = "X"
[[client.x.holds]]
site = "south"
"""
    farm = Farm(tmp_path)
    with pytest.raises(ConfigError) as error:
        farm.write("UTC", "ru", text)
    assert len(error.value.problems) == 3
    assert all(problem.startswith(str(farm.path)) for problem in error.value.problems)
    farm.write("UTC", "ru", "")
    assert config.load(farm.path).sites[SITE].tree.nodes == {}


def test_a_device_that_hands_over_has_one_holder_every_day(tmp_path: Path) -> None:
    found = placed(tmp_path)
    for day in range(1, 32):
        assert [holder for holder in found.holders(date(2026, 10, day)) if holder is not None]


@given(parents=st.lists(st.integers(-1, 6), min_size=1, max_size=7))
def test_whatever_the_parents_a_circle_is_told_or_there_is_none(parents: list[int]) -> None:
    nodes = {
        f"n{n}": tree.NodeSection(parent=None if parent < 0 else f"n{parent}")
        for n, parent in enumerate(parents)
    }
    told = list(tree.problems({"s": (None, nodes)}, {}))
    if told:
        return
    found = tree.site_tree("s", None, "energy", nodes, {})
    for node in found.nodes.values():
        assert node.path[0] == node.name
        assert found.nodes[node.path[-1]].parent is None
        assert len(set(node.path)) == len(node.path)
