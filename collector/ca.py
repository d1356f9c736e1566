"""The farm's small certificate authority: ECDSA P-256, its key in the state folder, nothing ever fetched.

It certifies the broker, the collector's own session, and the agents; the common name is the broker's user
name and thereby the key to topic rights: ORG/SITE/AGENT, ORG/collector, enroll/ID.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector import private

PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey

KEY_FILE, CERTIFICATE_FILE = "ca.key", "ca.crt"
# The authority outlives the farm's machines; it has no successor yet, see SECURITY.md.
CA_DAYS = 7300
# Agents renew by themselves when a third is left: four months in which a link may be down.
CLIENT_DAYS = 365
# `broker-config` renews it when a third is left; 825 days are what the strictest clients take.
SERVER_DAYS = 825
# Boxes start with a clock that is off by minutes.
BACKDATE = timedelta(minutes=10)


class CaError(Exception):
    """The authority cannot be used, or must not sign this; the text says why."""


@dataclass(frozen=True)
class Authority:
    """The key that signs and the certificate that everyone trusts."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return pem(self.certificate)


def open_authority(folder: Path, org: str, now: datetime) -> Authority:
    """The authority in `folder`, made where there is none yet; CaError if it cannot be used."""
    key_path, path = folder / KEY_FILE, folder / CERTIFICATE_FILE
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        made = _root(key, f"{org} hashledger CA", now)
        private.write(key_path, private.pem(key))
        private.write(path, pem(made).encode())  # last: with it the authority is complete
    try:
        loaded = serialization.load_pem_private_key(private.read(key_path), password=None)
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise CaError(f"{folder}: {KEY_FILE} or {CERTIFICATE_FILE} is not PEM: {error}") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != certificate.public_key():
        raise CaError(f"{folder}: {KEY_FILE} is not the key of {CERTIFICATE_FILE}")
    return Authority(loaded, certificate)


def issue_client(
    authority: Authority, name: str, public_key: PublicKey, now: datetime, until: datetime | None = None
) -> x509.Certificate:
    """A certificate with which `name` may connect to the broker."""
    until = until or now + timedelta(days=CLIENT_DAYS)
    builder = _leaf(authority, name, public_key, now, until, ExtendedKeyUsageOID.CLIENT_AUTH)
    return builder.sign(authority.key, hashes.SHA256())


def issue_server(
    authority: Authority, hosts: Sequence[str], public_key: PublicKey, now: datetime
) -> x509.Certificate:
    """The broker's certificate, for every name and address that agents and collector reach it by."""
    until = now + timedelta(days=SERVER_DAYS)
    builder = _leaf(authority, hosts[0][:64], public_key, now, until, ExtendedKeyUsageOID.SERVER_AUTH)
    return builder.add_extension(host_names(hosts), critical=False).sign(authority.key, hashes.SHA256())


def host_names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    """Names and addresses as a server's certificate bears them."""
    return x509.SubjectAlternativeName([_general_name(host) for host in hosts])


def revocation_list(authority: Authority, serials: Iterable[int], now: datetime) -> bytes:
    """The CRL as PEM. It does not run out before the authority: a stale one would lock out every agent."""
    builder = x509.CertificateRevocationListBuilder()
    builder = builder.issuer_name(authority.certificate.subject).last_update(now - BACKDATE)
    builder = builder.next_update(authority.certificate.not_valid_after_utc)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    builder = builder.add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def csr_key(csr: bytes) -> PublicKey:
    """The public key of a certificate request (DER) that its own key has signed; CaError for any other."""
    try:
        request = x509.load_der_x509_csr(csr)
        valid, key = request.is_signature_valid, request.public_key()
    except Exception as error:  # what a stranger's request breaks in the parser has many types
        raise CaError(f"certificate request: {error}") from error
    if not valid:
        raise CaError("certificate request: not signed with its own key")
    if isinstance(key, Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise CaError("certificate request: the key is neither ECDSA P-256 nor Ed25519")


def pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """True if less than a third of the certificate's life is left."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life / 3


def instant(at_us: int) -> datetime:
    """Microseconds UTC as certificates write time."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC)


def _root(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> x509.Certificate:
    subject = _name(name[:64])
    builder = _builder(subject, subject, key.public_key(), now, now + timedelta(days=CA_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(own, critical=False).sign(key, hashes.SHA256())


def _leaf(
    authority: Authority,
    name: str,
    key: PublicKey,
    now: datetime,
    until: datetime,
    purpose: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    builder = _builder(authority.certificate.subject, _name(name), key, now, until)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return builder.add_extension(issuer, critical=False)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: PublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return builder.not_valid_before(min(now, until) - BACKDATE).not_valid_after(until)


def _name(common_name: str) -> x509.Name:
    if len(common_name) > 64:  # X.520's bound
        raise CaError(f"{common_name}: a certificate's name holds 64 characters, choose shorter ones")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, key_cert_sign=key_cert_sign, crl_sign=crl_sign,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
