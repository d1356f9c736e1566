"""The agent's signing key: made on site, kept in a file only its owner can read, never sent anywhere."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from agent import private

KEY_FILE = "agent.key"


class KeyMissing(Exception):
    """No usable key at the path; the text says how to make one."""


def create(state_dir: Path) -> Ed25519PrivateKey:
    """A new Ed25519 key in `state_dir`/agent.key (mode 0600); an existing one is kept and returned."""
    path = state_dir / KEY_FILE
    if path.exists():
        return load(state_dir)
    key = Ed25519PrivateKey.generate()
    private.write(path, private_pem(key))
    return key


def load(state_dir: Path) -> Ed25519PrivateKey:
    """The key of `state_dir`; KeyMissing if there is none, others can read it, or it is no Ed25519 key."""
    path = state_dir / KEY_FILE
    try:
        if not path.exists():
            raise KeyMissing(f"{path}: no key here; 'hashledger agent init' makes one")
        key = serialization.load_pem_private_key(private.read(path), password=None)
    except private.PrivateFileError as error:
        raise KeyMissing(str(error)) from error
    except ValueError as error:
        raise KeyMissing(f"{path}: not a private key in PEM form ({error})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyMissing(f"{path}: not an Ed25519 key; move it away and run 'hashledger agent init'")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half as base64 of its 32 bytes: what the collector's configuration holds."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def private_pem(key: PrivateKeyTypes) -> bytes:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
