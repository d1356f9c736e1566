"""Each form against its golden filing, and the arithmetic that must be exact."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting import api, quantity
from reporting.errors import ReportingError
from reporting.facts import PeriodFacts
from reporting.filing import Filing, Status
from reporting.form import Form, Mw, Options, PowerSource
from reporting.period import Period
from reporting.writers import json_file
from tests.reporting.sample import energy, ir_facts, kz_facts, receipt, ru_facts

GOLDEN = Path(__file__).parent / "golden"

SAMPLES = {"ru-monthly": ru_facts(), "kz-quarterly": kz_facts(), "ir-ntsw": ir_facts()}


def kz_in(text: str, energy_wh: int = 1_000_500, **changes: object) -> PeriodFacts:
    """The Kazakh sample in another quarter; 1,000,500 Wh = 1,000.5 kWh."""
    period = Period.parse(text, "Asia/Almaty")
    return kz_facts(
        period=text,
        start_us=period.start_us,
        end_us=period.end_us,
        taken_us=period.end_us,
        covered_until_us=period.end_us,
        energy=energy(energy_wh),
        **changes,
    )


def value(filing: Filing, key: str) -> str | None:
    return filing.field(key).value


@pytest.mark.parametrize("form", api.forms(), ids=lambda form: form.id)
def test_golden_filing(form: Form) -> None:
    # ru-monthly: 100,000 + 1 + 123,456,789 sat = 123,556,790 sat = 1.23556790 BTC; 5,000,000 Wh = 5,000 kWh;
    #   due 2026-10-20, a Tuesday.
    # kz-quarterly: 92 days x 24 h = 2,208 h; 2,208,000 kWh / 2,208 h / 1000 = 1 MW;
    #   600 kWh in half an hour = 1.2 MW; 2,208,000 kWh x 2 KZT = 4,416,000 KZT,
    #   declared by 15 November and paid by the 25th.
    # ir-ntsw: 2026-03-21 = 1405/01/01; 2026-09-01 = 1405/06/10.
    filing = api.prepare(form.id, SAMPLES[form.id])
    assert json_file.render(filing).decode() == (GOLDEN / f"{form.id}.json").read_text()
    assert filing.status is Status.READY


@given(amounts=st.lists(st.integers(1, 21_000_000 * 10**8), max_size=20))
def test_totals_per_coin_and_address_are_exact(amounts: list[int]) -> None:
    start_us = ru_facts().start_us
    receipts = [receipt(str(number), start_us + number, amount) for number, amount in enumerate(amounts)]
    filing = api.prepare("ru-monthly", ru_facts(receipts=receipts))
    if not amounts:
        assert filing.table("receipts").rows == ()
        return
    assert value(filing, "total_BTC_base_units") == str(sum(amounts))
    assert Decimal(value(filing, "total_BTC") or "") * 10**8 == sum(amounts)
    assert [row[-1] for row in filing.table("totals_by_address").rows] == [str(sum(amounts))]


@given(energy_wh=st.integers(0, 10**15), tariff=st.decimals(0, 10**6, places=4))
def test_a_charge_is_exact(energy_wh: int, tariff: Decimal) -> None:
    assert quantity.charge(energy_wh, tariff) * 1000 == energy_wh * tariff
    assert Decimal(quantity.kwh_text(energy_wh)) * 1000 == energy_wh


def test_mean_power_is_rounded_half_up_to_one_watt() -> None:
    assert quantity.mean_mw(1, Decimal(2)) == Decimal("0.000001")  # 0.5 W
    assert quantity.mean_mw(1, Decimal("2.1")) == 0
    assert quantity.plain(quantity.mean_mw(10**12, Decimal(3))) == "333333.333333"


@pytest.mark.parametrize(
    ("text", "options", "rate", "fee", "declared_by", "paid_by"),
    [
        # 1,000.5 kWh x the rate
        ("2022-Q1", Options(), "1", "1000.5", None, "2022-04-20"),
        ("2023-Q4", Options(price_kzt_kwh=Decimal("1")), "25", "25012.5", "2024-02-15", "2024-02-25"),
        ("2023-Q4", Options(price_kzt_kwh=Decimal("1.01")), "24", "24012", "2024-02-15", "2024-02-25"),
        ("2023-Q4", Options(price_kzt_kwh=Decimal("24.5")), "1", "1000.5", "2024-02-15", "2024-02-25"),
        ("2023-Q4", Options(price_kzt_kwh=Decimal("900")), "1", "1000.5", "2024-02-15", "2024-02-25"),
        ("2023-Q1", Options(), None, None, "2023-05-15", "2023-05-25"),
        ("2023-Q1", Options(power_source=PowerSource.OWN), "10", "10005", "2023-05-15", "2023-05-25"),
        ("2024-Q1", Options(), "2", "2001", "2024-05-15", "2024-05-25"),
        ("2025-Q4", Options(power_source=PowerSource.OFF_GRID), "1", "1000.5", "2026-02-15", "2026-02-25"),
        ("2026-Q1", Options(), "2", "2001", "2026-05-15", "2026-05-25"),
    ],
)
def test_fee_by_quarter(
    text: str, options: Options, rate: str | None, fee: str | None, declared_by: str | None, paid_by: str
) -> None:
    filing = api.prepare("kz-quarterly", kz_in(text), options)
    assert value(filing, "fee_rate") == rate
    shown = value(filing, "fee")
    assert (None if shown is None else Decimal(shown)) == (None if fee is None else Decimal(fee))
    assert (value(filing, "fee_declaration"), value(filing, "fee_payment")) == (declared_by, paid_by)


@pytest.mark.parametrize(
    ("mw", "power"), [(Mw.AVERAGE, "1.000000"), (Mw.PEAK, "1.200000"), (Mw.CONTRACTED, "1.5")]
)
def test_the_filer_chooses_which_power_is_stated(mw: Mw, power: str) -> None:
    filing = api.prepare("kz-quarterly", kz_facts(), Options(mw=mw))
    assert value(filing, "power_mw") == power


def test_the_repeal_stands_on_the_filing() -> None:
    in_force, repealed = (api.prepare("kz-quarterly", kz_in(text)) for text in ("2023-Q1", "2023-Q2"))
    assert value(in_force, "deadline") == "2023-04-10"
    assert value(repealed, "deadline") is None
    assert not any("117/НҚ" in statement for statement in in_force.statements)
    assert any("117/НҚ" in statement and "04.06.2023" in statement for statement in repealed.statements)


def test_a_month_that_holds_an_offset_change_has_real_hours() -> None:
    filing = api.prepare("kz-quarterly", kz_in("2024-Q1", energy_wh=2_185_000_000))
    assert value(filing, "hours") == "2185"
    assert value(filing, "average_mw") == "1.000000"


def test_unknown_is_not_zero() -> None:
    filing = api.prepare("ru-monthly", ru_facts())
    assert value(filing, "value_rub") is None
    assert value(filing, "filer.phone") is None


def test_the_same_facts_give_the_same_filing_in_any_order_of_receipts() -> None:
    facts = ru_facts()
    turned = replace(facts, receipts=facts.receipts[::-1])
    one, other = api.prepare("ru-monthly", facts), api.prepare("ru-monthly", turned)
    assert (one.fields, one.tables, one.findings) == (other.fields, other.tables, other.findings)


def test_a_period_of_the_wrong_kind_says_what_would_be_right() -> None:
    with pytest.raises(ReportingError, match="kz-quarterly covers a quarter; 2026-09 is a month"):
        api.prepare("kz-quarterly", ru_facts())
    with pytest.raises(ReportingError, match="Gregorian month"):
        api.prepare("ru-monthly", replace(ru_facts(), period="1405-07"))
    with pytest.raises(ReportingError, match="there is ru-monthly, kz-quarterly, ir-ntsw"):
        api.prepare("us-yearly", ru_facts())
