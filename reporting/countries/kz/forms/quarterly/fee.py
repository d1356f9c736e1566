"""The fee for digital mining (K2): kWh x the dated rate, its dates, and what may raise it."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_CEILING, Decimal

from reporting import quantity
from reporting.draft import Draft
from reporting.form import Options, PowerSource
from reporting.period import day_after_months
from reporting.reported import reported
from reporting.rules.model import RuleValue

_FEE = "Плата за цифровой майнинг"
_TARIFF, _AT_FAULT = "kz.fee_tariff", "kz.fee_tariff_at_fault"

_METER = "meter"


def add_fee(draft: Draft, options: Options) -> None:
    """Adds the fee's fields and findings; a quarter lies in one year, so one rate holds in it."""
    on, energy = draft.period.last_day, reported(draft.facts.energy)
    source, tariff = _tariff(draft, on, options)
    rate = None if tariff is None else _rate(tariff, options.price_kzt_kwh)
    if tariff is not None and rate is None:
        draft.find("KZ-FEE-001", _TARIFF)
    price = options.price_kzt_kwh
    fee = None if rate is None else quantity.plain(quantity.charge(energy.energy_wh, rate))
    basis: dict[str, object] = {energy.path("energy_wh"): energy.energy_wh}
    for key, label, value, unit in (
        ("fee_power_source", "Источник электроэнергии (заявлен)", source.value, None),
        (
            "fee_price",
            "Цена электроэнергии (заявлена)",
            None if price is None else quantity.plain(price),
            "KZT/kWh",
        ),
        ("fee_rate", "Ставка", None if rate is None else quantity.plain(rate), "KZT/kWh"),
    ):
        draft.field(_FEE, key, label, value, unit=unit, rules=(_TARIFF,))
    draft.field(
        _FEE, "fee", "Плата (обычная ставка, без округления)", fee, unit="KZT", basis=basis, rules=(_TARIFF,)
    )
    _add_dates(draft, on)
    _check_licence(draft, on)
    _check_meter(draft, on)
    _check_operator(draft, on)


def due_date(rule: RuleValue, last_day: date) -> date:
    """The day a rule names, counted from the last month of the quarter."""
    return day_after_months(last_day, rule.whole_number("months_after"), rule.whole_number("day"))


def _tariff(draft: Draft, on: date, options: Options) -> tuple[PowerSource, RuleValue | None]:
    source = options.power_source
    tariff = draft.rule_if_any(_TARIFF, on, source.value)
    if tariff is None and source is not PowerSource.ORDINARY:
        draft.find("KZ-FEE-004", _TARIFF, source=source.value)
        source = PowerSource.ORDINARY
    return source, tariff or draft.rule(_TARIFF, on, source.value)


def _rate(tariff: RuleValue, price: Decimal | None) -> Decimal | None:
    if not isinstance(tariff.value, tuple):
        return tariff.amount
    if price is None:
        return None
    step = max(1, int(price.to_integral_value(rounding=ROUND_CEILING)))
    return Decimal(str(tariff.value[min(step, len(tariff.value)) - 1]))


def _add_dates(draft: Draft, on: date) -> None:
    # In 2022 the fee was paid without a declaration: no value there is no open question.
    declaration, payment = draft.rule_if_any("kz.fee_declaration", on), draft.rule("kz.fee_payment", on)
    code = draft.rule("kz.fee_budget_code", on)
    for key, label, value, rule in (
        (
            "fee_declaration",
            "Декларация до",
            _due_text(declaration, on),
            "fee_declaration",
        ),
        ("fee_payment", "Уплата до", _due_text(payment, on), "fee_payment"),
        ("fee_budget_code", "Код бюджетной классификации", code.text if code else None, "fee_budget_code"),
    ):
        draft.field(_FEE, key, label, value, rules=(f"kz.{rule}",))
    if code is not None and code.status == "not_found":
        draft.find("KZ-FEE-002", "kz.fee_budget_code")


def _due_text(rule: RuleValue | None, on: date) -> str | None:
    return due_date(rule, on).isoformat() if rule else None


def _check_licence(draft: Draft, on: date) -> None:
    if draft.facts.filer.licence_number:
        return
    at_fault = draft.rule_if_any(_AT_FAULT, on, "licence")
    if at_fault is not None:
        fee = quantity.plain(quantity.charge(reported(draft.facts.energy).energy_wh, at_fault.amount))
        draft.find("KZ-LICENCE-002", "filer.licence_number", rate=at_fault.text, fee=fee)


def _check_meter(draft: Draft, on: date) -> None:
    energy = reported(draft.facts.energy)
    unmetered_wh = energy.energy_wh - energy.by_origin_wh.get(_METER, 0)
    if unmetered_wh <= 0:
        return
    where = "energy.energy_by_origin_wh"
    kwh, total = quantity.kwh_text(unmetered_wh), quantity.kwh_text(energy.energy_wh)
    draft.find("KZ-METER-001", where, kwh=kwh, total=total)
    volume, at_fault = draft.rule_if_any("kz.fee_deemed_volume", on), draft.rule_if_any(_AT_FAULT, on, _METER)
    if volume is not None and at_fault is not None:
        draft.find("KZ-METER-002", where, rate=at_fault.text, volume=volume.text)
    elif volume is not None:
        draft.find("KZ-METER-003", where, volume=volume.text)


def _check_operator(draft: Draft, on: date) -> None:
    operator = draft.facts.site.operator
    if operator is not None and draft.rule_if_any("kz.fee_payer_operator", on) is not None:
        draft.find("KZ-FEE-003", "site.operator", operator=operator.name)
