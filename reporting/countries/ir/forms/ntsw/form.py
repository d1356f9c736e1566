"""ir-ntsw: inventory of mining devices for registration in the comprehensive trade system (I1)."""

from __future__ import annotations

from reporting import solar_hijri
from reporting.countries.ir import ids
from reporting.countries.ir.forms.ntsw.devices import add_devices
from reporting.draft import Draft
from reporting.facts import FilerKind
from reporting.form import Form, Options
from reporting.period import PeriodKind, local_time

_HOLDER, _PLACE, _PERIOD = "دارنده", "محل نگهداری", "دوره و مهلت"
_HOLDER_KINDS = {
    FilerKind.ORGANISATION: "شخص حقوقی",
    FilerKind.SOLE_TRADER: "شخص حقیقی (صاحب کسب‌وکار)",
    FilerKind.NATURAL_PERSON: "شخص حقیقی",
}
_ACTIVITIES = {
    "buy": "خرید",
    "sell": "فروش",
    "use": "استفاده",
    "store": "نگهداری",
    "import": "واردات",
    "produce": "تولید",
}
_STATEMENT = (
    "الگوی رسمی بارگذاری برای دستگاه‌های استخراج رمزارز یافت نشد. "
    "این کاربرگ غیررسمی است و اطلاعات آن باید در سامانه جامع تجارت وارد شود."
)


def _fill(draft: Draft, _options: Options) -> None:
    on = draft.period.last_day
    draft.state(_STATEMENT)
    draft.rule("ir.upload_template", on)
    draft.find("IR-TEMPLATE-001", "ir.upload_template")
    draft.rule("ir.ntsw_duty", on)
    _add_holder(draft)
    _add_place(draft)
    _add_period(draft)
    add_devices(draft)


def _add_holder(draft: Draft) -> None:
    filer = draft.facts.filer
    activity = filer.activity and _ACTIVITIES.get(filer.activity, filer.activity)
    for key, label, value in (
        ("kind", "نوع دارنده", _HOLDER_KINDS[filer.kind]),
        ("national_id", "شناسه ملی / کد ملی", filer.national_id),
        ("name", "نام دارنده", filer.name),
        ("activity", "نوع فعالیت", activity),
        ("phone", "تلفن", filer.phone),
        ("address", "نشانی دارنده", filer.address),
    ):
        draft.field(_HOLDER, f"filer.{key}", label, value, basis={f"filer.{key}": getattr(filer, key)})
    verbs = ids.legal_id if filer.kind is FilerKind.ORGANISATION else ids.national_id
    if not filer.national_id:
        draft.find("IR-HOLDER-001", "filer.national_id")
    elif not verbs.is_valid(filer.national_id):
        draft.find("IR-HOLDER-002", "filer.national_id", value=filer.national_id)
    if not filer.activity:
        draft.find("IR-ACTIVITY-001", "filer.activity", known=", ".join(_ACTIVITIES))
    elif filer.activity not in _ACTIVITIES:
        draft.find("IR-ACTIVITY-002", "filer.activity", value=filer.activity, known=", ".join(_ACTIVITIES))


def _add_place(draft: Draft) -> None:
    site = draft.facts.site
    for key, label, value, needed in (
        ("site", "سایت", site.site, None),
        ("province", "استان", site.province, "province"),
        ("city", "شهر", site.city, "city"),
        ("address", "نشانی", site.address, "address"),
        ("postal_code", "کد پستی", site.postal_code, "postal code"),
        ("warehouse_id", "شناسه انبار", site.warehouse_id, None),
    ):
        draft.field(_PLACE, f"site.{key}", label, value, basis={f"site.{key}": value})
        if needed and not value:
            draft.find("IR-PLACE-001", f"site.{key}", label=needed)
    if site.postal_code and not ids.postal_code.is_valid(site.postal_code):
        draft.find("IR-PLACE-002", "site.postal_code", value=site.postal_code)
    if not site.warehouse_id:
        draft.find("IR-PLACE-003", "site.warehouse_id")


def _add_period(draft: Draft) -> None:
    facts, period = draft.facts, draft.period
    draft.field(_PERIOD, "period", "دوره", period.text, basis={"period": facts.period})
    for key, label, day in (
        ("first_day", "نخستین روز", period.first_day),
        ("last_day", "واپسین روز", period.last_day),
        ("taken_day", "تاریخ تهیه", local_time(facts.taken_us, period.zone).date()),
    ):
        draft.field(_PERIOD, key, label, solar_hijri.text(day), basis={"site.zone": period.zone})
    deadline = draft.rule("ir.ntsw_deadline", period.last_day)
    # Without its year the deadline is no date: the field stays empty, the finding says what is known.
    draft.field(_PERIOD, "deadline", "مهلت ثبت", None, rules=("ir.ntsw_deadline",))
    if deadline is not None:
        draft.find("IR-DEADLINE-001", "ir.ntsw_deadline", value=deadline.text)


FORM = Form(
    id="ir-ntsw",
    country="ir",
    title="فهرست دستگاه‌های استخراج رمزارز برای ثبت در سامانه جامع تجارت",
    language="fa",
    period_kinds=(PeriodKind.MONTH, PeriodKind.QUARTER),
    meaning=(
        "One row per mining device, for its registration in the trade system NTSW with product "
        "identifier and tracking code."
    ),
    in_law="duty known (secondary); deadline without a year; official template not found",
    solar_hijri=True,
    fill=_fill,
)
