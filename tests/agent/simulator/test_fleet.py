"""A fleet is fixed by its arguments, holds what was asked for, and nobody in it is somebody else."""

from __future__ import annotations

import ipaddress
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.readings import Reading
from agent.simulator.farm import Farm
from agent.simulator.fleet import DEFAULT_FAMILIES, DEVICES_PER_SITE, MAX_DEVICES, fleet
from agent.simulator.hardware import MODELS
from agent.simulator.life import energy_j, life
from agent.simulator.plan import plan
from agent.simulator.truth import truth
from agent.simulator.wires import WIRES

mixes = st.dictionaries(st.sampled_from(list(MODELS)), st.integers(1, 9), min_size=1)


@given(st.integers(0, 99), st.integers(1, 60), mixes)
@settings(max_examples=40)
def test_the_same_arguments_give_the_same_fleet(seed: int, devices: int, mix: dict[str, int]) -> None:
    assert fleet(seed, devices, mix) == fleet(seed, devices, mix)


def test_another_seed_gives_other_devices() -> None:
    assert {d.mac for d in fleet(1, 300).devices}.isdisjoint(d.mac for d in fleet(2, 300).devices)


@given(st.integers(1, 3000), mixes)
@settings(max_examples=20)
def test_the_mix_is_the_one_asked_for(devices: int, mix: dict[str, int]) -> None:
    found = Counter(device.model.family for device in fleet(7, devices, mix).devices)
    assert found.total() == devices
    for family, weight in mix.items():
        assert abs(found[family] - devices * weight / sum(mix.values())) <= 1


def test_ten_thousand_devices_have_their_own_places_and_identities() -> None:
    farm = fleet(7, 10_000)
    assert {device.model.family for device in farm.devices} == set(DEFAULT_FAMILIES) == set(MODELS)
    for kind in ("mac", "address", "key", "hostname"):
        assert len({getattr(device, kind) for device in farm.devices}) == 10_000
    assert len(farm.sites) == 10_000 // DEVICES_PER_SITE
    networks = [ipaddress.ip_network(site.network) for site in farm.sites]
    demo = [ipaddress.ip_network(site.network) for site in plan().sites]
    everything = sorted([*networks, *demo])
    assert not any(a.overlaps(b) for a, b in pairwise(everything))
    for device in farm.devices:
        site = farm.site(device.site)
        assert ipaddress.ip_address(device.address) in ipaddress.ip_network(site.network)


def test_the_last_place_is_still_on_loopback() -> None:
    assert MAX_DEVICES == (240 + 256) * 250
    assert fleet(7, 1).devices[0].address == "127.77.16.1"


@pytest.mark.parametrize("devices", [0, MAX_DEVICES + 1])
def test_a_size_out_of_range_is_refused(devices: int) -> None:
    with pytest.raises(ValueError, match="devices"):
        fleet(7, devices)


@pytest.mark.parametrize(
    ("mix", "says"), [({"antminr": 1}, "no antminr"), ({"avalon": -1}, "weights"), ({"avalon": 0}, "above 0")]
)
def test_a_mix_that_cannot_be_is_refused(mix: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fleet(7, 10, mix)


def test_the_truth_of_a_fleet_is_in_its_curves() -> None:
    farm = fleet(7, 20)
    told = truth(farm)["devices"]
    for device in farm.devices:
        site = farm.site(device.site)
        drawn_j = energy_j(device, life(farm, device), site.start_us, site.end_us)
        assert told[device.key]["energy_wh"] == round(drawn_j / 3600)
        assert told[device.key]["on_s"] == 31 * 86_400


def test_every_family_has_a_wire_and_every_device_a_reading() -> None:
    assert set(WIRES) == set(MODELS)
    plan_of_all = fleet(7, 60)
    farm = Farm(plan_of_all)
    for device in plan_of_all.devices:
        found = farm.reading_at(device.address, plan_of_all.sites[0].start_us)
        assert isinstance(found, Reading)
        assert found.power_w is not None and found.power_origin is not None
        assert (found.serial is None) == ("serial" in found.unknown)
