"""The contract: what is packed comes back, what was changed is noticed, what was not read stays unread."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent import wire
from agent.readings import FailureKind, PowerOrigin, State

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def envelope(seq: int = 1, prev: bytes = wire.GENESIS, payload: bytes = b"") -> wire.Envelope:
    return wire.Envelope(
        v=1, org="o", site="s", agent="a", session=b"12345678", seq=seq, prev=prev, created_us=1,
        clock_offset_us=None, clock_source="system", synthetic=False, payload=payload,
    )  # fmt: skip


def sweep(power_w: list[float | None]) -> wire.Sweep:
    count = len(power_w)
    columns = {name: wire.column(name, [None] * count) for name in wire.COLUMNS}
    columns["power_mw"] = wire.column("power_mw", power_w)
    return wire.Sweep(1_000_000, 60, bytes(16 * count), columns, [])


@given(st.lists(st.none() | st.floats(0, 2e6), max_size=50))
def test_a_sweep_comes_back_to_the_milliwatt_and_unread_stays_unread(power_w: list[float | None]) -> None:
    (back,) = wire.unpack(wire.pack([sweep(power_w)]))
    assert isinstance(back, wire.Sweep)
    got = wire.values(back, "power_mw")
    assert len(got) == len(power_w)
    for sent, milliwatts in zip(power_w, got, strict=True):
        if sent is None:
            assert milliwatts == wire.missing("power_mw")
        else:
            assert abs(milliwatts / 1000 - sent) <= 0.0005


def test_a_number_no_column_can_hold_is_unread_rather_than_clamped() -> None:
    for impossible in (float("nan"), float("inf"), -float("inf"), 1e30):
        assert wire.values(sweep([impossible]), "power_mw") == [wire.missing("power_mw")]


def test_a_sweep_without_a_column_is_refused_even_where_it_has_no_readings() -> None:
    columns = {name: b"" for name in wire.COLUMNS if name != "delay_ms"}
    with pytest.raises(wire.WireError, match="delay_ms"):
        wire.unpack(wire.pack([wire.Sweep(1, 60, b"", columns)]))


def test_a_real_zero_is_not_unread() -> None:
    assert wire.values(sweep([0.0]), "power_mw") == [0] != [wire.missing("power_mw")]


def test_a_column_is_little_endian_and_as_wide_as_it_says() -> None:
    assert wire.column("power_mw", [0.258, None]) == bytes.fromhex("02010000 00000080")
    assert {name: len(wire.column(name, [1])) for name in wire.COLUMNS} == {
        name: width for name, (width, _) in wire.COLUMNS.items()
    }


@given(st.data())
def test_any_changed_bit_breaks_signature_or_envelope(data: st.DataObject) -> None:
    packet, _ = wire.seal(envelope(payload=wire.pack([wire.Event(1, "test")])), KEY)
    place = data.draw(st.integers(0, len(packet) * 8 - 1))
    spoiled = bytearray(packet)
    spoiled[place // 8] ^= 1 << place % 8
    try:
        opened = wire.open_packet(bytes(spoiled))
    except wire.WireError:
        return
    assert not wire.verify(opened, PUBLIC)


def test_a_chain_holds_by_the_hash_of_the_signed_bytes() -> None:
    prev, packets = wire.GENESIS, []
    for seq in range(1, 5):
        packet, prev = wire.seal(envelope(seq, prev), KEY)
        packets.append(wire.open_packet(packet))
    for before, after in pairwise(packets):
        assert after.envelope.prev == before.hash
        assert wire.verify(after, PUBLIC)


@given(st.binary(max_size=300))
def test_junk_is_refused_with_a_reason(junk: bytes) -> None:
    for read in (wire.open_packet, wire.unpack, wire.decode_ack):
        try:
            read(junk)
        except wire.WireError as error:
            assert str(error)


def test_a_zstd_bomb_is_refused_before_it_unfolds() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(wire.MAX_PAYLOAD_BYTES + 1))
    with pytest.raises(wire.WireError, match="at most"):
        wire.unpack(bomb)


def test_columns_of_the_wrong_length_are_refused() -> None:
    good = sweep([1.0, 2.0])
    short = msgspec.structs.replace(good, columns=good.columns | {"power_mw": b"\0\0\0\0"})
    for bad in (short, msgspec.structs.replace(good, devices=b"odd")):
        with pytest.raises(wire.WireError, match="sweep"):
            wire.unpack(wire.pack([bad]))


def test_ack_and_topic_come_back() -> None:
    assert wire.decode_ack(wire.encode_ack(7, b"h" * 32)) == wire.Ack(1, 7, b"h" * 32)
    assert wire.parse_topic(wire.topic("o", "s", "a", "ack")) == ("o", "s", "a", "ack")
    for bad in ("hashledger/v2/o/s/a/ack", "hashledger/v1/o/s/a", "hashledger/v1/o/[red]/\033/ack", "x"):
        with pytest.raises(wire.WireError):
            wire.parse_topic(bad)


def test_every_origin_and_state_of_a_reading_has_its_place_on_the_wire() -> None:
    assert set(wire.ORIGINS) == {None, *PowerOrigin}
    assert set(wire.STATES) == set(State)
    assert all(isinstance(kind.value, str) for kind in FailureKind)
