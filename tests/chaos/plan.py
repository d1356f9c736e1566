"""What goes wrong in a run, and when: a pure function of the seed.

Each component has its own stream of lives, links and disks their own of faults, so that more kills of one
leave the others as they were. Times are of the wall clock, so what a kill interrupts differs from run to run;
which faults come, in which order and at which distance, does not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

LINKS = ("agent", "collector")
DISKS = ("agent", "collector")
BROKERS = ("mosquitto", "embedded")
# One start in so many is cut short, wherever it stands: catching up, opening, connecting.
EARLY_ONE_IN = 4
START_S = 2.0  # within this after its start an early kill comes
# Within this after being ready any other; of the broker sooner: it dies twice as often, once as each kind.
RUNNING_S = {"agent": 5.0, "running agent": 5.0, "collector": 5.0, "broker": 2.5}
# Sweeps between two troubles of the box's clock, and how long one lasts; less than what is held in memory.
CLOCK_EVERY, CLOCK_SWEEPS = (120, 400), (2, 12)
YEAR_US = 366 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a component: killed `after_s` after its start (`early`), or after it was ready."""

    early: bool
    after_s: float
    down_s: float
    broker: str = ""


@dataclass(frozen=True, slots=True)
class LinkFault:
    """After a pause a link is cut, silent or slow for a while; `rate` in bytes a second."""

    pause_s: float
    link: str
    kind: str
    for_s: float
    rate: int


@dataclass(frozen=True, slots=True)
class DiskFault:
    """After a pause a disk is full for a while."""

    pause_s: float
    disk: str
    for_s: float


@dataclass(frozen=True, slots=True)
class ClockFault:
    """From sweep `first` to `last` the wall clock is `wrong_us` off and nobody vouches for it.

    `reboot`: the box starts anew with it, and its clock shows 1970 or 2038 until it is set.
    """

    first: int
    last: int
    wrong_us: int
    reboot: bool


def lives(seed: int, component: str, kills: int) -> Iterator[Life]:
    """The lives that end by a kill; of the broker each kind has as many, mixed."""
    draw = random.Random(f"{seed}:{component}")
    brokers = [""] * kills
    if component == "broker":
        brokers = list(BROKERS) * kills
        draw.shuffle(brokers)
    for broker in brokers:
        early = draw.randrange(EARLY_ONE_IN) == 0
        yield Life(
            early, draw.uniform(0, START_S if early else RUNNING_S[component]), draw.expovariate(4), broker
        )


def link_faults(seed: int, pause_s: float) -> Iterator[LinkFault]:
    """Without end."""
    draw = random.Random(f"{seed}:links")
    while True:
        yield LinkFault(
            draw.expovariate(1 / pause_s), draw.choice(LINKS), draw.choice(("cut", "silent", "slow")),
            draw.uniform(0.2, 3), draw.randrange(500, 20_000),
        )  # fmt: skip


def disk_faults(seed: int, pause_s: float) -> Iterator[DiskFault]:
    """Without end."""
    draw = random.Random(f"{seed}:disks")
    while True:
        yield DiskFault(draw.expovariate(1 / pause_s), draw.choice(DISKS), draw.uniform(0.5, 5))


def clock_faults(seed: int, sweeps: int) -> list[ClockFault]:
    """The troubles of the box's clock over so many sweeps."""
    draw, faults, at = random.Random(f"{seed}:clock"), [], 0
    while (at := at + draw.randrange(*CLOCK_EVERY)) < sweeps:
        last = at + draw.randrange(*CLOCK_SWEEPS)
        faults.append(ClockFault(at, last, draw.randrange(-YEAR_US, YEAR_US), draw.random() < 0.5))
        at = last
    return faults
