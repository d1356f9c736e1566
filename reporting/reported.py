"""Which energy of a site a filing states: its main meter's where it has one, else its miners' sum."""

from __future__ import annotations

from dataclasses import dataclass

from reporting.facts import SiteEnergy


@dataclass(frozen=True, slots=True)
class Reported:
    """The stated figures; `path` of a figure is where it stands in the facts."""

    meter: str | None
    energy_wh: int
    low_wh: int
    high_wh: int
    peak_wh: int | None
    peak_us: int | None
    by_origin_wh: dict[str, int]

    def path(self, name: str) -> str:
        """The path in the facts of `energy_wh`, `low_wh`, `high_wh`, `peak_wh` or `peak_us`."""
        if self.meter is None:
            return f"energy.energy_{name}" if name in ("low_wh", "high_wh") else f"energy.{name}"
        return "energy.metered_wh" if name == "energy_wh" else f"energy.metered_{name}"


def reported(energy: SiteEnergy) -> Reported:
    """The meter's figures if the facts have them: a revenue-grade register beats sampled power."""
    low_wh, high_wh = energy.metered_low_wh, energy.metered_high_wh
    if energy.meter is None or energy.metered_wh is None or low_wh is None or high_wh is None:
        return Reported(
            None, energy.energy_wh, energy.energy_low_wh, energy.energy_high_wh, energy.peak_wh,
            energy.peak_us, energy.energy_by_origin_wh,
        )  # fmt: skip
    return Reported(
        energy.meter, energy.metered_wh, low_wh, high_wh, energy.metered_peak_wh, energy.metered_peak_us,
        {"meter": energy.metered_wh},
    )  # fmt: skip
