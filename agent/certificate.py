"""The agent's TLS key and certificate: one file, made on site, replaced whole when it is renewed.

STATE/tls.pem       private key and certificate together: no moment in which they do not fit
STATE/tls.next.key  the key of a request that is under way; kept until its certificate has come
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent import keys, private

FILE, NEXT_KEY_FILE = "tls.pem", "tls.next.key"


class CertificateError(Exception):
    """A certificate cannot be taken; the text says why."""


def request(folder: Path, name: str) -> bytes:
    """A certificate request (DER) for the next TLS key, which is made where none is under way."""
    path = folder / NEXT_KEY_FILE
    if not path.exists():
        private.write(path, keys.private_pem(ec.generate_private_key(ec.SECP256R1())))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder(subject)
    made = builder.sign(_next_key(folder), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)


def install(folder: Path, certificate: str) -> datetime:
    """Put a certificate (PEM) for the next key in place; until when it is good. CertificateError if not."""
    try:
        made = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError as error:
        raise CertificateError(f"not a certificate: {error}") from error
    if not (folder / NEXT_KEY_FILE).exists():
        raise CertificateError("a certificate that was not asked for")
    key = _next_key(folder)
    if made.public_key() != key.public_key():
        raise CertificateError("a certificate for another key")
    private.write(folder / FILE, keys.private_pem(key) + certificate.encode())
    (folder / NEXT_KEY_FILE).unlink()
    return made.not_valid_after_utc


def is_due(path: Path, now: datetime) -> bool:
    """True if less than a third of the certificate's life is left: a year leaves four months for retries."""
    held = x509.load_pem_x509_certificate(private.read(path))
    life = held.not_valid_after_utc - held.not_valid_before_utc
    return held.not_valid_after_utc - now < life / 3


def serial(path: Path) -> str:
    """The serial number of the certificate in a file, in hexadecimal."""
    return f"{x509.load_pem_x509_certificate(private.read(path)).serial_number:x}"


def now() -> datetime:
    """The clock, as certificates write time."""
    return datetime.now(UTC)


def _next_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    path = folder / NEXT_KEY_FILE
    try:
        key = serialization.load_pem_private_key(private.read(path), password=None)
    except ValueError as error:
        raise CertificateError(f"{path}: not a private key in PEM form; delete it ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path}: not an ECDSA key; delete it")
    return key
