"""What a capture must not tell: who the farm is. A pure function from raw answers to ones that can be shared.

First everything that identifies is found, by the name of its field (in JSON, however broken, in `KEY=value`,
`KEY[value]`, HTML forms and tables) or by its shape (MACs, payout addresses, e-mail addresses). Then each is
replaced wherever it stands, in every spelling, by the same thing of the same shape. This is done again until
nothing new is found: what is left over raises, so that nothing half-redacted is ever written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.coin_address import coins
from agent.payout import payee
from agent.standin import (
    ACCOUNT,
    DROPPED,
    MIN_ANYWHERE,
    MIN_INSIDE,
    TEST_ADDRESS,
    Book,
    Found,
    Kind,
    canonical,
)
from agent.transports import lenient

# A serial of "12" is no identity.
MIN_SERIAL = 5
MAX_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Redacted:
    """The files, what was done to them, and the identities that now stand in them."""

    files: dict[str, bytes]
    done: tuple[str, ...]
    macs: tuple[str, ...]
    serials: tuple[str, ...]
    hostnames: tuple[str, ...]


class RedactionError(Exception):
    """Something that identifies is still there after the last round."""


# Field names, lower case, letters only. A name ends with one of these.
_ENDINGS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (Kind.WIFI, ("essid", "wifiname", "ssid")),
    (
        Kind.SECRET,
        (
            "password", "passwd", "passphrase", "pass", "pwd", "pw", "token", "secret", "salt", "psk",
            "apikey", "cookie", "sessionid", "session", "jwt", "authorization", "privatekey",
        ),
    ),
    (Kind.MAC, ("mac", "macaddr", "macaddress", "hwaddr", "bssid", "macid")),
    (
        Kind.SERIAL,
        (
            "serial", "serials", "serinum", "serialno", "serialnumber", "serialnumbers", "sn", "dna", "uid",
            "uuid", "guid", "hwid", "chipid", "cpuid", "minerid", "deviceid", "machineid", "workeruniqueid",
        ),
    ),
    (
        Kind.USER,
        (
            "user", "users", "username", "account", "subaccount", "worker", "workers", "workername", "login",
            "email", "mail", "owner", "wallet", "payoutaddress", "phone",
        ),
    ),
    (Kind.HOST, ("hostname", "devicename", "hostnames")),
)  # fmt: skip
# LuxOS: what happens when a user acts, not who it is.
_NO_NAMES = ("onuser", "isuser", "byuser")
_NOBODY = frozenset(
    ("", "n/a", "na", "none", "null", "unknown", "true", "false", "default", "x", "-", "root", "admin",
     "user", "username", "worker", "password", "test", "miner", "antminer", "whatsminer", "bitaxe", "avalon",
     "braiins", "localhost", "stratum", "enabled", "disabled", "invalid", ACCOUNT, DROPPED, TEST_ADDRESS)
)  # fmt: skip

_PAIR = r"[0-9a-fA-F]{2}"
_MAC = re.compile(rf"(?<![0-9a-fA-F:])(?:{_PAIR}[:-]){{5}}{_PAIR}(?![0-9a-fA-F:]|-{_PAIR})")
_CISCO = re.compile(r"(?<![0-9a-fA-F.])(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}(?![0-9a-fA-F.])")
# An IPv6 address made of a MAC.
_EUI64 = re.compile(r"(?<![0-9a-f:])(?:[0-9a-f]{0,4}:){2,6}[0-9a-f]{0,2}ff:fe[0-9a-f]{2}:[0-9a-f]{1,4}", re.I)
_ADDRESS = re.compile(
    r"(?<![0-9A-Za-z])(?:(?i:bc|tb|ltc)1[0-9a-z]{11,87}|(?i:BC|TB|LTC)1[0-9A-Z]{11,87}|0x[0-9a-fA-F]{40}"
    r"|[132mnLMDAX79t][1-9A-HJ-NP-Za-km-z]{25,39}|(?i:bitcoincash:|kaspa:)?[qpQP][0-9A-Za-z]{41,70})"
    r"(?![0-9A-Za-z])"
)
_EMAIL = re.compile(r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9][\w-]*(?:\.[\w-]+)+")
_USERINFO = re.compile(r"(:(?:\\?/){2})[^/\s\"'\\<>]{1,200}@")
_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\u00([2-7][0-9a-fA-F])")

# Each has the groups key and value. The last three are for plain text: in a page's script they find code.
_QUOTED = re.compile(
    r"(?P<q>\\{0,3}[\"'])(?P<key>[^\"'\\\n]{1,60})(?P=q)\s{0,9}:\s{0,99}"
    r"(?:(?P<v>\\{0,3}[\"'])(?P<value>(?:(?!(?P=v))(?:\\.|[^\\\n]))*)(?P=v)|(?P<bare>-?\d{5,80}\b))"
)
_CELLS = re.compile(
    r">\s{0,20}(?P<key>[\w /.\-]{2,40}?)\s{0,20}:?\s{0,20}</[^>]{1,20}>\s{0,99}<[^>]{0,200}>\s{0,20}"
    r"(?P<value>[^<>\s][^<>\n]{0,80}?)\s{0,20}<"
)
_NAMED_INPUT = re.compile(
    r"<\w{1,20}\b[^>]{0,200}?\b(?:name|id)=[\"'](?P<key>[^\"'>]{1,60})[\"'][^>]{0,200}?\bvalue=[\"'](?P<value>[^\"'>]+)[\"']",
    re.I,
)
_EQUALS = re.compile(r"(?<![\w ])(?P<key>[A-Za-z][\w \-]{0,40})=(?P<value>[^,|&;\"'<>\s][^,|&;\"'<>\n\x00]*)")
_BRACKETS = re.compile(r"(?<!\w)(?P<key>[A-Za-z]\w{0,30})\[(?P<value>[^\[\]\n]+)\]")
_COLON = re.compile(
    r"(?m)^[ \t]{0,20}(?P<key>[A-Za-z][\w \-]{1,40}?)[ \t]{0,9}:[ \t]{1,9}(?P<value>[^\s\"'{\[].*)$"
)


def classify(key: str) -> Kind | None:
    """What a field of this name identifies, if anything."""
    name = re.sub(r"[^a-z]", "", key.lower())
    if name.endswith(_NO_NAMES):
        return None
    return next((kind for kind, endings in _ENDINGS if name.endswith(endings)), None)


def redact(files: Mapping[str, bytes], salt: bytes) -> Redacted:
    """The files without identities; `salt` is random and forgotten, or a maker's few MACs could be tried."""
    texts = {name: _simple(data.decode("utf-8", "surrogateescape")) for name, data in files.items()}
    book = Book(salt)
    for number in range(MAX_ROUNDS):
        if not book.add(_find(texts.values())) and number > 0:
            break
        texts = {name: _in_place(book.replace(text)) for name, text in texts.items()}
    else:
        raise RedactionError(f"identities are still found after {MAX_ROUNDS} rounds: nothing is kept")
    return Redacted(
        {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()},
        book.done(),
        tuple(":".join(re.findall("..", fake.lower())) for fake in book.fakes(Kind.MAC)),
        book.fakes(Kind.SERIAL),
        book.fakes(Kind.HOST),
    )


def _simple(text: str) -> str:
    """The text with fewer spellings: escapes of printable characters undone, logins out of addresses."""
    text = _ESCAPED.sub(
        lambda m: m.group() if (char := chr(int(m[2], 16))) in "\"'\\\x7f" else m[1] + char, text
    )
    return _USERINFO.sub(r"\1", _EUI64.sub("fe80::1", text))


def _patterns(text: str) -> tuple[re.Pattern[str], ...]:
    page = text.lstrip().startswith("<")
    return (_QUOTED, _CELLS, _NAMED_INPUT) if page else (_QUOTED, _EQUALS, _BRACKETS, _COLON)


def _in_place(text: str) -> str:
    """Less what goes where it stands: secrets, and names too short to look for elsewhere."""

    def put(match: re.Match[str]) -> str:
        kind, group = classify(match["key"]), "value"
        if match.re is _QUOTED and match["bare"]:
            return match.group() if kind is not Kind.SECRET else match.group().replace(match["bare"], "0")
        value = match[group] or ""
        short = len(value) < MIN_ANYWHERE and value.strip().lower() not in _NOBODY
        if not value or not (kind is Kind.SECRET or (short and kind in _SHORT)):
            return match.group()
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return match.group()[:start] + _SHORT[kind] + match.group()[end:]

    for pattern in _patterns(text):
        text = pattern.sub(put, text)
    return text


_SHORT: dict[Kind | None, str] = {
    Kind.SECRET: DROPPED,
    Kind.USER: ACCOUNT,
    Kind.HOST: "miner",
    Kind.WIFI: "wifi",
}


# ---- finding


def _find(texts: Iterable[str]) -> Found:
    found: Found = {kind: {} for kind in Kind}
    for text in texts:
        for match in (*_MAC.finditer(text), *_CISCO.finditer(text)):
            _note(found, Kind.MAC, match.group())
        for match in _ADDRESS.finditer(text):
            if _pays(match.group()):
                _note(found, Kind.ADDRESS, match.group())
        for match in _EMAIL.finditer(text):
            _note(found, Kind.USER, match.group())
        for key, value in _fields(text):
            if (kind := classify(key)) is not None:
                _note(found, kind, value)
    return found


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Names and values, of well-formed JSON and of everything that looks like a name and its value."""
    for pattern in _patterns(text):
        for match in pattern.finditer(text):
            if match["value"]:
                yield match["key"], match["value"]
            elif match.re is _QUOTED and match["bare"] and classify(match["key"]) is Kind.SERIAL:
                yield match["key"], match["bare"]
    if text.lstrip()[:1] in ("{", "["):
        try:
            document = lenient.loads(text)
        except ValueError:
            return
        yield from _leaves("", document)


def _leaves(key: str, value: object) -> Iterator[tuple[str, str]]:
    """The strings of a document, each with the name of its field or of the list that it stands in."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(str(name), part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(key, part)
    elif isinstance(value, str):
        yield key, value


def _pays(text: str) -> bool:
    """Whether a word of an address's letters is one: by its checksum, its prefix, or its mix of letters."""
    if ":" in text:
        return True
    if text[0] in "13AX79tqpQP":
        return bool(coins(text))
    prefixed = text[:2].lower() in ("bc", "tb", "lt", "0x")
    return prefixed or (text != text.lower() and text != text.upper())


def _note(found: Found, kind: Kind, value: str) -> None:
    value = value.strip()
    if value.lower() in _NOBODY:
        return
    plain = canonical(value)
    if kind is Kind.MAC:
        if re.fullmatch(r"[0-9a-f]{12}", plain):
            if len(set(plain)) > 1:  # all zeros is what a miner without a MAC says
                found[kind][plain] = None
            return
        kind = Kind.SERIAL  # a MAC with a letter too many still tells who it is
    if kind is Kind.SERIAL:
        if len(plain) >= MIN_SERIAL and len(set(plain)) > 1:
            found[kind][value] = None
    elif kind is Kind.USER and len(value) >= MIN_ANYWHERE:
        found[kind][value] = None
        account, _, address, _ = payee(value)
        if account != value and account.lower() not in _NOBODY and len(account) >= MIN_ANYWHERE:
            known = Kind.ADDRESS if address else Kind.ACCOUNT
            found[known][account] = None
    elif len(value) >= (MIN_INSIDE if kind is Kind.SECRET else MIN_ANYWHERE):
        found[kind][value] = None
