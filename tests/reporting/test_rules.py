"""Rules as law: every file loads, cites and dates itself; the fee by date; mistakes all reported."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reporting.rules import Rule, RuleError, RuleUse, RuleValue, at, load
from reporting.rules.loader import load_folder
from reporting.rules.model import RuleStatus, use

COUNTRIES = ("ru", "kz", "ir")
RULES = {rule_id: rule for country in COUNTRIES for rule_id, rule in load(country).items()}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_every_value_has_reference_status_and_check_date(rule: Rule) -> None:
    for value in rule.values:
        shown: RuleUse = use(rule, value)
        assert shown.reference
        assert shown.value
        assert value.status in RuleStatus
        assert value.last_checked >= date(2026, 11, 22)


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_rule_file_is_used_by_a_form(country: str) -> None:
    package = Path(__file__).parents[2] / "reporting"
    source = "".join(file.read_text() for file in package.rglob("*.py"))
    assert [rule_id for rule_id in load(country) if f'"{rule_id}"' not in source] == []


@pytest.mark.parametrize(
    ("rule_id", "key", "first", "last"),
    [
        ("kz.fee_tariff", "ordinary", date(2022, 1, 1), date(2030, 1, 1)),
        ("kz.fee_payment", "", date(2022, 1, 1), date(2030, 1, 1)),
        ("kz.fee_declaration", "", date(2023, 1, 1), date(2030, 1, 1)),
        ("kz.information_order", "", date(2020, 10, 13), date(2023, 6, 3)),
        ("ru.legal_basis", "", date(2024, 11, 1), date(2030, 1, 1)),
        ("ru.deadline_day", "", date(2024, 11, 1), date(2030, 1, 1)),
    ],
)
def test_no_hole_where_it_matters(rule_id: str, key: str, first: date, last: date) -> None:
    day = first
    assert at(RULES[rule_id], on=first - timedelta(days=1), key=key) is None
    while day <= last:
        assert at(RULES[rule_id], on=day, key=key) is not None, day
        day += timedelta(days=1)


@pytest.mark.parametrize(
    ("day", "key", "rate"),
    [
        (date(2022, 12, 31), "ordinary", 1),
        (date(2023, 12, 31), "own", 10),
        (date(2023, 1, 1), "own_renewables", 1),
        (date(2024, 1, 1), "ordinary", 2),
        (date(2025, 12, 31), "ordinary", 2),
        (date(2025, 12, 31), "off_grid", 1),
        (date(2026, 1, 1), "own_renewables", 1),
        (date(2026, 1, 1), "ordinary", 2),
    ],
)
def test_fee_tariff_at_its_boundaries(day: date, key: str, rate: int) -> None:
    value = at(RULES["kz.fee_tariff"], on=day, key=key)
    assert value is not None
    assert value.amount == rate


def test_fee_of_2023_is_a_table_that_falls_by_one_with_each_tenge() -> None:
    value = at(RULES["kz.fee_tariff"], on=date(2023, 1, 1), key="ordinary")
    assert value is not None
    # max(1, 26 - max(1, ceil(p))) for p = 1, 2, ... 25
    assert value.value == tuple(max(1, 26 - price) for price in range(1, 26))


def test_rates_at_fault() -> None:
    rule = RULES["kz.fee_tariff_at_fault"]
    rates = {
        (day.year, key): found.amount if found else None
        for day in (date(2022, 6, 1), date(2023, 6, 1), date(2025, 6, 1), date(2026, 6, 1))
        for key in ("meter", "licence")
        for found in (at(rule, on=day, key=key),)
    }
    assert rates == {
        (2022, "meter"): None,
        (2022, "licence"): None,
        (2023, "meter"): 25,
        (2023, "licence"): None,
        (2025, "meter"): None,
        (2025, "licence"): None,
        (2026, "meter"): 25,
        (2026, "licence"): 25,
    }


def test_known_on_hides_what_was_not_published_yet() -> None:
    rule = RULES["ru.legal_basis"]
    day = date(2026, 9, 1)
    assert at(rule, on=day, known_on=date(2026, 8, 3)) is None
    assert at(rule, on=day, known_on=date(2026, 8, 4)) is not None


def load_text(folder: Path, **texts: str) -> dict[str, Rule]:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return load_folder(folder, "xx")


VALUE = """
[[values]]
from = {start}
{until}value = {value}
status = "design"
reference = "r"
last_checked = 2026-01-01
"""
HEAD = 'title = "t"\nunit = "u"\n'


def test_amounts_are_exact(tmp_path: Path) -> None:
    book = load_text(tmp_path, tariff=HEAD + VALUE.format(start="2026-01-01", until="", value="21.10"))
    value: RuleValue = book["xx.tariff"].values[0]
    assert (value.value, value.amount) == (Decimal("21.10"), Decimal("21.10"))
    assert str(value.value) == "21.10"


def test_all_mistakes_are_reported_with_file_and_key(tmp_path: Path) -> None:
    first = VALUE.format(start="2026-01-01", until="until = 2027-01-01\n", value="1")
    overlapping = VALUE.format(start="2026-06-01", until="", value="2")
    reversed_ends = VALUE.format(start="2026-01-01", until="until = 2025-01-01\n", value="1")
    with pytest.raises(RuleError) as raised:
        load_text(
            tmp_path,
            a_toml="x = 01",
            b_overlap=HEAD + first + overlapping,
            c_reversed=HEAD + reversed_ends,
            d_status=HEAD + first.replace("design", "certain"),
            e_missing=HEAD + first.replace('reference = "r"\n', ""),
            f_unknown=HEAD + first + "colour = 1\n",
            g_empty=HEAD + "values = []",
        )
    text = str(raised.value)
    for part in (
        "a_toml.toml:",
        "b_overlap.toml: values from 2026-06-01: overlaps",
        "c_reversed.toml: values from 2026-01-01: until must be after from",
        "d_status.toml: values.0.status",
        "e_missing.toml: values.0.reference",
        "f_unknown.toml: values.0.colour",
        "g_empty.toml: values",
    ):
        assert part in text


def test_a_value_of_another_shape_is_refused() -> None:
    text = RULES["ru.channel"].values[0]
    table = RULES["kz.fee_payment"].values[0]
    with pytest.raises(RuleError):
        _ = text.amount
    with pytest.raises(RuleError):
        _ = table.text
    for value in (text, table):
        with pytest.raises(RuleError):
            value.part("x")
