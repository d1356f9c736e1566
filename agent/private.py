"""Files that hold secrets: written for their owner alone, and not read when others could."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


class PrivateFileError(Exception):
    """A secret's file cannot be used; the text names it and says what would be right."""


def write(path: Path, content: bytes) -> None:
    """The file whole, on the disk and for its owner alone (0600), or not at all; an old one is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A new file under a name that nobody can foresee: in a shared folder one might lie in wait.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check(path: Path) -> None:
    """PrivateFileError if the file is not there, or others than its owner may read or change it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise PrivateFileError(f"{path}: {error.strerror}") from error
    if mode & _forbidden(path):
        raise PrivateFileError(f"{path}: mode {mode:04o}: others can read it; chmod 600 {path}")


def read(path: Path) -> bytes:
    """A secret; PrivateFileError as of `check`."""
    check(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise PrivateFileError(f"{path}: {error.strerror}") from error


def credential(name: str) -> Path:
    """Where systemd has put a credential (`LoadCredential=`); PrivateFileError outside such a service."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise PrivateFileError(f"credential {name!r}: only a service with LoadCredential={name}:... has it")
    return Path(folder) / name


def _forbidden(path: Path) -> int:
    # systemd hands credentials over by an access list, which shows as group bits.
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o007 if folder and path.resolve().is_relative_to(Path(folder).resolve()) else 0o077
