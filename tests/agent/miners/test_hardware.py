"""The table of models: what it says must be possible."""

from __future__ import annotations

import pytest

from agent.miners import hardware


def test_a_model_is_found_as_drivers_name_it() -> None:
    found = hardware.find("Antminer S19 Pro")
    assert found and (found.maker, found.algorithm, found.power_w) == ("Bitmain", "sha256", 3250)
    assert hardware.find("antminer s19pro") == found
    assert hardware.find("Antminer S99") is None and hardware.find(None) is None


@pytest.mark.parametrize("model", hardware.models().values(), ids=lambda model: model.name)
def test_efficiency_is_of_this_world(model: hardware.Model) -> None:
    """J/TH of SHA-256 machines since 2017 lies between 10 and 110; watts are those of one plug."""
    assert model.hashrate_hs and model.power_w and 5 < model.power_w < 12_000
    if model.algorithm == "sha256":
        assert 10 < model.power_w / (model.hashrate_hs / 1e12) < 110
