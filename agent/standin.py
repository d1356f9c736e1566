"""What stands for an identity: one fake for each, of the same shape, put in whatever spelling it was seen."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import re
import urllib.parse
from dataclasses import dataclass
from enum import Enum

from agent.payout import payee

TEST_ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # published in BIP 173: nobody's
ACCOUNT = "farmuser"
DROPPED = "dropped"

# Shorter names are replaced only where they stand: a user of "ab" is in half of all words.
MIN_ANYWHERE = 4
# From here on a match inside a longer word counts too; below it would hit what has nothing to do with it.
MIN_INSIDE = 6


class Kind(Enum):
    """What an identity is; the value is how the account of a redaction calls it."""

    MAC = "MAC address(es) -> locally administered 02:.. ones"
    SERIAL = "serial number(s) or unique id(s) -> same shape, other digits"
    ADDRESS = f"payout address(es) -> {TEST_ADDRESS}"
    USER = f"pool user(s) or e-mail address(es) -> {ACCOUNT}.workerN"
    ACCOUNT = f"account name(s) -> {ACCOUNT}"
    HOST = "host name(s) -> miner-xxxxxx"
    WIFI = "Wi-Fi name(s) -> wifi-xxxx"
    SECRET = "password(s) or token(s) dropped"  # noqa: S105 -- a label, no password


Found = dict[Kind, dict[str, None]]  # the dicts are ordered sets


def canonical(value: str) -> str:
    return re.sub(r"[^0-9a-z]", "", value.lower())


@dataclass(frozen=True, slots=True)
class Rule:
    """One identity: what it is, how it is found, and what stands for it."""

    kind: Kind
    original: str
    fake: str

    @property
    def pattern(self) -> str:
        plain = canonical(self.original)
        if self.kind is Kind.MAC:
            return r"(?:%3a|[:\-._ ])?".join(re.findall("..", plain))
        if self.kind is Kind.SERIAL:
            spelt = f"(?:{re.escape(self.original)}|{'[-:_]?'.join(plain)})"
            return _alone(spelt) if len(plain) < 2 * MIN_ANYWHERE else spelt
        spelt = "|".join(map(re.escape, sorted(_spellings(self.original), key=len, reverse=True)))
        return _alone(f"(?:{spelt})") if len(self.original) < MIN_INSIDE else f"(?:{spelt})"

    def put(self, seen: str) -> str:
        """The fake, in the spelling in which the original was seen."""
        if self.kind not in (Kind.MAC, Kind.SERIAL):
            return self.fake
        letters = iter(self.fake)
        shout = seen.upper() == seen
        out = []
        for part in re.findall(r"(?i:%3a)|[\s\S]", seen):
            if len(part) > 1 or not re.fullmatch("[0-9A-Za-z]", part):
                out.append(part)
            else:
                letter = next(letters, "0")
                out.append(letter.upper() if part.isupper() or (part.isdigit() and shout) else letter)
        return "".join(out)


def _alone(pattern: str) -> str:
    return rf"(?<![0-9A-Za-z]){pattern}(?![0-9A-Za-z])"


def _spellings(value: str) -> set[str]:
    quoted = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], value}
    return {
        *quoted,
        *(text.replace("/", r"\/") for text in quoted),
        *(text.replace('"', r"\"") for text in quoted),
        html.escape(value),
        urllib.parse.quote(value.encode("utf-8", "surrogateescape"), safe=""),
    }


class Book:
    """What stands for what; grows from round to round, and knows its own fakes again."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._rules: dict[tuple[Kind, str], Rule] = {}
        self._taken: set[str] = set()

    def add(self, found: Found) -> bool:
        """Rules for what was found and is none of ours; False if there was nothing."""
        fresh = False
        for kind, originals in found.items():
            for original in originals:
                if canonical(original) in self._taken or _OURS.fullmatch(original):
                    continue
                fresh = True
                key = kind, original.casefold()
                if key not in self._rules:
                    fake = self._fake(kind, original)
                    self._rules[key] = Rule(kind, original, fake)
                    self._taken.add(canonical(fake))
        return fresh

    def replace(self, text: str) -> str:
        """The text with every identity replaced, the longest first, in one pass: fakes are not touched."""
        if not self._rules:
            return text
        rules = sorted(self._rules.values(), key=lambda rule: len(rule.original), reverse=True)
        pattern = re.compile("|".join(f"({rule.pattern})" for rule in rules), re.IGNORECASE)
        return pattern.sub(lambda match: rules[(match.lastindex or 1) - 1].put(match.group()), text)

    def fakes(self, kind: Kind) -> tuple[str, ...]:
        """The stand-ins of a kind, as they stand in the text."""
        return tuple(r.put(r.original) for r in self._rules.values() if r.kind is kind)

    def done(self) -> tuple[str, ...]:
        counts = {kind: len(self.fakes(kind)) for kind in Kind}
        return tuple(f"{count} {kind.value}" for kind, count in counts.items() if count)

    def _fake(self, kind: Kind, original: str) -> str:
        if kind is Kind.ADDRESS:
            return TEST_ADDRESS
        if kind in (Kind.ACCOUNT, Kind.SECRET):
            return ACCOUNT if kind is Kind.ACCOUNT else DROPPED
        if kind is Kind.USER:
            paid = payee(original).address
            return f"{TEST_ADDRESS if paid else ACCOUNT}.worker{len(self.fakes(kind)) + 1}"
        taken = self._taken | {canonical(rule.original) for rule in self._rules.values()}
        attempt = 0
        while True:
            fake = _shaped(kind, original, self._salt, attempt)
            if canonical(fake) not in taken and canonical(fake) != canonical(original):
                return fake
            attempt += 1


_OURS = re.compile(rf"(?:{ACCOUNT}|{TEST_ADDRESS})(?:\.worker\d+)?|miner|wifi|{DROPPED}", re.IGNORECASE)


def _shaped(kind: Kind, original: str, salt: bytes, attempt: int) -> str:
    """A stand-in of the same shape: digits for digits, letters for letters, hexadecimal for hexadecimal."""
    plain = canonical(original)
    seed = hmac.new(salt, f"{kind.name}:{plain}:{attempt}".encode(), hashlib.sha256).digest()
    stream = hashlib.shake_256(seed).digest(len(plain) + 8)
    if kind is Kind.MAC:
        return f"02{stream[:5].hex()}"
    if kind is Kind.HOST:
        return f"miner-{stream[:3].hex()}"
    if kind is Kind.WIFI:
        return f"wifi-{stream[:2].hex()}"
    letters = "abcdef" if re.fullmatch("[0-9a-f]+", plain) else "abcdefghjklmnprstuvwxyz"
    fake = ""
    for char, byte in zip(plain, stream, strict=False):
        if char.isdigit():  # a number keeps its first digit from being 0
            fake += str(byte % 9 + 1 if not fake and char != "0" else byte % 10)
        else:
            fake += letters[byte % len(letters)]
    return fake
