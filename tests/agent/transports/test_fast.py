"""The strict reader reads what the forgiving one would, or nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.transports import cgminer, fast, lenient

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5), st.sampled_from([None, (",", ":")]))
def test_both_readers_agree(value: dict[str, object], separators: tuple[str, str] | None) -> None:
    text = json.dumps(value, separators=separators)
    found = fast.loads(text.encode() + b"\0")
    assert found is None or found == lenient.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"STATS":[1],"STATS":[2]}',  # Avalon: the lists of both are joined
        b'{"a":{"b":1,"b":2}}',
        b'{"a":1,"a":"\\u003a"}',  # as many colons as were written, by chance
        b'{"a":1,}',
        b'{"a":nan}',
        b'{"a":"\x01"}',
        b'{"a":"\xff"}',
        b'{"a":1}{"b":2}',
        b'{"a":',
        b"[1]",
        b"",
        b"[" * 100_000,
    ],
)
def test_what_is_left_to_the_forgiving_reader(text: bytes) -> None:
    assert fast.loads(text) is None


def test_repeated_lists_are_joined_all_the_same() -> None:
    assert cgminer.parse(b'{"STATS":[1],"STATS":[2]}\0') == {"STATS": [1, 2]}
