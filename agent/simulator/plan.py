"""`plan`: a farm of three sites and its month, the same for the same seed, number of miners and month.

Who a device is depends on the seed and its place alone, so one farm can be played through several months.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.simulator.bech32 import p2wpkh
from agent.simulator.hardware import MODELS
from agent.simulator.model import ORG, Device, EventKind, FarmPlan, Model, PoolEntry, Site
from agent.simulator.power import DAY_S, MAX_SWING, curve
from agent.simulator.story import story
from agent.simulator.wires import WIRES

DEFAULT_MINERS = 12
# Six is two a site: the least that has every family and lets each event have a device of its own kind.
MIN_MINERS = 6
MAX_DEVICES_PER_SITE = 200
# Hosts 11..210 are handed out at first; 211..250 stay free for an address change.
FIRST_HOST = 11

# Site -> zone, network, pool account (None: paid on chain), families by place. Small fixed networks of the
# loopback range keep a scan of the farm short.
_SITES: dict[str, tuple[str, str, str | None, tuple[str, ...]]] = {
    "ru": ("Asia/Krasnoyarsk", "127.77.1", None, ("antminer", "whatsminer", "antminer", "axeos")),
    "kz": ("Asia/Almaty", "127.77.2", "demofarm-kz", ("whatsminer", "axeos", "antminer", "whatsminer")),
    "ir": ("Asia/Tehran", "127.77.3", None, ("antminer", "whatsminer", "antminer", "axeos")),
}
# The unit in store for the swap; a host number of no place, so that its identity is nobody else's.
_SPARE_PLACE = 240


def plan(seed: int = 7, miners: int = DEFAULT_MINERS, month: str = "2026-10") -> FarmPlan:
    """The farm of `miners` devices (and one in store) in the civil month `month` ("2026-10")."""
    most = MAX_DEVICES_PER_SITE * len(_SITES)
    if not MIN_MINERS <= miners <= most:
        raise ValueError(f"miners: {miners} is not within {MIN_MINERS}..{most}")
    sites = tuple(_site(seed, name, month) for name in _SITES)
    devices = [_device(seed, sites[n % len(sites)], n // len(sites)) for n in range(miners)]
    spare = _device(seed, sites[0], _SPARE_PLACE)
    events = story(random.Random(f"story:{seed}:{miners}:{month}"), sites, devices, spare)
    swap = next(event for event in events if event.kind is EventKind.SWAP)
    swapped = next(device for device in devices if device.mac == swap.mac)
    # The successor gets the place's address and pool settings.
    spare = replace(spare, address=swapped.address, pools=swapped.pools, installed_us=swap.end_us)
    return FarmPlan(seed, month, ORG, sites, (*devices, spare), events)


def month_bounds_us(month: str, zone: str) -> tuple[int, int]:
    """[start, end) of a civil month ("2026-10") in a zone."""
    year, number = (int(part) for part in month.split("-"))
    first = datetime(year, number, 1, tzinfo=ZoneInfo(zone))
    after = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=ZoneInfo(zone))
    return int(first.timestamp()) * 1_000_000, int(after.timestamp()) * 1_000_000


def _site(seed: int, name: str, month: str) -> Site:
    zone, prefix, account, _ = _SITES[name]
    rng = random.Random(f"payout:{seed}:{name}")
    start_us, end_us = month_bounds_us(month, zone)
    return Site(
        name=name,
        zone=zone,
        network=f"{prefix}.0/24",
        pool=f"pool-{name}",
        payout_identifier=account or p2wpkh(rng.randbytes(20)),
        payout_kind="pool_account" if account else "onchain",
        start_us=start_us,
        end_us=end_us,
    )


def _device(seed: int, site: Site, place: int) -> Device:
    rng = random.Random(f"device:{seed}:{site.name}:{place}")
    _, prefix, _, families = _SITES[site.name]
    family = families[place % len(families)]
    model = rng.choice(MODELS[family])
    number = list(_SITES).index(site.name) + 1
    serial = None if family == "axeos" else f"SYN{family[0].upper()}{number}{place:03}{letters(rng, 9)}"
    return unit(
        rng,
        site,
        model,
        address=f"{prefix}.{FIRST_HOST + place}",
        hostname=f"sim-{site.name}-{place + 1:03}",
        serial=serial,
        mac_head=f"02:77:{number:02x}:{place:02x}",
        worker=f"{site.name}{place + 1:03}",
    )


def letters(rng: random.Random, length: int) -> str:
    """As makers print serials: without I, O and Q."""
    return "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=length))


def unit(
    rng: random.Random,
    site: Site,
    model: Model,
    *,
    address: str,
    hostname: str,
    serial: str | None,
    mac_head: str,
    worker: str,
) -> Device:
    """A device of a model at its place; `rng` fixes what is its own. `mac_head` is four bytes of six."""
    user = f"{site.payout_identifier}.{worker}"
    boards = range(model.boards)
    board_serials = (
        tuple(f"SYNB{letters(rng, 13)}" for _ in boards) if WIRES[model.family].tells_board_serials else ()
    )
    return Device(
        site=site.name,
        model=model,
        address=address,
        hostname=hostname,
        mac=f"{mac_head}:{rng.randrange(256):02x}:{rng.randrange(256):02x}",
        serial=serial,
        board_serials=board_serials,
        rated_w=round(model.nameplate_w * (1 + 2 * MAX_SWING)),
        pools=(
            PoolEntry(f"{site.pool}.example", 3333, user),
            PoolEntry(f"backup.{site.pool}.example", 3333, user),
        ),
        board_temps_c=tuple(rng.randint(54, 66) for _ in boards),
        curve=curve(rng, model.nameplate_w, site.start_us),
        # Before the month everybody has been up for a while: 2 to 40 days.
        installed_us=site.start_us - rng.randint(2 * DAY_S, 40 * DAY_S) * 1_000_000,
    )
