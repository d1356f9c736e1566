"""Single fields of replies: each function gives the value, or None where the bytes hold none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import isfinite
from sys import intern
from typing import Any, NamedTuple

import msgspec

from agent.miners import hardware
from agent.readings import Pool, PowerOrigin, ProtocolError, Reading, State
from agent.transports.cgminer import Json

EXPECTED = (
    "hashrate_hs",
    "power_w",
    "make",
    "model",
    "firmware",
    "mac",
    "serial",
    "uptime_s",
    "state",
    "pools",
)
# A poll without these is a sweep: they change once in months and cost connections to read.
RARE = ("make", "model", "firmware", "mac", "serial")

# One of these must have been read for a poll to count; maker and state follow from the others.
_EVIDENCE = ("uptime_s", "power_w", "pools", "mac", "model", "firmware", "chip_temps_c", "board_temps_c")

# What a mean over these still shows of a unit that has stopped since.
_LONG_WINDOWS = ("5m", "10m", "15m", "30m", "1h", "since start")

_PLACEHOLDERS = {"", "n/a", "na", "null", "none", "unknown", "undefined", "-", "--", "(null)"}
_NUMERIC = (int, float, str)
_REPLACED = "\ufffd"  # what the decoder puts where the bytes were no UTF-8
_PADDING = re.compile(r"0{8,}")  # real serials hold no run of eight zeros, padded ones do at an end
_COUNTING = "0123456789" * 4  # what a maker's test tool writes where no serial was set
MAX_POWER_W = 100_000  # five times the largest machine: beyond it a field is something else
MAX_TEMPERATURE_C = 200  # solder melts before
MAX_TEXT = 256  # the longest pool user seen has 90 characters
MAX_ROWS = 64  # pools, boards and the like; no device has a quarter of it
EXACT = 1 << 53  # a count beyond it is read as the float that it mostly was on the way
STARTING_S = 300  # boards are up and tuned within five minutes: until then no rate is no idleness
MAX_UPTIME_S = 10 * 365 * 86_400  # a counter beyond ten years is a clock, not an uptime
EARLIEST_S = 1_230_768_000  # 2009: before bitcoin's first block nobody found a share
_NO_WORK = ("Dead", "Disabled", "Unreachable")
FEE_POOL = "devfee"  # what VNish puts in the place of the address
_AGO = re.compile(r"(\d{1,6}):(\d\d):(\d\d)")
_MAKERS = {
    "antminer": "Bitmain",
    "whatsminer": "MicroBT",
    "avalonminer": "Canaan",
    "braiins": "Braiins",
    "blockminer": "ePIC",
    "hammer": "Hammer",
    "volcminer": "VolcMiner",
    "goldshell": "Goldshell",
    "innosilicon": "Innosilicon",
}


def number(value: object) -> float | None:
    """A finite number, also one written as text."""
    if type(value) is float:  # asked a hundred times a reading, and nearly always of a float or an int
        return value if isfinite(value) else None
    if type(value) is int and -EXACT < value < EXACT:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, _NUMERIC):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def whole(value: object) -> int | None:
    """A count: a number of zero or more without a fraction."""
    if type(value) is int and 0 <= value < EXACT:
        return value
    found = number(value)
    return int(found) if found is not None and found >= 0 and found == int(found) else None


def flag(value: object) -> bool | None:
    """True or false, also as 1 or 0 and as text."""
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "y": True, "false": False, "0": False, "n": False}.get(
        str(value).strip().lower()
    )


def text(value: object) -> str | None:
    """Readable text that says something; placeholders and undecodable bytes are None."""
    return _text(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)  # a model, a pool and its states are the same at every poll of every device
def _text(value: str) -> str | None:
    found = line(value)
    return None if found is None or found.lower() in _PLACEHOLDERS else found


def line(value: object) -> str | None:
    """Any readable text, an empty one too, without control characters (and so without half characters)."""
    if not isinstance(value, str) or _REPLACED in value or len(value) > MAX_TEXT:
        return None
    if value.isprintable():
        return value.strip()
    return "".join(sign for sign in value if sign.isprintable()).strip()


def mac(value: object) -> str | None:
    """A unicast MAC, lower case with colons; None for zeros, broadcast and anything that is not hex."""
    bare = re.sub(r"[:\-.\s]", "", value) if isinstance(value, str) else ""
    if not re.fullmatch(r"[0-9a-fA-F]{12}", bare) or set(bare.lower()) <= {"0"} or set(bare.lower()) == {"f"}:
        return None
    return ":".join(bare[at : at + 2] for at in range(0, 12, 2)).lower()


def serial(value: object) -> str | None:
    """A serial that tells one unit from another; None for padding and placeholders."""
    found = text(value)
    if found is None or len(set(found)) < 3 or (len(found) > 7 and found in _COUNTING):
        return None
    padded = _PADDING.match(found) or _PADDING.match(found[::-1])
    return None if padded else found


def named(value: object) -> tuple[str | None, str | None]:
    """Maker and model of a name as other firmware writes it: "AntMiner S19 XP", "Bitmain Antminer S9"."""
    words = (text(value) or "").split()
    if words and words[0].lower() in ("bitmain", "epic", "microbt"):
        words = words[1:]
    if not words:
        return None, None
    if known := hardware.find(" ".join(words)):
        return known.maker, known.name
    if words[0].lower() == "antminer":
        words[0] = "Antminer"
    return _MAKERS.get(words[0].lower()), " ".join(words)


def power(value: object) -> float | None:
    """Watts, with or without the unit behind them. A device that answers draws more than 0 W."""
    if isinstance(value, str):
        value = re.sub(r"\s*[wW]\s*$", "", value)
    found = number(value)
    return found if found is not None and 0 < found <= MAX_POWER_W else None


def uptime(value: object) -> int | None:
    """Whole seconds since start."""
    found = number(value)
    return int(found) if found is not None and 0 <= found <= MAX_UPTIME_S else None


def warming(state: State, uptime_s: int | None) -> State:
    """The state; where it was concluded from a rate of zero, that says nothing in the first minutes."""
    fresh = state is State.IDLE and uptime_s is not None and uptime_s < STARTING_S
    return State.STARTING if fresh else state


def temperatures(values: Iterable[object]) -> tuple[float, ...]:
    """The readings that a working sensor can give (0 stands for a sensor that is not there)."""
    return tuple([t for value in values if (t := number(value)) is not None and 0 < t < MAX_TEMPERATURE_C])


def speeds(values: Iterable[object]) -> tuple[int, ...]:
    """Fan speeds in rpm; 0 is left out, for unused headers report it as well as stopped fans."""
    found = [rpm for value in values if (rpm := number(value)) is not None and 0 < rpm < 100_000]
    return tuple([int(rpm) for rpm in found])


def rows(reply: Json | None, key: str) -> list[Json]:
    """The objects in the list under `key`, or the one object there."""
    found = reply.get(key) if reply else None
    if isinstance(found, list):
        return [row for row in found[:MAX_ROWS] if isinstance(row, dict)]
    return [found] if isinstance(found, dict) else []


def part(reply: Json | None, key: str) -> Json:
    """The object under `key`, or an empty one."""
    found = (reply or {}).get(key)
    return found if isinstance(found, dict) else {}


def first(row: Mapping[str, Any], *keys: str) -> Any:
    """The value of the first key that is there."""
    for key in keys:
        if key in row:
            return row[key]
    return None


def pools(reply: Json | None, *, full: bool = True) -> tuple[tuple[Pool, ...], str | None]:
    """The configured pools of a cgminer `pools` reply, and why some or all could not be read.

    With `full` also the difficulties of their shares and how long ago the last one was.
    """
    if reply is None:
        return (), "not in the replies"
    found, broken = [], 0
    when_s = _when_s(reply) if full else None
    for row in rows(reply, "POOLS"):
        named = _names(tuple(row))
        told: Callable[[Any], Any] = row.get
        if told(named.url) == "":
            continue  # an empty slot
        url, user = text(told(named.url)), line(told(named.user))
        if url is None or user is None:
            broken += 1
            continue
        active = None if text(told(named.status)) not in _NO_WORK else False
        accepted = whole(told(named.accepted))
        more = _share_details(told, named, accepted, when_s) if full else {}
        found.append(
            Pool(
                intern(url),  # the same few texts, over all devices and from sweep to sweep
                intern(user),
                flag(told(named.stratum_active)) if active is None else active,
                whole(told(named.priority)),
                accepted,
                whole(told(named.rejected)),
                whole(told(named.stale)),
                True if url.lower() == FEE_POOL else None,
                **more,
            )
        )
    reason = f"{broken} of the pools cannot be read" if broken else None
    return tuple(found), reason or (None if found else "the device lists no pool")


def only_source(listed: tuple[Pool, ...]) -> tuple[Pool, ...]:
    """The pools of a device that hashes, where none is said to give the work: the one that must.

    That is the only one alive; of several, the first, if no other of them ever took a share.
    """
    alive = [pool for pool in listed if pool.active is not False]
    if not alive or any(pool.active for pool in alive):
        return listed
    if len(alive) > 1 and [pool for pool in alive if pool.accepted != 0] != alive[:1]:
        return listed
    return tuple(msgspec.structs.replace(pool, active=pool is alive[0]) for pool in listed)


def difficulty(value: object) -> float | None:
    """A sum of share difficulties."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def share_age(value: object, when_s: float | None) -> int | None:
    """Seconds since the last share: "0:00:03" says it, an instant is compared with the reply's own.

    Both instants are the device's: its clock may be wrong, their difference is right. Zero is no share yet.
    """
    if isinstance(value, str) and (ago := _AGO.fullmatch(value.strip())):
        hours, minutes, seconds = map(int, ago.groups())
        return 3600 * hours + 60 * minutes + seconds
    at_s = number(value)
    if at_s is None or when_s is None or not EARLIEST_S < at_s <= when_s:
        return None
    return int(when_s - at_s)


def _when_s(reply: Json) -> float | None:
    """The instant of a reply by the device's clock, in seconds since 1970."""
    status = next(iter(rows(reply, "STATUS")), reply)
    return number(first(status, "When", "when"))


class _Names(NamedTuple):
    """What a firmware calls the fields of a pool's row; None for one that it has not."""

    url: str | None
    user: str | None
    status: str | None
    stratum_active: str | None
    priority: str | None
    accepted: str | None
    rejected: str | None
    stale: str | None
    difficulty_accepted: str | None
    difficulty_rejected: str | None
    difficulty_stale: str | None
    last_share_time: str | None


@lru_cache(maxsize=128)  # firmwares have a dozen such rows between them
def _names(keys: tuple[str, ...]) -> _Names:
    """The names in a row of these keys: `Stratum Active`, `stratum_active` and the like are one."""
    plain = {key.lower().replace("_", " "): key for key in keys}
    found = {field: plain.get(field.replace("_", " ")) for field in _Names._fields}
    found["priority"] = first(plain, "priority", "pool", "index")
    return _Names(**found)


def _share_details(
    told: Callable[[Any], Any], named: _Names, accepted: int | None, when_s: float | None
) -> dict[str, Any]:
    """What a pool's row tells of its shares beyond their counts."""
    return {
        "difficulty_accepted": difficulty(told(named.difficulty_accepted)),
        "difficulty_rejected": difficulty(told(named.difficulty_rejected)),
        "difficulty_stale": difficulty(told(named.difficulty_stale)),
        # Without a share some write "0:00:00".
        "last_share_age_s": share_age(told(named.last_share_time), when_s) if accepted else None,
    }


def build(
    family: str,
    observed_us: int,
    values: Mapping[str, Any],
    unknown: Mapping[str, str],
    *,
    full: bool,
    failed: Mapping[str, str] | None = None,
) -> Reading:
    """The reading of the values that were read; every expected field without one gets a reason.

    Replies that parse and hold nothing of the device are no reading: ProtocolError.
    """
    if not any(values.get(name) for name in _EVIDENCE) and values.get("hashrate_hs") is None:
        raise ProtocolError(f"answered, but with nothing that a device of the {family} family says")
    known = {key: value for key, value in values.items() if value is not None}
    still = known.get("state", State.UNKNOWN) not in (State.MINING, State.UNKNOWN)
    if still and known.get("hashrate_hs") and known.get("hashrate_window") in _LONG_WINDOWS:
        del known["hashrate_hs"], known["hashrate_window"]
        unknown = {**unknown, "hashrate_hs": "it stands still, and only a mean of longer was told"}
    if known.get("power_w") is None:
        known.pop("power_origin", None)
    reasons = dict(unknown)
    failures = "; ".join([f"{name}: {why}" for name, why in failed.items()]) if failed else ""
    for name in EXPECTED:
        value = known.get(name)
        if value is not None and value is not State.UNKNOWN and value != ():
            if name != "pools":  # of which some may be unread
                reasons.pop(name, None)
            continue
        if name in reasons:
            continue
        if not full and name in RARE:
            reasons[name] = "not asked in a sweep"
        else:
            reasons[name] = f"not in the replies ({failures})" if failures else "not in the replies"
    return Reading(observed_us=observed_us, family=family, unknown=_shared(tuple(reasons.items())), **known)


@lru_cache(maxsize=1024)  # what a family does not tell is the same for all its devices: nobody changes it
def _shared(reasons: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return {name: reason[:MAX_TEXT] for name, reason in reasons}


def measured(watts: object, origin: PowerOrigin) -> tuple[float | None, PowerOrigin | None]:
    """The watts with their origin, or neither."""
    found = power(watts)
    return (found, origin) if found is not None else (None, None)
