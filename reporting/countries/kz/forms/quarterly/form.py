"""kz-quarterly: information on digital mining of a quarter (K1) with the fee it leads to (K2)."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from reporting import quantity
from reporting.countries.kz import ids
from reporting.countries.kz.forms.quarterly.fee import add_fee, due_date
from reporting.draft import Draft
from reporting.facts import Investment
from reporting.form import Form, Mw, Options
from reporting.period import PeriodKind, local_text
from reporting.reported import reported

_FILER, _PERIOD, _POWER = "Субъект", "Период и срок", "Потребляемая мощность"
_FIELDS_2020 = "Сведения по приказу 384/НҚ (2020)"
_FIELDS_2022 = "Дополнительные сведения (2022) и уведомления"
_NOT_IN_FORCE = (
    "Приказ 384/НҚ отменён приказом 117/НҚ от 30.03.2023 и не действует с 04.06.2023. "
    "За более поздние периоды сведения добровольные или внутренние."
)
_LAYOUT = "Официальная форма не была прочитана: это собственный неофициальный лист данных."
_MW_LABELS = {Mw.AVERAGE: "средняя", Mw.PEAK: "пиковая (получасовая)", Mw.CONTRACTED: "договорная"}
_HALF_HOUR = Decimal("0.5")


def _fill(draft: Draft, options: Options) -> None:
    draft.state(_LAYOUT)
    draft.find("KZ-FORM-001", "kz.additional_fields")
    _add_filer(draft)
    _add_period(draft)
    stated_mw, stated_basis = _add_power(draft, options.mw)
    investment = draft.facts.investment or Investment()
    _add_stated(draft, options.mw, stated_mw, stated_basis)
    _add_2020(draft, investment)
    _add_2022(draft, investment)
    _add_equipment(draft)
    add_fee(draft, options)


def _add_filer(draft: Draft) -> None:
    filer = draft.facts.filer
    for key, label, value in (
        ("name", "Наименование", filer.name),
        ("bin_iin", "БСН/ЖСН (БИН/ИИН)", filer.bin_iin),
        ("licence_number", "Номер лицензии на цифровой майнинг", filer.licence_number),
        ("address", "Юридический адрес", filer.address),
        ("phone", "Телефоны", filer.phone),
        ("email", "Электронная почта", filer.email),
        ("bank_details", "Банковские реквизиты", filer.bank_details),
    ):
        draft.field(_FILER, f"filer.{key}", label, value, basis={f"filer.{key}": value})
    if not filer.bin_iin:
        draft.find("KZ-BIN-001", "filer.bin_iin")
    elif not ids.bin_iin.is_valid(filer.bin_iin):
        draft.find("KZ-BIN-002", "filer.bin_iin", value=filer.bin_iin)
    if not filer.licence_number and draft.rule_if_any("kz.licence", draft.period.last_day):
        draft.find("KZ-LICENCE-001", "filer.licence_number")
    for key, label, value in (
        ("address", "Юридический адрес", filer.address),
        ("phone", "Телефоны", filer.phone),
        ("email", "Электронная почта", filer.email),
        ("bank_details", "Банковские реквизиты", filer.bank_details),
    ):
        if not value:
            draft.find("KZ-FIELD-002", f"filer.{key}", label=label)


def _add_period(draft: Draft) -> None:
    facts, period = draft.facts, draft.period
    zone = {"site.zone": period.zone}
    draft.field(_PERIOD, "period", "Отчётный квартал", period.text, basis={"period": facts.period, **zone})
    for key, label, instant_us in (
        ("period_start", "Начало (включительно)", period.start_us),
        ("period_end", "Конец (не включая)", period.end_us),
    ):
        draft.field(_PERIOD, key, label, local_text(instant_us, period.zone), basis=zone)
    hours = quantity.plain(period.hours)
    draft.field(_PERIOD, "hours", "Часов в периоде", hours, unit="h", basis={"period": facts.period, **zone})
    _add_order(draft)


def _add_order(draft: Draft) -> None:
    on = draft.period.last_day
    repeal = draft.rule_if_any("kz.information_repeal", on)
    if repeal is not None:
        draft.state(_NOT_IN_FORCE)
        draft.find("KZ-ORDER-001", "kz.information_repeal")
        repealed, used = f"отменено: {repeal.text}", ("kz.information_repeal",)
        draft.field(_PERIOD, "legal_basis", "Основание", repealed, rules=used)
        draft.field(_PERIOD, "deadline", "Срок подачи", None, rules=used)
        return
    order, due = draft.rule("kz.information_order", on), draft.rule("kz.information_deadline", on)
    draft.field(
        _PERIOD, "legal_basis", "Основание", order.text if order else None, rules=("kz.information_order",)
    )
    deadline = due_date(due, on).isoformat() if due else None
    used = ("kz.information_deadline",)
    draft.field(_PERIOD, "deadline", "Срок подачи", deadline, rules=used)


def _add_power(draft: Draft, stated: Mw) -> tuple[Decimal | None, dict[str, object]]:
    facts, hours = draft.facts, draft.period.hours
    energy, investment = reported(facts.energy), facts.investment
    peak = None if energy.peak_wh is None else quantity.mean_mw(energy.peak_wh, _HALF_HOUR)
    contracted = investment.contracted_mw if investment else None
    bounds: dict[str, tuple[str, Decimal | None, dict[str, object]]] = {
        f"{bound}_mw": (label, quantity.mean_mw(energy_wh, hours), {energy.path(f"{bound}_wh"): energy_wh})
        for bound, label, energy_wh in (
            ("low", "Нижняя граница средней", energy.low_wh),
            ("high", "Верхняя граница средней", energy.high_wh),
        )
    }
    average = quantity.mean_mw(energy.energy_wh, hours)
    powers: dict[str, tuple[str, Decimal | None, dict[str, object]]] = {
        "average_mw": ("Средняя: кВт·ч / ч / 1000", average, {energy.path("energy_wh"): energy.energy_wh}),
        **bounds,
        "peak_mw": ("Пиковая: наибольший получас", peak, {energy.path("peak_wh"): energy.peak_wh}),
        "contracted_mw": ("Договорная (заявленная)", contracted, {"investment.contracted_mw": contracted}),
    }
    for key, (label, power_mw, basis) in powers.items():
        text = None if power_mw is None else quantity.plain(power_mw)
        draft.field(_POWER, key, label, text, unit="MW", basis=basis, rules=("kz.mw_definition",))
    peak_at = None if energy.peak_us is None else local_text(energy.peak_us, draft.period.zone)
    draft.field(
        _POWER,
        "peak_at",
        "Начало наибольшего получаса",
        peak_at,
        basis={energy.path("peak_us"): energy.peak_us},
    )
    kwh = quantity.kwh_text(energy.energy_wh)
    basis = {energy.path("energy_wh"): energy.energy_wh}
    draft.field(_POWER, "energy_kwh", "Потреблено за квартал", kwh, unit="kWh", basis=basis)
    if energy.meter is not None:
        meter = {"energy.meter": energy.meter}
        draft.field(_POWER, "meter", "По счётчику", energy.meter, basis=meter)
        miners = quantity.kwh_text(facts.energy.energy_wh)
        draft.find("KZ-METER-004", "energy.metered_wh", metered=kwh, meter=energy.meter, kwh=miners)
    draft.rule("kz.mw_definition", draft.period.last_day)
    draft.find("KZ-MW-003", "kz.mw_definition", mw=stated.value)
    draft.origin_table("Электроэнергия по происхождению данных", "Происхождение", "Доля, %")
    _, stated_mw, stated_basis = powers[f"{stated}_mw"]
    return stated_mw, stated_basis


def _add_stated(draft: Draft, stated: Mw, power_mw: Decimal | None, basis: dict[str, object]) -> None:
    text = None if power_mw is None else quantity.plain(power_mw)
    label = f"Текущая потребляемая мощность ({_MW_LABELS[stated]})"
    draft.field(_FIELDS_2020, "power_mw", label, text, unit="MW", basis=basis, rules=("kz.mw_definition",))
    if text is None and stated is Mw.CONTRACTED:
        draft.find("KZ-MW-001", "investment.contracted_mw")
    elif text is None:
        draft.find("KZ-MW-002", "energy.peak_wh")


def _add_2020(draft: Draft, investment: Investment) -> None:
    for key, label, unit in (
        ("planned_equipment_kzt", "Планируемые инвестиции в оборудование ЦОД", "KZT"),
        (
            "potential_infrastructure_kzt",
            "Потенциальные инвестиции в текущем году в инфраструктуру ЦОД",
            "KZT",
        ),
        ("maintenance_jobs", "Количество рабочих мест по обслуживанию", None),
    ):
        _add_declared(draft, investment, _FIELDS_2020, key, label, unit, "KZ-FIELD-001")


def _add_2022(draft: Draft, investment: Investment) -> None:
    site = draft.facts.site
    draft.rule_if_any("kz.additional_fields", draft.period.last_day)
    place = ", ".join(part for part in (site.region, site.province, site.city, site.address) if part)
    basis: dict[str, object] = {
        f"site.{key}": getattr(site, key) for key in ("region", "province", "city", "address")
    }
    draft.field(_FIELDS_2022, "location", "Место расположения ЦОД", place or None, basis=basis)
    if not place:
        draft.find("KZ-FIELD-002", "site.address", label="Место расположения ЦОД")
    for key, label, unit in (
        ("contracted_mw", "Требуемая мощность", "MW"),
        ("expansion_mw", "Возможность расширения проектной мощности", "MW"),
        ("planned_jobs", "Планируемые рабочие места", None),
        ("planned_equipment_kzt", "Планируемые инвестиции", "KZT"),
        ("next_12_months_kzt", "Инвестиции на ближайшие 12 месяцев", "KZT"),
        ("pool_ip_address", "IP-адрес (выделенный пул)", None),
        ("ownership_proof", "Таможенная декларация либо подтверждение собственности или аренды", None),
        ("residency_proof", "Подтверждение резидентства", None),
        ("grid_conditions", "Технические условия на подключение к сети", None),
    ):
        _add_declared(draft, investment, _FIELDS_2022, key, label, unit, "KZ-FIELD-002")


def _add_declared(
    draft: Draft, investment: Investment, section: str, key: str, label: str, unit: str | None, code: str
) -> None:
    value = getattr(investment, key)
    text = quantity.plain(value) if isinstance(value, Decimal) else None if value is None else str(value)
    # One declared figure may stand in both editions: the section tells their keys apart.
    name = f"additional.{key}" if section == _FIELDS_2022 else key
    draft.field(section, name, label, text, unit=unit, basis={f"investment.{key}": text})
    if not text:
        draft.find(code, f"investment.{key}", label=label)


def _add_equipment(draft: Draft) -> None:
    devices = draft.facts.devices
    counts = Counter((device.make, device.model, device.algorithm) for device in devices)
    draft.table(
        "equipment",
        "Оборудование: вид и количество",
        {"make": "Производитель", "model": "Модель", "algorithm": "Алгоритм", "quantity": "Количество"},
        [(*kind, str(count)) for kind, count in sorted(counts.items(), key=lambda item: str(item[0]))],
    )
    documents = [
        (
            device.serial or device.device,
            device.declared.origin_document_kind,
            device.declared.origin_document_number,
        )
        for device in devices
        if device.declared is not None and device.declared.origin_document_number
    ]
    draft.table(
        "customs",
        "Таможенные декларации и иные документы на оборудование",
        {"serial": "Серийный номер", "kind": "Вид документа", "number": "Номер"},
        [*documents],
    )


FORM = Form(
    id="kz-quarterly",
    country="kz",
    title="Информация об осуществлении цифрового майнинга за квартал",
    language="ru",
    period_kinds=(PeriodKind.QUARTER,),
    meaning=(
        "Power in MW, planned investment and jobs of a quarter, for the ministry, by the 10th of the next "
        "month; with the fee for digital mining per kWh."
    ),
    in_law="repealed, out of force since 2023-06-04 (secondary): voluntary; the fee stands (verified)",
    fill=_fill,
)
