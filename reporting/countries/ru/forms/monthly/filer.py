"""Findings on the filer and the operator: INN, KPP, OGRN, register numbers."""

from __future__ import annotations

from reporting.countries.ru import ids
from reporting.draft import Draft
from reporting.facts import FilerKind

_INN_DIGITS = {FilerKind.ORGANISATION: 10, FilerKind.SOLE_TRADER: 12, FilerKind.NATURAL_PERSON: 12}
_OGRN_DIGITS = {FilerKind.ORGANISATION: 13, FilerKind.SOLE_TRADER: 15}


def check_filer(draft: Draft) -> None:
    """Adds the findings on who files and who operates the site."""
    filer = draft.facts.filer
    _check_inn(draft)
    _check_kpp(draft)
    if filer.kind is not FilerKind.NATURAL_PERSON:
        _check_ogrn(draft, _OGRN_DIGITS[filer.kind])
        if not filer.miner_register_number:
            draft.find("RU-REGISTER-001", "filer.miner_register_number")
    operator = draft.facts.site.operator
    if operator is None:
        return
    if not operator.inn:
        draft.find("RU-OPERATOR-001", "site.operator.inn")
    elif not ids.inn.is_valid(operator.inn):
        draft.find("RU-OPERATOR-002", "site.operator.inn", value=operator.inn)
    if not operator.register_number:
        draft.find("RU-OPERATOR-003", "site.operator.register_number")


def _check_inn(draft: Draft) -> None:
    inn = draft.facts.filer.inn
    if not inn:
        draft.find("RU-INN-001", "filer.inn")
    elif not ids.inn.is_valid(inn):
        draft.find("RU-INN-002", "filer.inn", value=inn)
    elif len(ids.inn.compact(inn)) != _INN_DIGITS[draft.facts.filer.kind]:
        draft.find("RU-INN-003", "filer.inn", value=inn)


def _check_kpp(draft: Draft) -> None:
    filer = draft.facts.filer
    if filer.kind is not FilerKind.ORGANISATION:
        if filer.kpp:
            draft.find("RU-KPP-003", "filer.kpp", value=filer.kpp)
    elif not filer.kpp:
        draft.find("RU-KPP-001", "filer.kpp")
    elif not ids.kpp.is_valid(filer.kpp):
        draft.find("RU-KPP-002", "filer.kpp", value=filer.kpp)


def _check_ogrn(draft: Draft, digits: int) -> None:
    ogrn = draft.facts.filer.ogrn
    if not ogrn:
        draft.find("RU-OGRN-001", "filer.ogrn")
    elif not ids.ogrn.is_valid(ogrn):
        draft.find("RU-OGRN-002", "filer.ogrn", value=ogrn)
    elif len(ids.ogrn.compact(ogrn)) != digits:
        draft.find("RU-OGRN-003", "filer.ogrn", value=ogrn)
