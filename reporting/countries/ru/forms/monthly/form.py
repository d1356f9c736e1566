"""ru-monthly: information on digital currency received from mining in a month (R1), as our own data sheet."""

from __future__ import annotations

from datetime import date, timedelta

from reporting import quantity
from reporting.countries.ru.forms.monthly.filer import check_filer
from reporting.countries.ru.forms.monthly.person import check_person
from reporting.countries.ru.forms.monthly.receipts import add_receipts
from reporting.countries.ru.forms.monthly.region import check_region
from reporting.draft import Draft
from reporting.facts import FilerKind
from reporting.form import Form, Options
from reporting.period import PeriodKind, day_after_months, local_text

_KINDS = {
    FilerKind.ORGANISATION: "организация",
    FilerKind.SOLE_TRADER: "индивидуальный предприниматель",
    FilerKind.NATURAL_PERSON: "физическое лицо",
}
_STATEMENT = (
    "Официальный формат этих сведений (КНД, приказ, XSD) не найден. Это собственный неофициальный лист "
    "данных: перенесите сведения в личный кабинет налогоплательщика."
)
_FILER, _PERIOD, _SITE = "Кто подаёт", "Период и срок", "Площадка"
_RECEIVED, _ENERGY = "Получено цифровой валюты", "Электроэнергия"
_SATURDAY = 5


def _fill(draft: Draft, _options: Options) -> None:
    draft.state(_STATEMENT)
    draft.rule("ru.official_format", draft.period.last_day)
    draft.find("RU-FORMAT-001", "ru.official_format")
    _add_filer(draft)
    _add_period(draft)
    _add_site(draft)
    add_receipts(draft, _RECEIVED)
    draft.field(_RECEIVED, "value_rub", "Стоимость в рублях", None, unit="RUB")
    draft.find("RU-VALUE-001", "receipts")
    _add_energy(draft)
    check_filer(draft)
    check_region(draft)
    _check_limit(draft)


def _add_filer(draft: Draft) -> None:
    filer = draft.facts.filer
    for key, label, value in (
        ("kind", "Категория", _KINDS[filer.kind]),
        ("name", "Наименование или ФИО", filer.name),
        ("inn", "ИНН", filer.inn),
        ("kpp", "КПП", filer.kpp),
        ("ogrn", "ОГРН / ОГРНИП", filer.ogrn),
        ("miner_register_number", "Номер записи в реестре майнеров", filer.miner_register_number),
        ("address", "Адрес", filer.address),
        ("phone", "Телефон", filer.phone),
        ("email", "Электронная почта", filer.email),
    ):
        draft.field(_FILER, f"filer.{key}", label, value, basis={f"filer.{key}": getattr(filer, key)})


def _add_period(draft: Draft) -> None:
    facts, period = draft.facts, draft.period
    zone = {"site.zone": period.zone}
    draft.field(_PERIOD, "period", "Период", period.text, basis={"period": facts.period, **zone})
    for key, label, instant_us in (
        ("period_start", "Начало (включительно)", period.start_us),
        ("period_end", "Конец (не включая)", period.end_us),
    ):
        draft.field(_PERIOD, key, label, local_text(instant_us, period.zone), basis=zone)
    on = period.last_day
    basis, channel = draft.rule("ru.legal_basis", on), draft.rule("ru.channel", on)
    draft.field(_PERIOD, "legal_basis", "Основание", basis.text if basis else None, rules=("ru.legal_basis",))
    if draft.rule_if_any("ru.legal_basis_open", on):
        draft.find("RU-BASIS-001", "ru.legal_basis_open")
    draft.field(_PERIOD, "channel", "Как подаётся", channel.text if channel else None, rules=("ru.channel",))
    _add_deadline(draft, on)


def _add_deadline(draft: Draft, on: date) -> None:
    rule = draft.rule("ru.deadline_day", on)
    draft.rule("ru.deadline_shift", on)
    deadline = day_after_months(on, 1, int(rule.amount)) if rule else None
    used = ("ru.deadline_day", "ru.deadline_shift")
    draft.field(_PERIOD, "deadline", "Срок", deadline.isoformat() if deadline else None, rules=used)
    if deadline is None or deadline.weekday() < _SATURDAY:
        return
    advice = (deadline - timedelta(days=deadline.weekday() - _SATURDAY + 1)).isoformat()
    draft.field(_PERIOD, "deadline_advice", "Совет: подать не позднее рабочего дня", advice, rules=used)
    draft.find("RU-DEADLINE-001", "ru.deadline_shift", day=deadline.isoformat(), advice=advice)


def _add_site(draft: Draft) -> None:
    site = draft.facts.site
    operator = site.operator
    for key, label, value in (
        ("site", "Площадка", site.site),
        ("name", "Название", site.name),
        ("region", "Регион", site.region),
        ("address", "Адрес площадки", site.address),
    ):
        draft.field(_SITE, f"site.{key}", label, value, basis={f"site.{key}": value})
    for key, label, value in (
        ("name", "Оператор майнинговой инфраструктуры", operator.name if operator else None),
        ("inn", "ИНН оператора", operator.inn if operator else None),
        ("register_number", "Номер оператора в реестре", operator.register_number if operator else None),
    ):
        draft.field(_SITE, f"operator.{key}", label, value, basis={f"site.operator.{key}": value})


def _add_energy(draft: Draft) -> None:
    energy = draft.facts.energy
    for key, label, energy_wh in (
        ("energy", "Потреблено за месяц", energy.energy_wh),
        ("energy_low", "Нижняя граница", energy.energy_low_wh),
        ("energy_high", "Верхняя граница", energy.energy_high_wh),
    ):
        basis = {f"energy.{key}_wh": energy_wh}
        draft.field(_ENERGY, f"{key}_kwh", label, quantity.kwh_text(energy_wh), unit="kWh", basis=basis)
    hours = quantity.hours_text(energy.gap_s)
    draft.field(_ENERGY, "gap_h", "Пробелы в данных", hours, unit="h", basis={"energy.gap_s": energy.gap_s})
    draft.origin_table("Электроэнергия по происхождению данных", "Происхождение", "Доля, %")


def _check_limit(draft: Draft) -> None:
    if draft.facts.filer.kind is not FilerKind.NATURAL_PERSON:
        return
    on, energy = draft.period.last_day, draft.facts.energy
    limit, basis = (
        draft.rule("ru.natural_person_limit_kwh", on),
        draft.rule("ru.natural_person_limit_basis", on),
    )
    if limit is None or basis is None:
        return
    if draft.facts.person is not None:
        check_person(draft, draft.facts.person, limit, basis)
        return
    if quantity.kwh(energy.energy_wh) > limit.amount:
        kwh = quantity.kwh_text(energy.energy_wh)
        draft.find("RU-LIMIT-001", "energy.energy_wh", kwh=kwh, limit=limit.text, status=limit.status)
    elif quantity.kwh(energy.energy_high_wh) > limit.amount:
        high = quantity.kwh_text(energy.energy_high_wh)
        draft.find("RU-LIMIT-002", "energy.energy_high_wh", high=high, limit=limit.text)
    draft.find("RU-LIMIT-003", "ru.natural_person_limit_basis", basis=basis.text)


FORM = Form(
    id="ru-monthly",
    country="ru",
    title="Сведения о полученной от майнинга цифровой валюте за месяц",
    language="ru",
    period_kinds=(PeriodKind.MONTH,),
    meaning=(
        "How much digital currency was received from mining in a month and the address-identifiers it was "
        "credited to, for the tax service; due by the 20th of the next month (verified)."
    ),
    in_law="duty in force (secondary); official format not found",
    fill=_fill,
)
