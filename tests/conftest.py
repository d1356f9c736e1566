"""What all tests share: `both_stores` runs what asks for it once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.collector import databases

# No test asserts times, and an example that takes long on a busy machine is no failure.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def both_stores(request: pytest.FixtureRequest) -> Iterator[None]:
    databases.use(request.param)
    yield
    databases.use("sqlite")


@pytest.fixture(autouse=True)
def _databases_go_back() -> Iterator[None]:
    yield
    databases.release()


@pytest.fixture(scope="session", autouse=True)
def _server_ends() -> Iterator[None]:
    yield
    databases.end()
