"""Whatever a person's file holds, it is taken or refused with a text: no other error, and no endless work."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import config as agent_config
from agent import decisions
from collector import config as collector_config
from collector import roll
from collector.private import PrivateFileError
from collector.sample import SAMPLE
from collector.sources import statements
from collector.sources.declared import read_declared
from collector.sources.statements import StatementError
from reporting import facts_json
from reporting.errors import ReportingError
from tests.collector.support import T0
from tests.fuzz import EXAMPLES
from tests.fuzz.mutate import mutated, rewritten
from tests.reporting.sample import ru_facts

STATEMENT = """\
external_id,received_at,coin,amount,address,address_kind,pool,network,txid
p-1,2026-09-01T00:10:00Z,BTC,0.00012345,bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4,onchain,a pool,bitcoin,
p-2,2026-09-02T00:10:00+03:00,BTC,1,account-1,pool_account,a pool,,
"""
DECLARED = (
    "serial,product_id,condition,licensed,acquisition_date\nS1,2720000000001,functional,true,2024-05-01\n"
)
DECISIONS = msgspec.json.encode([decisions.Split(T0, "10.0.0.9", b"d" * 16, b"e" * 16, "swapped")]).decode()
SAMPLES: dict[str, tuple[str, Callable[[Path], object], tuple[type[Exception], ...]]] = {
    "agent": (
        agent_config.sample("acme", "north", ["10.0.0.0/24"], "127.0.0.1:1883"),
        agent_config.load,
        (agent_config.ConfigError,),
    ),
    "collector": (SAMPLE, collector_config.load, (collector_config.ConfigError,)),
    "declared": (DECLARED, read_declared, ()),
    "statement": (STATEMENT, lambda path: statements.parse(path.read_bytes(), T0), (StatementError,)),
    "decisions": (DECISIONS, decisions.load, (decisions.DecisionsError,)),
    "roll": (
        '{"members": [], "pending": []}',
        lambda path: roll.load(path.parent),
        (roll.RollError, PrivateFileError),
    ),
    "facts": (
        facts_json.encode_facts(ru_facts()).decode(),
        lambda path: facts_json.decode_facts(path.read_bytes()),
        (ReportingError,),
    ),
}
NAMES = {"roll": roll.FILE}


def test_every_sample_is_taken_as_it_is(tmp_path: Path) -> None:
    for name, (whole, load, _) in SAMPLES.items():
        path = tmp_path / NAMES.get(name, name)
        path.write_text(whole, "utf-8")
        path.chmod(0o600)
        load(path)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_file_is_taken_or_refused_in_words(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, load, errors = SAMPLES[name]
    path = tmp_path_factory.getbasetemp() / f"{os.getpid()}-{name}" / NAMES.get(name, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.draw(rewritten(whole) | mutated(whole.encode()) | st.binary(max_size=80)))
    path.chmod(0o600)
    with suppress(*errors):
        load(path)
