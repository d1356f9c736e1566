"""`fleet`: any number of devices of all families, for rehearsals and benchmarks; nothing happens by itself.

What a rehearsal wants to happen it says as faults. Sites are networks of a thousand devices from
127.77.16.0 on, so that they never meet those of `plan`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import accumulate

from agent.simulator.hardware import MODELS
from agent.simulator.model import ORG, Device, FarmPlan, Site
from agent.simulator.plan import letters, month_bounds_us, unit
from agent.simulator.wires import WIRES

ZONE = "Etc/UTC"
DEFAULT_DEVICES = 1000
# A site is a /22; of each of its four /24 the hosts 1 to 250 are used.
DEVICES_PER_SITE = 1000
HOSTS_PER_BLOCK = 250
BLOCKS_PER_SITE = DEVICES_PER_SITE // HOSTS_PER_BLOCK
FIRST_BLOCK = (77 << 8) + 16  # 127.77.16.0/24
LAST_BLOCK = (78 << 8) + 255
MAX_DEVICES = (LAST_BLOCK + 1 - FIRST_BLOCK) * HOSTS_PER_BLOCK
# What a mixed farm looks like: mostly stock firmware.
DEFAULT_FAMILIES: Mapping[str, int] = {
    "antminer": 6,
    "whatsminer": 4,
    "whatsminer-v3": 2,
    "avalon": 2,
    "braiins": 2,
    "luxos": 2,
    "vnish": 2,
    "epic": 1,
    "axeos": 1,
}


def fleet(
    seed: int = 7,
    devices: int = DEFAULT_DEVICES,
    families: Mapping[str, int] | None = None,
    month: str = "2026-10",
) -> FarmPlan:
    """A farm of `devices` in which the families are mixed by weight; ValueError for what cannot be.

    Who a device is depends on seed, place, number of devices and families; its power curve as well.
    """
    weights = DEFAULT_FAMILIES if families is None else families
    _check(devices, weights)
    sites = tuple(_site(n, month) for n in range(-(-devices // DEVICES_PER_SITE)))
    mixed = _mixed(seed, devices, weights)
    units = tuple(_device(seed, sites[n // DEVICES_PER_SITE], n, family) for n, family in enumerate(mixed))
    return FarmPlan(seed, month, ORG, sites, units, ())


def _check(devices: int, weights: Mapping[str, int]) -> None:
    if not 1 <= devices <= MAX_DEVICES:
        raise ValueError(f"devices: {devices} is not within 1..{MAX_DEVICES}")
    if unknown := [name for name in weights if name not in MODELS]:
        raise ValueError(f"families: no {', '.join(unknown)}; there are {', '.join(MODELS)}")
    if any(weight < 0 for weight in weights.values()) or not sum(weights.values()):
        raise ValueError("families: weights are whole numbers from 0 on, and one is above 0")


def _mixed(seed: int, devices: int, weights: Mapping[str, int]) -> list[str]:
    """The family of each place: shares exact to one device, order shuffled."""
    names, whole = list(weights), sum(weights.values())
    ends = [end * devices // whole for end in accumulate(weights.values())]
    starts = [0, *ends[:-1]]
    mixed = [name for name, a, b in zip(names, starts, ends, strict=True) for _ in range(b - a)]
    random.Random(f"fleet:{seed}:{devices}").shuffle(mixed)
    return mixed


def _site(number: int, month: str) -> Site:
    start_us, end_us = month_bounds_us(month, ZONE)
    block = FIRST_BLOCK + number * BLOCKS_PER_SITE
    name = f"fleet-{number + 1:02}"
    return Site(
        name=name,
        zone=ZONE,
        network=f"127.{block >> 8}.{block & 255}.0/22",
        pool=f"pool-{name}",
        payout_identifier=f"simulated-{name}",
        payout_kind="pool_account",
        start_us=start_us,
        end_us=end_us,
    )


def _device(seed: int, site: Site, n: int, family: str) -> Device:
    rng = random.Random(f"fleet:{seed}:{n}:{family}")
    block = FIRST_BLOCK + n // HOSTS_PER_BLOCK
    serial = None if "serial" in WIRES[family].unknown else f"SYN{family[0].upper()}{n:06}{letters(rng, 8)}"
    return unit(
        rng,
        site,
        rng.choice(MODELS[family]),
        address=f"127.{block >> 8}.{block & 255}.{n % HOSTS_PER_BLOCK + 1}",
        hostname=f"sim-{n:06}",
        serial=serial,
        mac_head=f"02:{0x78 + (n >> 16):02x}:{n >> 8 & 255:02x}:{n & 255:02x}",
        worker=f"w{n:06}",
    )
