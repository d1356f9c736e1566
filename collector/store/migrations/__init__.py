"""The steps from each released schema to the next, made with Alembic's operations.

The number of a ledger's schema is in its own table `schema_version`, which the first release has made:
Alembic's version table would say the same a second time. So there is no `alembic.ini` and no command line of
its own; `collector.store.upgrade` runs the steps in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable

from alembic.operations import Operations

from collector.store.migrations import v1, v2

# Schema -> what makes it of the one before. A step never imports the schema: that moves on, a step does not.
STEPS: dict[int, Callable[[Operations], None]] = {1: v1.upgrade, 2: v2.upgrade}
