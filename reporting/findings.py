"""Findings: what stands against a filing, what to look at, what the law leaves open; stable codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reporting.errors import ReportingError
from reporting.finding_texts import BY_LANGUAGE


class Level(StrEnum):
    ERROR = "error"  # blocks a seal, not a draft
    WARNING = "warning"
    OPEN_QUESTION = "open_question"  # neither the law as far as it is known nor the facts answer it


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `where`: a path in the facts or a rule's id; `local`: the text in the form's language."""

    code: str
    level: Level
    text: str
    where: str
    local: str


@dataclass(frozen=True, slots=True)
class Code:
    """What every finding of one code shares; `text` is a str.format template."""

    level: Level
    text: str


_E, _W, _O = Level.ERROR, Level.WARNING, Level.OPEN_QUESTION

CODES: dict[str, Code] = {
    "GEN-SIMULATED-001": Code(_E, "the facts come from a simulator: never file them"),
    "GEN-PERIOD-001": Code(
        _E, "period {period} is not over when the facts are taken ({taken}); it ends {end}"
    ),
    "GEN-PERIOD-002": Code(_E, "the facts are cut at {given}, but period {period} in {zone} is {right}"),
    "GEN-COVERAGE-001": Code(_E, "the ledger reaches {covered}, before the end of the period {end}"),
    "GEN-COVERAGE-002": Code(_W, "how far the ledger reaches into the period is not known"),
    "GEN-COUNTRY-001": Code(_E, "the form is for sites in {form_country}, the site lies in {site_country}"),
    "GEN-EVIDENCE-001": Code(_E, "no batches are named as evidence: nothing shows where the facts come from"),
    "GEN-FILER-001": Code(_E, "the filer's name is missing"),
    "GEN-ENERGY-001": Code(_W, "{hours} h of gaps: {kwh} kWh lies between {low} and {high} kWh"),
    "GEN-ENERGY-002": Code(
        _W, "the bounds of the energy are {percent} % of it apart, above the limit of {limit} % (design)"
    ),
    "GEN-ENERGY-003": Code(_E, "energy by origin sums to {total} kWh, the total is {kwh} kWh"),
    "GEN-ENERGY-004": Code(_E, "energy {kwh} kWh lies outside its own bounds, {low} to {high} kWh"),
    "GEN-RULE-001": Code(_O, "no value of rule {rule} is known for {day}: the field is left empty"),
    "GEN-COIN-001": Code(
        _E, "the decimal places of coin {coin} are not known: its amount stands in base units only"
    ),
    "GEN-NOTE-001": Code(_W, "note on the facts: {note}"),
    "RU-INN-001": Code(_E, "INN is missing: 10 digits of an organisation, 12 of a person"),
    "RU-INN-002": Code(_E, "INN {value} is not valid: wrong length or checksum"),
    "RU-INN-003": Code(
        _E, "INN {value} does not fit the kind of filer: an organisation has 10 digits, a person 12"
    ),
    "RU-KPP-001": Code(_E, "KPP is missing: an organisation has one of 9 characters"),
    "RU-KPP-002": Code(_E, "KPP {value} is not valid: 4 digits, 2 digits or capital letters, 3 digits"),
    "RU-KPP-003": Code(_W, "KPP {value} is declared, but only organisations have one"),
    "RU-OGRN-001": Code(_E, "OGRN (sole trader: OGRNIP) is missing"),
    "RU-OGRN-002": Code(_E, "OGRN {value} is not valid: wrong length or checksum"),
    "RU-OGRN-003": Code(
        _E, "OGRN {value} does not fit the kind of filer: an organisation has 13 digits, a sole trader 15"
    ),
    "RU-REGISTER-001": Code(
        _E,
        "no record number of the miners' register: organisations and sole traders need one (secondary)",
    ),
    "RU-OPERATOR-001": Code(_W, "the INN of the infrastructure operator is missing"),
    "RU-OPERATOR-002": Code(_W, "the INN {value} of the infrastructure operator is not valid"),
    "RU-OPERATOR-003": Code(_W, "the register number of the infrastructure operator is missing"),
    "RU-RECEIPT-001": Code(
        _O,
        "no receipts in the period: a nil filing seems not required (unverified, an inference)",
    ),
    "RU-RECEIPT-002": Code(_E, "receipt {id} of {received} lies outside the period"),
    "RU-RECEIPT-003": Code(_E, "receipt {id} from {source} is given more than once"),
    "RU-RECEIPT-004": Code(
        _W, "receipt {id} has the transaction, address-identifier and amount of another: counted twice?"
    ),
    "RU-RECEIPT-005": Code(_E, "receipt {id}: the bitcoin address has a wrong checksum"),
    "RU-RECEIPT-006": Code(_E, "receipt {id} has no address-identifier"),
    "RU-RECEIPT-007": Code(_W, "receipt {id} has the amount {amount}: a reversal? it is part of the totals"),
    "RU-RECEIPT-008": Code(_W, "receipt {id}: whether it was mined in a pool or solo is not known"),
    "RU-RECEIPT-009": Code(_W, "receipt {id}: an on-chain receipt has no transaction id"),
    "RU-RECEIPT-010": Code(_W, "receipt {id}: the network is not known"),
    "RU-VALUE-001": Code(_O, "no quote is at hand: the rouble value is unknown, not zero"),
    "RU-REGION-001": Code(_O, "the site's region is not declared: regional bans could not be checked"),
    "RU-REGION-002": Code(_W, "mining is banned in {region} on days of the period (first: {day}; {status})"),
    "RU-REGION-003": Code(
        _O, "mining is banned in part of {region} ({part}) on days of the period: confirm your municipality"
    ),
    "RU-REGION-004": Code(
        _O, "a ban in part of {region} ({part}) was planned; its adoption was not found: unconfirmed"
    ),
    "RU-LIMIT-001": Code(
        _W, "{kwh} kWh exceeds the {limit} kWh a natural person may use without the register ({status})"
    ),
    "RU-LIMIT-002": Code(_W, "with its gaps the energy may reach {high} kWh, above the limit of {limit} kWh"),
    "RU-LIMIT-003": Code(
        _O,
        "the limit counts all sites of the person ({basis}, design); this filing holds one: add the others",
    ),
    "RU-LIMIT-004": Code(
        _W,
        "{kwh} kWh at all sites of the person ({sites}) exceed the {limit} kWh that a natural person may use "
        "without the register ({status})",
    ),
    "RU-LIMIT-005": Code(
        _W, "with its gaps the energy of all sites ({sites}) may reach {high} kWh, above {limit} kWh"
    ),
    "RU-LIMIT-006": Code(
        _W, "forecast for the end of the month: {kwh} kWh ({low} to {high}), above {limit} kWh from {day} on"
    ),
    "RU-LIMIT-007": Code(
        _W, "forecast for the end of the month: up to {high} kWh, at the earliest above {limit} kWh on {day}"
    ),
    "RU-LIMIT-008": Code(
        _O, "the limit is counted over the sites {sites} ({basis}, design): add any that are not known here"
    ),
    "RU-FORMAT-001": Code(
        _O, "no official format (KND, order, XSD) was found: copy this sheet into the account"
    ),
    "RU-BASIS-001": Code(_O, "which act holds the duty since 2026-09-01 could not be established"),
    "RU-DEADLINE-001": Code(
        _W,
        "the deadline {day} falls on a weekend; no source moves it: file by {advice} (holidays not known)",
    ),
    "KZ-ORDER-001": Code(
        _W,
        "the order is repealed (117/НҚ), out of force since 2023-06-04: voluntary or internal",
    ),
    "KZ-FORM-001": Code(
        _O, "the layout of the 2022 edition was not read: its fields are known from the press"
    ),
    "KZ-MW-001": Code(_E, "contracted MW is to be stated but not declared: declare contracted_mw"),
    "KZ-MW-002": Code(_E, "peak MW is to be stated but no half-hour is known"),
    "KZ-MW-003": Code(_O, "what MW means was not found: {mw} power is stated, by choice of the filer"),
    "KZ-BIN-001": Code(_E, "BIN/IIN is missing: 12 digits"),
    "KZ-BIN-002": Code(_E, "BIN/IIN {value} is not valid: 12 digits with checksum"),
    "KZ-LICENCE-001": Code(
        _W, "no mining licence is declared; law 193-VII of 2023-02-06 requires one (verified)"
    ),
    "KZ-LICENCE-002": Code(
        _W, "without a licence the fee is {rate} KZT/kWh, {fee} KZT; the ordinary fee is computed here"
    ),
    "KZ-METER-001": Code(
        _W, "{kwh} of {total} kWh do not come from an electricity meter: the fee rests on an estimate"
    ),
    "KZ-METER-002": Code(
        _W,
        "no or faulty meter: {rate} KZT/kWh on the deemed volume ({volume}); the fee shown is the ordinary",
    ),
    "KZ-METER-003": Code(
        _W, "no or faulty meter: the deemed volume ({volume}) holds; the measured volume is used here"
    ),
    "KZ-METER-004": Code(
        _W,
        "the reported {metered} kWh are those of the site's meter {meter}; its miners' sum is {kwh} kWh: "
        "cooling, losses and other loads are in the difference",
    ),
    "KZ-FEE-001": Code(
        _O, "the fee of 2023 depends on the price of electricity, which is not declared: not computed"
    ),
    "KZ-FEE-002": Code(_O, "the current budget code and the number of the form were not found"),
    "KZ-FEE-003": Code(
        _W, "{operator} provides the infrastructure and pays the fee too: one kWh must not be counted twice"
    ),
    "KZ-FEE-004": Code(_W, "no rate for power source {source} in this period: the ordinary rate is used"),
    "KZ-FIELD-001": Code(_E, "{label}: not declared; the 2020 form asks for it"),
    "KZ-FIELD-002": Code(_W, "{label}: not declared; the 2022 edition or the notices ask for it"),
    "IR-HOLDER-001": Code(
        _E, "the holder's national ID is missing: 10 digits of a person, 11 of a legal person"
    ),
    "IR-HOLDER-002": Code(_E, "the holder's national ID {value} is not valid: wrong length or checksum"),
    "IR-ACTIVITY-001": Code(_E, "the holder's activity is missing: one of {known}"),
    "IR-ACTIVITY-002": Code(_E, "the holder's activity {value} is unknown: one of {known}"),
    "IR-PLACE-001": Code(_E, "{label} of the storage place is missing"),
    "IR-PLACE-002": Code(_E, "postal code {value} is not valid: 10 digits"),
    "IR-PLACE-003": Code(_W, "the warehouse id is missing"),
    "IR-DEVICE-001": Code(_E, "device {device}: nothing is declared for it"),
    "IR-DEVICE-002": Code(_E, "device {device}: make or model is not known"),
    "IR-DEVICE-003": Code(_E, "device {device}: no serial number is known; give the one on its label"),
    "IR-DEVICE-004": Code(_E, "device {device}: serial number {serial} is that of another device too"),
    "IR-DEVICE-005": Code(_W, "device {device}: the MAC address is not known"),
    "IR-DEVICE-006": Code(_W, "device {device}: the technical specification lacks {missing}"),
    "IR-PRODUCT-001": Code(_E, "device {device}: the product identifier is missing"),
    "IR-PRODUCT-002": Code(_E, "device {device}: product identifier {value} is not {digits} digits"),
    "IR-PRODUCT-003": Code(
        _W, "device {device}: product identifier {value} fails GTIN's mod 10 (not known to be required)"
    ),
    "IR-TRACKING-001": Code(_E, "device {device}: the tracking code is missing"),
    "IR-TRACKING-002": Code(_E, "device {device}: tracking code {value} is that of another unit too"),
    "IR-DECLARED-001": Code(_E, "device {device}: {label} is not declared"),
    "IR-DECLARED-002": Code(_E, "device {device}: {label} {value} is unknown: one of {known}"),
    "IR-DATE-001": Code(
        _E, "device {device}: {label} {value} is not a date: write it as 2026-09-23 (Gregorian)"
    ),
    "IR-ORIGIN-001": Code(_W, "device {device}: kind or number of the origin document is not declared"),
    "IR-TRANSFER-001": Code(_E, "device {device}: the transfer lacks {missing}"),
    "IR-TRANSFER-002": Code(_W, "device {device}: after a transfer the new holder must register it too"),
    "IR-LIST-001": Code(_E, "no device is in the register of the site"),
    "IR-TEMPLATE-001": Code(_O, "no official upload template was found: this workbook is the project's own"),
    "IR-DEADLINE-001": Code(_O, "the deadline is known without a year ({value}): ask the authority"),
}


def finding(code: str, where: str, language: str, **values: object) -> Finding:
    """The finding of a code with its templates filled; a missing value is a KeyError."""
    found = CODES[code]
    local = BY_LANGUAGE[language][code].format(**values)
    return Finding(code, found.level, found.text.format(**values), where, local)


def code(name: str) -> Code:
    """What a code means; ReportingError when there is no such code."""
    if name not in CODES:
        raise ReportingError(f"no finding has the code {name!r}: codes look like RU-RECEIPT-007")
    return CODES[name]
