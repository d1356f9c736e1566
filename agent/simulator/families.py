"""The families of the simulated farm: a row each, with what speaks at which of its ports."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from agent.simulator import antminer, avalon, axeos, braiins, epic, luxos, vnish, whatsminer, whatsminer_v3
from agent.simulator.dialects import Commands, Sections
from agent.simulator.pages import Pages

Speech = Commands | Sections | Pages


class Door(StrEnum):
    """A port by its use; its number is the farm's, so that it can be served without root."""

    CGMINER = "cgminer"  # 4028
    HTTP = "http"  # 80
    WHATSMINER_V3 = "whatsminer-v3"  # 4433


FAMILIES: Mapping[str, Mapping[Door, Speech]] = {
    "antminer": {Door.CGMINER: antminer.CGMINER, Door.HTTP: antminer.CGI},
    "whatsminer": {Door.CGMINER: whatsminer.CGMINER, Door.HTTP: whatsminer.WEB},
    "axeos": {Door.HTTP: axeos.WEB},
    "avalon": {Door.CGMINER: avalon.CGMINER, Door.HTTP: avalon.WEB},
    "whatsminer-v3": {
        Door.CGMINER: whatsminer_v3.CGMINER,
        Door.WHATSMINER_V3: whatsminer_v3.V3,
        Door.HTTP: whatsminer.WEB,
    },
    "braiins": {Door.CGMINER: braiins.CGMINER, Door.HTTP: braiins.WEB},
    "luxos": {Door.CGMINER: luxos.CGMINER, Door.HTTP: luxos.WEB},
    "vnish": {Door.CGMINER: vnish.CGMINER, Door.HTTP: vnish.WEB},
    "epic": {Door.CGMINER: epic.API, Door.HTTP: epic.WEB},  # HTTP at the port of cgminer
}
