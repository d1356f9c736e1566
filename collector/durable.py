"""Files that are on the disk under their name, or not there."""

from __future__ import annotations

import os
from pathlib import Path


def settle(draft: Path, target: Path) -> None:
    """A finished draft on the disk, under its name; what had that name is replaced."""
    sync(draft)
    draft.replace(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """A file's content, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
