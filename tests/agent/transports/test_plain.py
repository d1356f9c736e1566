"""The text form of the API: read as the JSON form is, whole or not at all."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.miners import fields, generic
from agent.readings import DeviceError, Locked
from agent.transports import cgminer, plain

SUMMARY = b"STATUS=S,When=1700000000,Code=11,Msg=Summary|SUMMARY,Elapsed=900,MHS 5s=620.50,MHS av=615.25|\0"
POOLS = (
    b"STATUS=S,When=1700000000,Code=7,Msg=1 Pool(s)|"
    b"POOL=0,URL=stratum+tcp://a\\,b:1,Status=Alive,User=u\\=1,Stratum Active=true,Accepted=7|\0"
)
UNIT = b"Ver[1066-19101244_f] SYSTEMSTATU[Work: In Work, Hash Board: 3 ]"
STATS = b"STATUS=S,Code=70|STATS=0,MM ID0=" + UNIT + b",MM Count=1|\0"


def test_it_is_read_as_the_json_form_is() -> None:
    found = generic.parse({"summary": cgminer.parse(SUMMARY), "pools": cgminer.parse(POOLS)}, 1)
    assert (found.hashrate_hs, found.uptime_s) == (pytest.approx(620.5e6), 900)
    pool = found.pools[0]
    assert (pool.url, pool.user, pool.active, pool.accepted) == ("stratum+tcp://a,b:1", "u=1", True, 7)


def test_commas_within_brackets_belong_to_the_value() -> None:
    row = fields.rows(cgminer.parse(STATS), "STATS")[0]
    assert row["MM ID0"].endswith("SYSTEMSTATU[Work: In Work, Hash Board: 3 ]") and row["MM Count"] == "1"


def test_a_refusal_is_a_refusal() -> None:
    with pytest.raises(Locked):
        cgminer.checked(cgminer.parse(b"STATUS=E,When=1,Code=45,Msg=Access denied to 'pools' command|\0"))


@pytest.mark.parametrize("reply", [SUMMARY, POOLS, STATS])
def test_every_cut_is_an_error_or_sections_less(reply: bytes) -> None:
    whole = cgminer.parse(reply)
    for length in range(1, len(reply) - 1):
        try:
            cut = cgminer.parse(reply[:length])
        except DeviceError:
            continue
        assert cut == {"STATUS": whole["STATUS"]} or cut == whole


@given(st.text(alphabet="STATUS=,|[]\\ab1\0", max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(ValueError):
        plain.loads(plain.START + text)
