"""Findings that every form shares: the period, the ledger's reach, the energy, the evidence."""

from __future__ import annotations

from reporting import quantity
from reporting.draft import Draft
from reporting.period import local_text


def check_facts(draft: Draft, country: str) -> None:
    """Adds the general findings; `country` is that of the form."""
    facts = draft.facts
    if facts.synthetic:
        draft.find("GEN-SIMULATED-001", "synthetic")
    if facts.site.country != country:
        draft.find("GEN-COUNTRY-001", "site.country", form_country=country, site_country=facts.site.country)
    if not facts.filer.name.strip():
        draft.find("GEN-FILER-001", "filer.name")
    if not facts.evidence:
        draft.find("GEN-EVIDENCE-001", "evidence")
    _check_period(draft)
    _check_energy(draft)
    for note in facts.notes:
        draft.find("GEN-NOTE-001", "notes", note=note)


def _check_period(draft: Draft) -> None:
    facts, period = draft.facts, draft.period
    end = local_text(period.end_us, period.zone)
    if (facts.start_us, facts.end_us) != (period.start_us, period.end_us):
        draft.find(
            "GEN-PERIOD-002",
            "start_us",
            given=_span(facts.start_us, facts.end_us, period.zone),
            period=period.text,
            zone=period.zone,
            right=_span(period.start_us, period.end_us, period.zone),
        )
    if facts.taken_us < period.end_us:
        taken = local_text(facts.taken_us, period.zone)
        draft.find("GEN-PERIOD-001", "taken_us", period=period.text, taken=taken, end=end)
    if facts.covered_until_us is None:
        draft.find("GEN-COVERAGE-002", "covered_until_us")
    elif facts.covered_until_us < period.end_us:
        covered = local_text(facts.covered_until_us, period.zone)
        draft.find("GEN-COVERAGE-001", "covered_until_us", covered=covered, end=end)


def _check_energy(draft: Draft) -> None:
    energy = draft.facts.energy
    kwh = quantity.kwh_text(energy.energy_wh)
    low, high = quantity.kwh_text(energy.energy_low_wh), quantity.kwh_text(energy.energy_high_wh)
    by_origin_wh = sum(energy.energy_by_origin_wh.values())
    if by_origin_wh != energy.energy_wh:
        draft.find(
            "GEN-ENERGY-003", "energy.energy_by_origin_wh", total=quantity.kwh_text(by_origin_wh), kwh=kwh
        )
    if not energy.energy_low_wh <= energy.energy_wh <= energy.energy_high_wh:
        draft.find("GEN-ENERGY-004", "energy.energy_wh", kwh=kwh, low=low, high=high)
    if energy.gap_s > 0:
        hours = quantity.hours_text(energy.gap_s)
        draft.find("GEN-ENERGY-001", "energy.gap_s", hours=hours, kwh=kwh, low=low, high=high)
    limit = draft.rule("gen.energy_uncertainty_percent", draft.period.last_day)
    width_wh = energy.energy_high_wh - energy.energy_low_wh
    if limit is not None and width_wh * 100 > limit.amount * energy.energy_wh:
        apart = quantity.percent(width_wh, energy.energy_wh)
        shown = "more than 100" if apart is None else quantity.plain(apart)
        draft.find("GEN-ENERGY-002", "energy.energy_high_wh", percent=shown, limit=limit.text)


def _span(start_us: int, end_us: int, zone: str) -> str:
    return f"{local_text(start_us, zone)} to {local_text(end_us, zone)}"
