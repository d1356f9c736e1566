"""The error of this package: something a person can put right."""

from __future__ import annotations


class ReportingError(ValueError):
    """What was given cannot be used; the text names it and says what would be right."""
