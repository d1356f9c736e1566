"""What makers publish about their models: maker, algorithm, nameplate hashrate and power."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Model:
    """One model of `hardware.toml`; hashrate in H/s (Sol/s for equihash), the common variant of the model."""

    name: str
    maker: str
    algorithm: str
    hashrate_hs: float | None = None
    power_w: float | None = None


@cache
def models() -> dict[str, Model]:
    """All known models by their plain name."""
    table = tomllib.loads((Path(__file__).parent / "hardware.toml").read_text(encoding="utf-8"))
    return {
        _plain(name): Model(name=name, maker=maker, **facts)
        for maker, named in table.items()
        for name, facts in named.items()
    }


def find(model: str | None) -> Model | None:
    """The published facts of a model as a driver names it, or None where it is not in the table."""
    return models().get(_plain(model)) if model else None


def _plain(name: str) -> str:
    return name.lower().replace(" ", "").rstrip(".")
