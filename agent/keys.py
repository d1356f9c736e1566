"""The agent's signing key: made on site, kept in a file only its owner can read, never sent anywhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE = "agent.key"


class KeyMissing(Exception):
    """No usable key at the path; the text says how to make one."""


def create(state_dir: Path) -> Ed25519PrivateKey:
    """A new Ed25519 key in `state_dir`/agent.key (mode 0600); an existing one is kept and returned."""
    path = state_dir / KEY_FILE
    if path.exists():
        return load(state_dir)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def load(state_dir: Path) -> Ed25519PrivateKey:
    """The key of `state_dir`; KeyMissing if there is none or it is no Ed25519 key."""
    path = state_dir / KEY_FILE
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise KeyMissing(f"{path}: no key here; 'hashledger agent init' makes one") from error
    except ValueError as error:
        raise KeyMissing(f"{path}: not a private key in PEM form ({error})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyMissing(f"{path}: not an Ed25519 key; move it away and run 'hashledger agent init'")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half as base64 of its 32 bytes: what the collector's configuration holds."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()
