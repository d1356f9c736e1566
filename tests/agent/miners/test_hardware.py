"""The table of models: what it says must be possible, and findable by the names that drivers give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.miners import hardware


def test_a_model_is_found_as_drivers_name_it() -> None:
    found = hardware.find("Antminer S19 Pro")
    assert found and (found.maker, found.algorithm, found.power_w) == ("Bitmain", "sha256", 3250)
    assert hardware.find("antminer s19pro") == found
    assert hardware.find("Antminer S99") is None and hardware.find(None) is None


@pytest.mark.parametrize(
    ("named", "row"),
    [
        ("Antminer S21 XP Hyd.", "Antminer S21 XP Hyd"),
        ("Antminer S23 Hyd. 3U", "Antminer S23 Hyd 3U"),
        ("Antminer S21 Imm.", "Antminer S21 Imm"),
        ("ANTMINER S19 HYDRO", "Antminer S19 Hydro"),
        ("Antminer S19 Pro+ Hyd.", "Antminer S19 Pro+ Hyd"),
        ("Antminer S19J Pro", "Antminer S19j Pro"),
        ("Antminer S21e XP Hyd.", "Antminer S21e XP Hyd"),
        ("Avalon Nano3s", "Avalon Nano 3S"),
        ("M63S++", "M63S++"),
        ("NerdQAxe++", "NerdQAxe++"),
    ],
)
def test_a_device_s_spelling_finds_its_own_row(named: str, row: str) -> None:
    found = hardware.find(named)
    assert found and found.name == row


def test_a_variant_has_its_own_figures_or_none_and_only_the_scale_of_its_kin() -> None:
    assert hardware.find("Antminer Z15j") is None
    assert (kin := hardware.nearest("Antminer Z15j")) and kin.name == "Antminer Z15"
    assert (longest := hardware.nearest("Antminer S21 XP Hyd. x")) and longest.name == "Antminer S21 XP Hyd"


def test_watts_that_no_two_sources_agree_on_are_unknown_and_the_scale_is_not() -> None:
    found = hardware.find("Antminer Z9")
    assert found and found.power_w is None and found.hashrate_hs == 42e3


def test_every_row_says_how_it_was_compared_and_none_hides_another() -> None:
    text = (Path(hardware.__file__).parent / "hardware.toml").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith('"')]
    assert [row for row in rows if not re.search(r" # (checked|one)$", row)] == []
    assert len(rows) == len(hardware.models())


@pytest.mark.parametrize("model", hardware.models().values(), ids=lambda model: model.name)
def test_efficiency_is_of_this_world(model: hardware.Model) -> None:
    """J/TH of SHA-256 machines since 2016 lies between 9 and 140; watts are those of one plug."""
    assert model.hashrate_hs
    if model.algorithm == "sha256":
        assert model.power_w and 9 < model.power_w / (model.hashrate_hs / 1e12) < 140
    assert model.power_w is None or 5 < model.power_w <= 12_000
