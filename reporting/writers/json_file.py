"""A filing as JSON: the whole of it, amounts as text, with the hash of its canonical bytes."""

from __future__ import annotations

import msgspec

from reporting.errors import ReportingError
from reporting.filing import SIMULATED, Filing, content_hash

# Raised when a reader of the files would misunderstand them.
_FORMAT = "hashledger-filing/1"


def render(filing: Filing) -> bytes:
    """UTF-8 JSON, indented for people; when simulated its first key says so."""
    document: dict[str, object] = {SIMULATED.partition(":")[0]: SIMULATED} if filing.simulated else {}
    document |= {"format": _FORMAT, "content_hash": content_hash(filing), "filing": filing}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


class _Document(msgspec.Struct):
    format: str
    content_hash: str
    filing: Filing


def read(content: bytes) -> Filing:
    """The filing in a JSON file of ours; ReportingError when it is not one or its hash does not match."""
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportingError(f"not a filing: {error}") from error
    if document.format != _FORMAT:
        raise ReportingError(f"not a filing of format {_FORMAT}: {document.format!r}")
    if document.content_hash != content_hash(document.filing):
        raise ReportingError("the filing was changed after it was written: its content hash does not match")
    return document.filing
