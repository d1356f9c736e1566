"""Bytes and texts that were whole, changed."""

from __future__ import annotations

from hypothesis import strategies as st

_WORDS = [
    "", "''", '"', "[", "]]", "=", "\n[", "-1", "0", "1e999", "nan", "true", "999999999999999999999",
    "2026-02-30", "..", "/dev/null", "\0", "\ufeff", "٣", "💥", ",,,,", '"\n"', "'; --", "{}", "[[site]]",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with a few of them changed, cut out or doubled."""
    cells = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, max(0, len(cells) - 1))), draw(st.integers(1, 40))
        gone = draw(st.sampled_from([0, 1, size]))
        here = bytes(cells[at : at + size])
        cells[at : at + gone] = draw(st.sampled_from([b"", here, b"\0", b"\xff" * 9]) | st.binary(max_size=9))
    return bytes(cells)


@st.composite
def rewritten(draw: st.DrawFn, whole: str) -> bytes:
    """The text with a few of its values and lines exchanged for what people and accidents write."""
    lines = whole.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        if not lines:
            break
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, value = lines[at].partition("=")
        word = draw(st.sampled_from(_WORDS) | st.text(max_size=8))
        lines[at] = draw(
            st.sampled_from(["", lines[at] * 2, word, f"{key}{equals}{word}", f"{key}{equals}{value}{word}",
                             f"{word}{equals}{value}", f'{key}{equals}"{word}"'])
        )  # fmt: skip
        if draw(st.booleans()):
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
    return "\n".join(lines).encode("utf-8", "surrogatepass")
