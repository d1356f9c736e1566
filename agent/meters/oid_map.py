"""A PDU family as data: which SNMP objects hold its energy; a TOML file in `pdus/`, or one of one's own."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from agent.meters.register_map import ENERGY, IDENTITY, POWER, UNITS, MapError
from agent.sections import Section

FOLDER = Path(__file__).parent / "pdus"
OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,9}|\{pdu\}|\{outlet\})){2,60}")


class Oid(Section, BaseModel):
    """One value: where it stands and what one step of it is. `{pdu}` and `{outlet}` come from the meter."""

    oid: str = Field(pattern=OID)
    digits: str | None = Field(default=None, pattern=OID)  # how many of the value's digits are decimals
    scale: Decimal | int = Field(default=1, gt=0)
    unit: str | None = None
    not_available: list[int] = []

    @property
    def factor(self) -> Fraction:
        """What one step is, in Wh or W."""
        return Fraction(self.scale) * UNITS[self.unit or "W"]


class OidMap(Section, BaseModel):
    """A PDU family: its objects and where they were looked up."""

    make: str
    models: str
    source: list[str] = Field(min_length=1)
    status: Literal["verified", "secondary"]
    last_checked: date
    note: str = ""
    modulus: Decimal | int | None = None  # kWh at which the register returns to 0
    oids: dict[str, Oid]

    @model_validator(mode="after")
    def _consistent(self) -> OidMap:
        wrong = []
        for name, one in self.oids.items():
            if name not in (*ENERGY, *POWER, *IDENTITY):
                wrong.append(f"oids.{name} is none of {', '.join((*ENERGY, *POWER, *IDENTITY))}")
            elif name not in IDENTITY and (
                one.unit not in UNITS or one.unit.endswith("h") != (name in ENERGY)
            ):
                wrong.append(f"oids.{name}: unit is none of {', '.join(UNITS)}, or of the other kind")
        if "import_wh" not in self.oids:
            wrong.append("oids.import_wh is missing")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def by_outlet(self) -> bool:
        """True where a meter of this map has to name its outlet."""
        return any("{outlet}" in one.oid for one in self.oids.values())


def names() -> list[str]:
    """The maps that come with the agent."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load(name: str) -> OidMap:
    """A map by its name, or by the path of one's own file; MapError if there is none."""
    if not name.endswith(".toml") and name not in names():
        raise MapError(f"no map {name!r}; there are {', '.join(names())}, or the path of a .toml of your own")
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        return OidMap.model_validate(document)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MapError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = [f"{path.name}: {'.'.join(map(str, e['loc'])) or 'map'}: {e['msg']}" for e in error.errors()]
        raise MapError("\n".join(lines)) from error
