"""The entrance: which forms there are, and `prepare` to fill one from the facts of a period."""

from __future__ import annotations

from reporting.checks import check_facts
from reporting.countries.ir.forms.ntsw import form as ir_ntsw
from reporting.countries.kz.forms.quarterly import form as kz_quarterly
from reporting.countries.ru.forms.monthly import form as ru_monthly
from reporting.draft import Draft
from reporting.errors import ReportingError
from reporting.facts import PeriodFacts
from reporting.filing import Filing
from reporting.form import Form, Options
from reporting.period import Period
from reporting.rules import load

_FORMS = {form.id: form for form in (ru_monthly.FORM, kz_quarterly.FORM, ir_ntsw.FORM)}


def forms() -> tuple[Form, ...]:
    """All forms, in the order they are shown."""
    return tuple(_FORMS.values())


def form(form_id: str) -> Form:
    """The form with this id; ReportingError lists those that exist."""
    if form_id not in _FORMS:
        raise ReportingError(f"no form {form_id!r}: there is {', '.join(_FORMS)}")
    return _FORMS[form_id]


def prepare(form_id: str, facts: PeriodFacts, options: Options | None = None) -> Filing:
    """The filing of a form, the same for the same facts; ReportingError when the period does not fit."""
    chosen = form(form_id)
    period = Period.parse(facts.period, facts.site.zone)
    wanted = " or ".join(chosen.period_kinds)
    if period.kind not in chosen.period_kinds:
        raise ReportingError(f"{chosen.id} covers a {wanted}; {facts.period} is a {period.kind}")
    if period.solar_hijri and not chosen.solar_hijri:
        raise ReportingError(f"{chosen.id} covers a Gregorian {wanted}; {facts.period} is a Solar Hijri one")
    draft = Draft(facts, period, load(chosen.country), chosen.language)
    check_facts(draft, chosen.country)
    chosen.fill(draft, options or Options())
    return draft.finish(chosen.id, chosen.title)
