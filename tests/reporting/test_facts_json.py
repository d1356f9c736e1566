"""Facts as JSON: lossless, canonical, strict."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.errors import ReportingError
from reporting.facts import PeriodFacts
from reporting.facts_json import decode_facts, encode_facts, facts_hash
from tests.reporting.sample import ir_facts, kz_facts, ru_facts


@pytest.mark.parametrize("facts", [ru_facts(), kz_facts(), ir_facts()], ids=["ru", "kz", "ir"])
def test_samples_round_trip(facts: PeriodFacts) -> None:
    assert decode_facts(encode_facts(facts)) == facts


@given(facts=st.builds(PeriodFacts))
def test_any_facts_round_trip(facts: PeriodFacts) -> None:
    # NaN and infinity have no JSON; JSON null takes their place, which the strict reader may refuse.
    content = encode_facts(facts)
    try:
        read = decode_facts(content)
    except ReportingError:
        return
    assert encode_facts(read) == content


def test_equal_facts_have_equal_hashes_whatever_the_order_of_keys() -> None:
    facts = ru_facts()
    energy = replace(facts.energy, energy_by_origin_wh={"a": 1, "b": 2})
    turned = replace(facts.energy, energy_by_origin_wh={"b": 2, "a": 1})
    assert facts_hash(replace(facts, energy=energy)) == facts_hash(replace(facts, energy=turned))
    assert facts_hash(replace(facts, energy=energy)) != facts_hash(facts)


def test_money_is_text_and_keeps_its_digits() -> None:
    document = json.loads(encode_facts(kz_facts()))
    assert document["investment"]["planned_equipment_kzt"] == "100000000.50"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taken_us": "1"}, r"\$\.taken_us"),
        ({"colour": 1}, r"unknown key \$\.colour"),
        ({"energy": {}}, r"\$\.energy"),
        (
            {"evidence": [{"agent": "a", "first_seq": 1, "last_seq": 2, "last_hash": "", "x": 1}]},
            r"evidence\[0\]\.x",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path(change: dict[str, object], message: str) -> None:
    document = json.loads(encode_facts(ru_facts())) | change
    with pytest.raises(ReportingError, match=message):
        decode_facts(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"null"])
def test_what_is_no_facts_file_is_refused(content: bytes) -> None:
    with pytest.raises(ReportingError, match="not the facts of a period"):
        decode_facts(content)
