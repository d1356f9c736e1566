"""Maps can be trusted: what is encoded is decoded, nothing outside is read, mistakes are told."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.meters import modbus, register_map
from agent.meters.config import decimal_text
from agent.meters.register_map import MAX_WORDS, TYPES, MapError, NotRead, Register, Scaling
from agent.meters.told import Told, measured
from agent.simulator import meter_modbus
from agent.simulator.meter_life import Shown

ORDERS = st.sampled_from(["big", "little"])
INTEGERS = {"u16": (0, 2**16), "u32": (0, 2**32 - 1), "u64": (0, 2**64 - 1),
            "i16": (1 - 2**15, 2**15), "i32": (1 - 2**31, 2**31), "i64": (1 - 2**63, 2**63)}  # fmt: skip
HEAD = 'make = "M"\nmodels = "X"\nsource = ["S"]\nstatus = "secondary"\nlast_checked = 2026-11-29\n'


def register(kind: str, word_order: str, byte_order: str, words: int = 0) -> Register:
    return Register.model_validate(
        {"address": 0, "type": kind, "words": words, "word_order": word_order, "byte_order": byte_order}
    )


@given(st.data(), st.sampled_from(sorted(INTEGERS)), ORDERS, ORDERS)
def test_integers_come_back_in_every_order(data: st.DataObject, kind: str, words: str, octets: str) -> None:
    low, high = INTEGERS[kind]
    value = data.draw(st.integers(low, high - 1))
    r = register(kind, words, octets)
    assert register_map.number(r, meter_modbus.words(r, Fraction(value))) == value


@given(st.data(), st.sampled_from(["f32", "f64"]), ORDERS, ORDERS)
def test_floats_come_back_exactly_in_every_order(
    data: st.DataObject, kind: str, words: str, octets: str
) -> None:
    width = 32 if kind == "f32" else 64
    value = data.draw(st.floats(width=width, allow_nan=False, allow_infinity=False))
    r = register(kind, words, octets)
    assert register_map.number(r, meter_modbus.words(r, Fraction(value))) == Fraction(value)


@given(st.integers(0, 10**16 - 1), st.integers(0, 10**8 - 1), ORDERS)
def test_decimal_registers_come_back(mod10: int, bcd: int, order: str) -> None:
    for kind, words, value in (("mod10", 4, mod10), ("bcd", 2, bcd)):
        r = register(kind, order, "big", words)
        assert register_map.number(r, meter_modbus.words(r, Fraction(value))) == value


def test_big_and_little_are_what_the_makers_mean() -> None:
    words = {"big": [0x0001, 0x0203], "little": [0x0203, 0x0001]}
    for order, sent in words.items():
        assert register_map.number(register("u32", order, "big"), sent) == 0x00010203
    assert register_map.number(register("u32", "big", "little"), [0x0100, 0x0302]) == 0x00010203


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("u32", [0xFFFF, 0xFFFF]),
        ("u64", [0xFFFF] * 4),
        ("i16", [0x8000]),
        ("i32", [0x8000, 0]),
        ("i64", [0x8000, 0, 0, 0]),
        ("f32", [0x7FC0, 0]),
        ("f32", [0xFFC0, 0]),
        ("f32", [0x7F80, 0]),
        ("f64", [0x7FF8, 0, 0, 0]),
    ],
)
def test_what_means_no_value_is_no_number(kind: str, words: list[int]) -> None:
    with pytest.raises(NotRead):
        register_map.number(register(kind, "big", "big"), words)


def test_a_digit_that_is_none_is_no_number() -> None:
    with pytest.raises(NotRead, match="no digit"):
        register_map.number(register("mod10", "big", "big", 2), [1, 10_000])
    with pytest.raises(NotRead, match="no digit"):
        register_map.number(register("bcd", "big", "big", 1), [0x12A4])


@pytest.mark.parametrize("name", register_map.names())
def test_a_map_names_its_source_and_asks_for_nothing_else(name: str) -> None:
    rules = register_map.load(name)
    registers = rules.every
    ours = {(r.function, r.address + n) for r in registers.values() for n in range(r.count)}
    blocks = register_map.blocks(registers, rules.max_words)
    asked = [(b.function, b.address + n) for b in blocks for n in range(b.count)]
    assert sorted(asked) == sorted(ours)  # nothing outside, nothing twice
    assert all(any(b.holds(r) for b in blocks) for r in registers.values())
    assert blocks[0].holds(registers["import_wh"])
    assert rules.source and all(len(source) > 10 for source in rules.source)


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"),
        st.tuples(st.integers(0, 300), st.sampled_from(["u16", "u32", "u64"]), st.sampled_from([3, 4])),
        min_size=1,
    ),
    st.integers(4, MAX_WORDS),
)
def test_blocks_hold_every_register_and_no_other_word(
    places: dict[str, tuple[int, str, int]], max_words: int
) -> None:
    registers = {
        name: Register.model_validate({"address": at, "type": kind, "function": function})
        for name, (at, kind, function) in places.items()
    }
    ours = {(r.function, r.address + n) for r in registers.values() for n in range(r.count)}
    blocks = register_map.blocks(registers, max_words)
    assert all(b.count <= max_words for b in blocks)
    assert {(b.function, b.address + n) for b in blocks for n in range(b.count)} == ours
    assert all(any(b.holds(r) for b in blocks) for r in registers.values())


def told(name: str, shown: Shown) -> Told:
    """What the driver makes of what the simulator's meter of this map shows."""
    rules = register_map.load(name)
    cells = meter_modbus.registers(rules, shown)
    words = {
        n: [cells[r.function or 3, r.address + k] for k in range(r.count)] for n, r in rules.every.items()
    }
    return modbus.parse(rules, words, {})


@pytest.mark.parametrize("name", register_map.names())
@given(
    st.fractions(0, 10**9, max_denominator=1000),
    st.fractions(0, 10**9, max_denominator=1000),
    st.fractions(-(10**6), 10**6, max_denominator=1000),
)
def test_every_map_decodes_what_its_meter_shows(
    name: str, import_wh: Fraction, export_wh: Fraction, power_w: Fraction
) -> None:
    registers = register_map.load(name).every
    found = told(name, Shown(import_wh, export_wh, power_w, "12345"))
    assert found.unread == {}
    for field, truth in (("import_wh", import_wh), ("export_wh", export_wh), ("power_w", power_w)):
        if field not in registers:
            assert getattr(found, field) is None
            continue
        value, r = getattr(found, field), registers[field]
        if r.plus:
            assert found.step_wh is not None and abs(value - truth) <= 2 * found.step_wh
            continue
        if r.type in ("f32", "f64"):
            bits = 24 if r.type == "f32" else 53
            assert abs(value - truth) <= abs(truth) * Fraction(1, 2**bits) + Fraction(1, 2**60)
        else:
            assert value == math.floor(truth / r.factor) * r.factor
    if "serial" in registers:
        assert found.serial == "12345"


@pytest.mark.parametrize("name", register_map.names())
@given(st.data())
def test_any_words_are_a_reading_or_a_reason(name: str, data: st.DataObject) -> None:
    rules = register_map.load(name)
    word = st.integers(0, 0xFFFF) | st.sampled_from([0, 0x7FC0, 0x7FFF, 0x8000, 0xFFFF])
    words = {
        n: data.draw(st.lists(word, min_size=r.count, max_size=r.count))
        for n, r in rules.every.items()
        if data.draw(st.booleans())
    }
    found = modbus.parse(rules, words, {})
    for field in ("import_wh", "export_wh", "power_w"):
        asked = field in rules.registers
        assert (getattr(found, field) is None) == (not asked or field in found.unread)
    got = measured(found, Fraction(1))
    assert all(value is None or -(2**62) < value < 2**62 for value in got[:3])
    assert bool(got.problem) == bool(found.unread) and len(found.raw) == len(rules.every)


def test_a_float_tells_how_fine_it_is() -> None:
    r = register("f32", "big", "big")
    for value in (0.5, 1.0, 16_384.0, 131_072.0, 12_345.678):
        single = struct.unpack(">f", struct.pack(">f", value))[0]
        after = struct.unpack(">f", struct.pack(">I", struct.unpack(">I", struct.pack(">f", value))[0] + 1))[
            0
        ]
        assert register_map.step(r, meter_modbus.words(r, Fraction(single))) == Fraction(after) - Fraction(
            single
        )


SCALED = (
    HEAD
    + """
[registers.import_wh]
address = 0
type = "u32"
scale = 0.1
unit = "kWh"
scaled_by = "magnitude"

[scaling.magnitude]
address = 10
type = "i16"
use = "exponent"
"""
)


@given(st.integers(0, 10**6), st.integers(-6, 3))
def test_a_scaling_register_is_applied_exactly(count: int, exponent: int) -> None:
    rules = register_map.parse(SCALED, "scaled")
    words = {
        "import_wh": meter_modbus.words(rules.every["import_wh"], Fraction(count)),
        "magnitude": meter_modbus.words(rules.every["magnitude"], Fraction(exponent)),
    }
    assert modbus.parse(rules, words, {}).import_wh == Fraction(count) * 100 * Fraction(10) ** exponent


def test_without_its_scaling_register_a_register_is_not_read() -> None:
    rules = register_map.parse(SCALED, "scaled")
    found = modbus.parse(rules, {"import_wh": [0, 5]}, {})
    assert found.import_wh is None and "magnitude" in found.unread["import_wh"]
    wild = modbus.parse(rules, {"import_wh": [0, 5], "magnitude": [300]}, {})
    assert wild.import_wh is None and "exponent" in wild.unread["import_wh"]


def test_a_sum_without_one_of_its_parts_is_not_read() -> None:
    rules = register_map.load("siemens_pac")
    cells = meter_modbus.registers(rules, Shown(Fraction(900), Fraction(0), Fraction(1), "1"))
    words = {
        n: [cells[r.function or 3, r.address + k] for k in range(r.count)] for n, r in rules.every.items()
    }
    assert abs((modbus.parse(rules, words, {}).import_wh or 0) - 900) < 1
    del words["import_tariff_2"]
    found = modbus.parse(rules, words, {})
    assert found.import_wh is None and "import_tariff_2" in found.unread["import_wh"]


def test_a_multiplier_below_zero_is_no_scale() -> None:
    rule = Scaling.model_validate({"address": 0, "type": "i16", "use": "multiplier"})
    with pytest.raises(NotRead):
        register_map.scale(rule, [0])


@pytest.mark.parametrize(
    ("value", "why"), [(Fraction(-1), "never below 0"), (Fraction(10**16), "more than any meter")]
)
def test_an_absurd_register_is_not_read_with_a_reason(value: Fraction, why: str) -> None:
    found = Told()
    found.take("import_wh", value)
    assert found.import_wh is None and why in found.unread["import_wh"]
    got = measured(found, Fraction(1))
    assert got.import_wh is None and got.problem.startswith("protocol: import_wh: ")


@given(
    st.decimals(min_value=0, max_value=10**7, places=3),
    st.decimals(min_value=Decimal("0.01"), max_value=10**4, places=2),
)
def test_ratios_are_applied_exactly_and_floored_once(kwh: Decimal, ratio: Decimal) -> None:
    found = Told(import_wh=Fraction(kwh) * 1000, power_w=Fraction(kwh))
    got = measured(found, Fraction(ratio))
    assert got.import_wh == math.floor(Fraction(kwh) * 1000 * Fraction(ratio))
    assert got.power_mw == math.floor(Fraction(kwh) * Fraction(ratio) * 1000)


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_a_ratio_travels_as_an_exact_decimal(value: Decimal) -> None:
    assert Fraction(decimal_text(Fraction(value))) == Fraction(value)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ('[registers.import_wh]\naddress = 1\ntype = "u33"\nunit = "kWh"\n', "type 'u33' is none of"),
        ('[registers.import_wh]\naddress = 1\ntype = "u32"\n', "unit is missing"),
        ('[registers.import_wh]\naddress = 1\ntype = "u32"\nunit = "W"\n', "of the other kind"),
        ('[registers.power_w]\naddress = 1\ntype = "u32"\nunit = "W"\n', "import_wh is missing"),
        ('[registers.import_wh]\naddress = 65535\ntype = "u32"\nunit = "Wh"\n', "beyond address 65535"),
        ('[registers.import_wh]\naddress = 1\ntype = "mod10"\nunit = "Wh"\n', "words"),
        ('[registers.import_wh]\naddress = 1\ntype = "u32"\nunit = "Wh"\nscaled_by = "x"\n', "scaling.x"),
        ('[registers.import_wh]\naddress = 1\ntype = "u32"\nunit = "Wh"\nplus = ["t2"]\n', "parts.t2"),
        ('[registers.current_a]\naddress = 1\ntype = "u32"\nunit = "W"\n', "is none of"),
        ("[registers.import_wh\n", "not TOML"),
    ],
)
def test_a_map_that_cannot_be_right_says_what_would_be(rows: str, says: str) -> None:
    with pytest.raises(MapError, match=says):
        register_map.parse(HEAD + rows, "mine.toml")


def test_a_map_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(MapError, match="sdm630"):
        register_map.load("nothing")
    with pytest.raises(MapError, match=r"none\.toml"):
        register_map.load("/nowhere/none.toml")


def test_every_type_has_a_size() -> None:
    assert {kind for kind, (words, _) in TYPES.items() if words is None} == {"mod10", "bcd", "text"}
