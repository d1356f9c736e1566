"""Any value of the contract's structs: made from their own types, so that a new record is covered at once."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from agent import wire

# The edges that arithmetic breaks at, beside the ordinary and the near: 64 bits are what msgpack holds.
INTEGERS = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1, wire.EARLIEST_US]),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 10_000),
)
TEXTS = st.one_of(st.sampled_from(["", "north", "a" * 5000, "\0", "‮", "1e9999", "[bold]x"]), st.text())
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def any_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any instance of a struct, whatever its meaning forbids."""
    return _of(inspect.type_info(kind))


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _of(field.type) for field in fields})
        case inspect.ListType(item_type=item):
            return st.lists(_of(item), max_size=4)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=4)
        case inspect.UnionType(types=types):
            return st.one_of(*map(_of, types))
        case inspect.IntType():
            return INTEGERS
        case inspect.FloatType():
            return NUMBERS
        case inspect.StrType():
            return TEXTS
        case inspect.BytesType():
            return st.binary(max_size=64)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
    raise TypeError(f"no strategy for {kind}")
