"""Files that hold secrets: written for their owner alone, and not read when others could."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KEY_FILE = "collector.key"


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


def _forbidden(path: Path) -> int:
    # systemd hands credentials over by an access list, which shows as group bits.
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o007 if folder and path.resolve().is_relative_to(Path(folder).resolve()) else 0o077


def pem(key: PrivateKeyTypes) -> bytes:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def collector_key(state_dir: Path) -> Ed25519PrivateKey:
    """What the collector signs with; made where there is none yet. PrivateFileError if it cannot be used."""
    path = state_dir / KEY_FILE
    if not path.exists():
        write(path, pem(Ed25519PrivateKey.generate()))
    try:
        key = serialization.load_pem_private_key(read(path), password=None)
    except ValueError as error:
        raise PrivateFileError(f"{path}: not a private key in PEM form ({error})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise PrivateFileError(f"{path}: not an Ed25519 key")
    return key
