"""What makers publish about their models: maker, algorithm, nameplate hashrate and power."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
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


@lru_cache(maxsize=1024)  # asked at every poll, of the few names that a site has
def nearest(model: str | None) -> Model | None:
    """The model, or the one that it is a variant of ("Antminer Z15j"): for its algorithm and scale alone."""
    plain = _plain(model or "")
    begun = [name for name in models() if plain.startswith(name) and not plain[len(name) :][:1].isdigit()]
    return models()[max(begun, key=len)] if begun else None


def _plain(name: str) -> str:
    return name.lower().replace(" ", "").replace(".", "")  # "S23 Hyd. 3U", "S19 XP Hyd"
