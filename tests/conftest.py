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
def both_stores(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    databases.use(kind)
    return kind


@pytest.fixture(autouse=True)
def _databases(request: pytest.FixtureRequest) -> Iterator[None]:
    # Not as long as `both_stores` lives: tests of the same module that do without it run in between.
    asked = "both_stores" in request.fixturenames
    databases.use(request.getfixturevalue("both_stores") if asked else "sqlite")
    yield
    databases.release()


@pytest.fixture(scope="session", autouse=True)
def _server_ends() -> Iterator[None]:
    yield
    databases.end()
