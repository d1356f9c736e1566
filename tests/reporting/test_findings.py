"""Findings: each sample has only open ones; each missing or wrong fact has its code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reporting import api
from reporting.facts import (
    AddressKind,
    DeclaredDevice,
    FilerKind,
    Investment,
    Operator,
    PeriodFacts,
    PersonMonth,
    SiteEnergy,
)
from reporting.filing import Status
from reporting.finding_texts import BY_LANGUAGE
from reporting.findings import CODES, Level
from reporting.form import Mw, Options, PowerSource
from reporting.period import Period
from tests.reporting.sample import device, energy, ir_facts, kz_facts, receipt, ru_facts

FACTS = {"RU": ("ru-monthly", ru_facts), "KZ": ("kz-quarterly", kz_facts), "IR": ("ir-ntsw", ir_facts)}


def codes(country: str, facts: PeriodFacts, options: Options | None = None) -> set[str]:
    return {finding.code for finding in api.prepare(FACTS[country][0], facts, options).findings}


def filer(country: str, /, **changes: Any) -> PeriodFacts:
    facts = FACTS[country][1]()
    return replace(facts, filer=replace(facts.filer, **changes))


def site(country: str, /, **changes: Any) -> PeriodFacts:
    facts = FACTS[country][1]()
    return replace(facts, site=replace(facts.site, **changes))


def in_period(facts: PeriodFacts, text: str) -> PeriodFacts:
    period = Period.parse(text, facts.site.zone)
    end_us = period.end_us
    return replace(
        facts, period=text, start_us=period.start_us, end_us=end_us, taken_us=end_us, covered_until_us=end_us
    )


def receipts(**changes: Any) -> PeriodFacts:
    facts = ru_facts()
    return replace(facts, receipts=[receipt("x", **{"received_us": facts.start_us, "amount": 1} | changes)])


def measured(facts: PeriodFacts, **changes: Any) -> PeriodFacts:
    changed: SiteEnergy = replace(facts.energy, **changes)
    return replace(facts, energy=changed)


def declared(**changes: Any) -> PeriodFacts:
    facts = ir_facts()
    first, second = facts.devices
    assert first.declared is not None
    return replace(facts, devices=[replace(first, declared=replace(first.declared, **changes)), second])


def devices(**changes: Any) -> PeriodFacts:
    facts = ir_facts()
    return replace(facts, devices=[replace(facts.devices[0], **changes), facts.devices[1]])


def person(energy_wh: int, **changes: Any) -> PeriodFacts:
    """A natural person with two sites that used so much together."""
    known = {"energy_low_wh": energy_wh, "energy_high_wh": energy_wh} | changes
    month = PersonMonth(sites=["north", "south"], energy_wh=energy_wh, **known)
    return replace(filer("RU", **PERSON), person=month)


def forecast(low_wh: int, likely_wh: int, high_wh: int) -> dict[str, int]:
    """A forecast whose limit is passed on the third day, if at all."""
    third_us = ru_facts().start_us + 2 * 86_400_000_000
    return {
        "forecast_low_wh": low_wh, "forecast_wh": likely_wh, "forecast_high_wh": high_wh,
        "exceeded_earliest_us": third_us, "exceeded_us": third_us,
    }  # fmt: skip


OPEN = {
    "RU": {"RU-FORMAT-001", "RU-BASIS-001", "RU-VALUE-001"},
    "KZ": {"KZ-FORM-001", "KZ-ORDER-001", "KZ-MW-003", "KZ-FEE-002"},
    "IR": {"IR-TEMPLATE-001", "IR-DEADLINE-001"},
}

PERSON = {"kind": FilerKind.NATURAL_PERSON, "inn": "770000000156", "kpp": None, "ogrn": None}
UNMETERED = {"energy_by_origin_wh": {"meter": 0, "psu_measured": 2_208_000_000}}
METERED = {
    "meter": "main", "metered_wh": 2_300_000_000, "metered_low_wh": 2_299_000_000,
    "metered_high_wh": 2_301_000_000, "metered_peak_wh": 700_000, "metered_peak_us": 0,
}  # fmt: skip
SITE_OPERATOR = Operator(name="Operator")

Make = Callable[[], PeriodFacts]

CASES: list[tuple[str, str, Make]] = [
    ("GEN-SIMULATED-001", "RU", lambda: ru_facts(synthetic=True)),
    ("GEN-PERIOD-001", "RU", lambda: ru_facts(taken_us=ru_facts().end_us - 1)),
    ("GEN-PERIOD-002", "RU", lambda: ru_facts(end_us=ru_facts().end_us + 1)),
    ("GEN-COVERAGE-001", "RU", lambda: ru_facts(covered_until_us=ru_facts().end_us - 1)),
    ("GEN-COVERAGE-002", "RU", lambda: ru_facts(covered_until_us=None)),
    ("GEN-COUNTRY-001", "RU", lambda: site("RU", country="kz")),
    ("GEN-EVIDENCE-001", "RU", lambda: ru_facts(evidence=[])),
    ("GEN-FILER-001", "RU", lambda: filer("RU", name=" ")),
    ("GEN-ENERGY-001", "RU", lambda: measured(ru_facts(), gap_s=1)),
    ("GEN-ENERGY-002", "RU", lambda: measured(ru_facts(), energy_high_wh=5_100_001)),
    ("GEN-ENERGY-003", "RU", lambda: measured(ru_facts(), energy_by_origin_wh={"meter": 1})),
    ("GEN-ENERGY-004", "RU", lambda: measured(ru_facts(), energy_low_wh=5_000_001, energy_high_wh=5_000_002)),
    ("GEN-RULE-001", "RU", lambda: in_period(ru_facts(), "2024-01")),
    ("GEN-COIN-001", "RU", lambda: receipts(coin="XYZ")),
    ("GEN-NOTE-001", "RU", lambda: ru_facts(notes=["clock stepped"])),
    ("RU-INN-001", "RU", lambda: filer("RU", inn=None)),
    ("RU-INN-002", "RU", lambda: filer("RU", inn="7700000017")),
    ("RU-INN-003", "RU", lambda: filer("RU", inn="770000000156")),
    ("RU-KPP-001", "RU", lambda: filer("RU", kpp=None)),
    ("RU-KPP-002", "RU", lambda: filer("RU", kpp="77")),
    ("RU-KPP-003", "RU", lambda: filer("RU", **PERSON | {"kpp": "770001001"})),
    ("RU-OGRN-001", "RU", lambda: filer("RU", ogrn=None)),
    ("RU-OGRN-002", "RU", lambda: filer("RU", ogrn="1027700000009")),
    ("RU-OGRN-003", "RU", lambda: filer("RU", ogrn="304770000000008")),
    ("RU-REGISTER-001", "RU", lambda: filer("RU", miner_register_number=None)),
    ("RU-OPERATOR-001", "RU", lambda: site("RU", operator=SITE_OPERATOR)),
    ("RU-OPERATOR-002", "RU", lambda: site("RU", operator=replace(SITE_OPERATOR, inn="1"))),
    ("RU-OPERATOR-003", "RU", lambda: site("RU", operator=SITE_OPERATOR)),
    ("RU-RECEIPT-001", "RU", lambda: ru_facts(receipts=[])),
    ("RU-RECEIPT-002", "RU", lambda: receipts(received_us=ru_facts().end_us)),
    ("RU-RECEIPT-003", "RU", lambda: ru_facts(receipts=receipts().receipts * 2)),
    (
        "RU-RECEIPT-004",
        "RU",
        lambda: ru_facts(receipts=[*receipts().receipts, *receipts(source="chain").receipts]),
    ),
    ("RU-RECEIPT-005", "RU", lambda: receipts(address="bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5")),
    ("RU-RECEIPT-006", "RU", lambda: receipts(address="")),
    ("RU-RECEIPT-007", "RU", lambda: receipts(amount=-1)),
    ("RU-RECEIPT-008", "RU", lambda: receipts(pool=None)),
    ("RU-RECEIPT-009", "RU", lambda: receipts(txid=None)),
    ("RU-RECEIPT-010", "RU", lambda: receipts(network=None)),
    ("RU-REGION-001", "RU", lambda: site("RU", region=None)),
    ("RU-REGION-002", "RU", lambda: site("RU", region="RU-DA")),
    ("RU-REGION-003", "RU", lambda: site("RU", region="RU-IRK")),
    ("RU-REGION-004", "RU", lambda: site("RU", region="RU-BU")),
    ("RU-LIMIT-001", "RU", lambda: replace(filer("RU", **PERSON), energy=energy(6_000_001))),
    (
        "RU-LIMIT-002",
        "RU",
        lambda: measured(replace(filer("RU", **PERSON), energy=energy(6_000_000)), energy_high_wh=6_000_001),
    ),
    ("RU-LIMIT-003", "RU", lambda: filer("RU", **PERSON)),
    ("RU-LIMIT-004", "RU", lambda: person(6_000_001)),
    ("RU-LIMIT-005", "RU", lambda: person(6_000_000, energy_high_wh=6_000_001)),
    ("RU-LIMIT-006", "RU", lambda: person(5_000_000, **forecast(5_500_000, 6_000_001, 7_000_000))),
    ("RU-LIMIT-007", "RU", lambda: person(5_000_000, **forecast(5_500_000, 6_000_000, 7_000_000))),
    ("RU-LIMIT-008", "RU", lambda: person(1)),
    ("RU-DEADLINE-001", "RU", lambda: in_period(ru_facts(), "2026-08")),
    ("KZ-BIN-001", "KZ", lambda: filer("KZ", bin_iin=None)),
    ("KZ-BIN-002", "KZ", lambda: filer("KZ", bin_iin="990140000008")),
    ("KZ-LICENCE-001", "KZ", lambda: filer("KZ", licence_number=None)),
    ("KZ-LICENCE-002", "KZ", lambda: filer("KZ", licence_number=None)),
    ("KZ-METER-001", "KZ", lambda: measured(kz_facts(), **UNMETERED)),
    ("KZ-METER-002", "KZ", lambda: measured(kz_facts(), **UNMETERED)),
    ("KZ-METER-003", "KZ", lambda: in_period(measured(kz_facts(), **UNMETERED), "2025-Q1")),
    ("KZ-METER-004", "KZ", lambda: measured(kz_facts(), **METERED)),
    ("KZ-FEE-001", "KZ", lambda: in_period(kz_facts(), "2023-Q1")),
    ("KZ-FEE-003", "KZ", lambda: site("KZ", operator=SITE_OPERATOR)),
    ("KZ-FIELD-001", "KZ", lambda: kz_facts(investment=None)),
    ("KZ-FIELD-002", "KZ", lambda: filer("KZ", phone=None)),
    ("IR-HOLDER-001", "IR", lambda: filer("IR", national_id=None)),
    ("IR-HOLDER-002", "IR", lambda: filer("IR", kind=FilerKind.NATURAL_PERSON)),
    ("IR-ACTIVITY-001", "IR", lambda: filer("IR", activity=None)),
    ("IR-ACTIVITY-002", "IR", lambda: filer("IR", activity="borrow")),
    ("IR-PLACE-001", "IR", lambda: site("IR", city=None)),
    ("IR-PLACE-002", "IR", lambda: site("IR", postal_code="12")),
    ("IR-PLACE-003", "IR", lambda: site("IR", warehouse_id=None)),
    ("IR-LIST-001", "IR", lambda: ir_facts(devices=[])),
    ("IR-DEVICE-001", "IR", lambda: devices(declared=None)),
    ("IR-DEVICE-002", "IR", lambda: devices(model=None)),
    ("IR-DEVICE-003", "IR", lambda: devices(serial=None)),
    ("IR-DEVICE-004", "IR", lambda: devices(serial="SN-d2")),
    ("IR-DEVICE-005", "IR", lambda: devices(mac=None)),
    ("IR-DEVICE-006", "IR", lambda: devices(algorithm=None)),
    ("IR-PRODUCT-001", "IR", lambda: declared(product_id=None)),
    ("IR-PRODUCT-002", "IR", lambda: declared(product_id="400638133393")),
    ("IR-PRODUCT-003", "IR", lambda: declared(product_id="4006381333932")),
    ("IR-TRACKING-001", "IR", lambda: declared(tracking_code=None)),
    ("IR-TRACKING-002", "IR", lambda: declared(tracking_code="TRACK-d2")),
    ("IR-DECLARED-001", "IR", lambda: declared(condition=None)),
    ("IR-DECLARED-001", "IR", lambda: declared(status=None)),
    ("IR-DECLARED-001", "IR", lambda: declared(licensed=None)),
    ("IR-DECLARED-001", "IR", lambda: declared(acquired_before_law=None)),
    ("IR-DECLARED-001", "IR", lambda: declared(acquisition_date=None)),
    ("IR-DECLARED-002", "IR", lambda: declared(condition="so-so")),
    ("IR-DATE-001", "IR", lambda: declared(acquisition_date="1405/01/01")),
    ("IR-ORIGIN-001", "IR", lambda: declared(origin_document_number=None)),
    ("IR-TRANSFER-001", "IR", lambda: declared(transfer_to="B")),
    (
        "IR-TRANSFER-002",
        "IR",
        lambda: declared(transfer_from="A", transfer_to="B", transfer_date="2026-09-24"),
    ),
]


@pytest.mark.parametrize("country", FACTS)
def test_complete_facts_leave_only_what_the_law_leaves_open(country: str) -> None:
    assert codes(country, FACTS[country][1]()) == OPEN[country]


@pytest.mark.parametrize(
    ("code", "country", "make"), CASES, ids=lambda case: case if isinstance(case, str) else ""
)
def test_each_defect_has_its_code_and_an_error_makes_a_draft(code: str, country: str, make: Make) -> None:
    filing = api.prepare(FACTS[country][0], make())
    assert code in {finding.code for finding in filing.findings}
    blocked = filing.count(Level.ERROR) > 0
    assert filing.status is (Status.DRAFT if blocked else Status.READY)
    assert all("{" not in finding.text for finding in filing.findings)


def test_power_that_is_not_known_is_an_error_and_not_zero() -> None:
    undeclared = replace(kz_facts(), investment=Investment())
    assert "KZ-MW-001" in codes("KZ", undeclared, Options(mw=Mw.CONTRACTED))
    assert "KZ-MW-002" in codes("KZ", measured(kz_facts(), peak_wh=None), Options(mw=Mw.PEAK))
    assert "KZ-FEE-004" in codes("KZ", kz_facts(), Options(power_source=PowerSource.OWN))


def test_each_declared_figure_of_2020_has_its_own_finding() -> None:
    filing = api.prepare("kz-quarterly", kz_facts(investment=None))
    missing = {finding.where for finding in filing.findings if finding.code == "KZ-FIELD-001"}
    names = ("planned_equipment_kzt", "potential_infrastructure_kzt", "maintenance_jobs")
    assert missing == {f"investment.{name}" for name in names}


def test_the_device_without_a_serial_is_named() -> None:
    bitaxe = replace(device("bitaxe-01"), serial=None, declared=DeclaredDevice(serial="02:00"))
    filing = api.prepare("ir-ntsw", ir_facts(devices=[bitaxe]))
    found = next(finding for finding in filing.findings if finding.code == "IR-DEVICE-003")
    assert "bitaxe-01" in found.text
    assert found.where == "devices[bitaxe-01].serial"


@pytest.mark.parametrize(
    ("region", "month", "expected"),
    [
        ("RU-DA", "2024-12", set()),
        ("RU-DA", "2025-01", {"RU-REGION-002"}),
        ("RU-DA", "2031-03", {"RU-REGION-002"}),
        ("RU-DA", "2031-04", set()),
        ("RU-IRK", "2025-03", {"RU-REGION-003"}),
        ("RU-IRK", "2025-04", {"RU-REGION-003"}),
        ("RU-BU", "2025-03", {"RU-REGION-003"}),
        ("RU-BU", "2025-04", set()),
        ("RU-BU", "2025-10", set()),
        ("RU-BU", "2025-11", {"RU-REGION-003"}),
        ("RU-BU", "2026-01", {"RU-REGION-003"}),
        ("RU-BU", "2026-07", {"RU-REGION-004"}),
        ("RU-BU", "2026-11", {"RU-REGION-003", "RU-REGION-004"}),
        ("RU-MOW", "2026-01", set()),
    ],
)
def test_regional_bans_by_month(region: str, month: str, expected: set[str]) -> None:
    facts = in_period(site("RU", region=region), month)
    assert {code for code in codes("RU", facts) if code.startswith("RU-REGION")} == expected


def test_the_limit_concerns_natural_persons_alone() -> None:
    above = energy(9_000_000)
    assert not {code for code in codes("RU", ru_facts(energy=above)) if code.startswith("RU-LIMIT")}
    exactly = replace(filer("RU", **PERSON), energy=energy(6_000_000))
    assert codes("RU", exactly) & {"RU-LIMIT-001", "RU-LIMIT-002"} == set()


def test_an_organisation_needs_what_a_person_does_not() -> None:
    person = codes("RU", filer("RU", **PERSON, miner_register_number=None))
    assert person & {"RU-KPP-001", "RU-OGRN-001", "RU-REGISTER-001"} == set()


def test_receipts_outside_the_period_are_in_no_total() -> None:
    filing = api.prepare("ru-monthly", receipts(received_us=ru_facts().end_us))
    assert filing.table("receipts").rows == ()
    assert filing.field("receipts_count").value == "0"


def test_addresses_of_other_networks_are_not_checked() -> None:
    assert "RU-RECEIPT-005" not in codes("RU", receipts(address="tb1qrubbish", network="testnet"))


def test_every_code_is_used_and_every_used_code_is_in_the_table() -> None:
    package = Path(__file__).parents[2] / "reporting"
    used: list[str] = []
    for file in package.rglob("*.py"):
        if file.name not in ("findings.py", "explain.py"):
            used += re.findall(r'"((?:GEN|RU|KZ|IR)-[A-Z]+-\d{3})"', file.read_text())
    assert set(used) == set(CODES)


@pytest.mark.parametrize(("language", "countries"), [("ru", ("GEN", "RU", "KZ")), ("fa", ("GEN", "IR"))])
def test_every_code_speaks_the_language_of_its_forms(language: str, countries: tuple[str, ...]) -> None:
    texts = BY_LANGUAGE[language]
    assert set(texts) == {code for code in CODES if code.startswith(countries)}
    for code, text in texts.items():
        assert set(re.findall(r"{\w+}", text)) <= set(re.findall(r"{\w+}", CODES[code].text)), code


def test_the_persons_sites_together_take_the_place_of_this_one() -> None:
    alone = replace(filer("RU", **PERSON), energy=energy(6_000_001))
    both = replace(
        alone, person=PersonMonth(sites=["a", "b"], energy_wh=1, energy_low_wh=1, energy_high_wh=1)
    )
    assert {"RU-LIMIT-001", "RU-LIMIT-003"} <= codes("RU", alone)
    assert {code for code in codes("RU", both) if code.startswith("RU-LIMIT")} == {"RU-LIMIT-008"}


def test_a_forecast_below_the_limit_finds_nothing() -> None:
    facts = person(5_000_000, **forecast(5_500_000, 5_800_000, 6_000_000))
    assert {code for code in codes("RU", facts) if code.startswith("RU-LIMIT")} == {"RU-LIMIT-008"}


def test_every_code_is_pinned_by_a_case() -> None:
    pinned = {code for code, _, _ in CASES} | set().union(*OPEN.values())
    assert set(CODES) - pinned == {"KZ-MW-001", "KZ-MW-002", "KZ-FEE-004"}  # these depend on options: above


def test_no_law_stands_in_a_penalty() -> None:
    assert not any("15.50" in code.text or "171.6" in code.text for code in CODES.values())


def test_a_pool_account_is_no_bitcoin_address() -> None:
    facts = receipts(address="worker.1", kind=AddressKind.POOL_ACCOUNT)
    assert "RU-RECEIPT-005" not in codes("RU", facts)
