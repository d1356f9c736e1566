"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# No test asserts times, and an example that takes long on a busy machine is no failure.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
