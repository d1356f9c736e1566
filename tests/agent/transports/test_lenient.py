"""JSON from the wild is read, half a reply is not."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.transports import lenient

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":[{"b":1}{"c":2}]}', {"a": [{"b": 1}, {"c": 2}]}),
        ('{"a":1,}', {"a": 1}),
        ('{,"a":1,,"b":[,2,],}', {"a": 1, "b": [2]}),
        ('{"a":"x""b":"y"}', {"a": "x", "b": "y"}),
        (
            '{"a":nan,"b":-inf,"c":1.2.3,"d":NaN,"e":--}',
            {"a": None, "b": None, "c": None, "d": None, "e": None},
        ),
        ('{"a":"one\ntwo\ttab"}', {"a": "one\ntwo\ttab"}),
        ('{"a":"it\\\'s \\q \\u00e9 \\u00g"}', {"a": "it's q é u00g"}),
        ('{"a":1}"}', {"a": 1}),
        ('{"a":1}{"a":2}', {"a": 1}),
        (',"a":1,"b":{}}', {"a": 1, "b": {}}),
        ('{"a":1\x002}', {"a": 12}),
        ('{"a":,"b":}', {"a": None, "b": None}),
        ('{"S":[1],"S":[2],"S":[3]}', {"S": [1, 2, 3]}),
        ('{"a":1,"a":2}', {"a": 2}),
        ('{"a":true,"b":False,"c":null}x', {"a": True, "b": False, "c": None}),
        ('{"a":"}{"}', {"a": "}{"}),
        ('{"a":"}{",}', {"a": "}{"}),
    ],
)
def test_forgiven(text: str, value: Any) -> None:
    assert lenient.loads(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "<html></html>",
        "hello",
        '"text',
        '{"a":12',
        '{"a":"b',
        '{"a"',
        '{"a":[1,2',
        "{",
        "[" * 99,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a" 1}',
        '{"a":1,2}',
        "nan",
        "{]}",
    ],
)
def test_never_forgiven(text: str) -> None:
    with pytest.raises(ValueError):
        lenient.loads(text)


@given(VALUES.filter(lambda value: isinstance(value, dict | list)))
def test_good_json_means_what_it_means_everywhere(value: Any) -> None:
    assert lenient.loads(json.dumps(value)) == value


@given(VALUES.filter(lambda value: isinstance(value, dict | list)))
def test_the_forgiving_reader_agrees_with_the_strict_one(value: Any) -> None:
    assert lenient._Reader(json.dumps(value)).document() == value


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        lenient.loads(text)
