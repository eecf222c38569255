"""The sandbox's own certificate authority, and a certificate for each edge."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.sandbox.layout import EDGE, Stack, write

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder

_AUTHORITY_DAYS = 3650
_LEAF_DAYS = 397  # the longest that browsers accept
_RENEW_DAYS = 30


def authority(root: Path) -> Path:
    """The certificate of the sandbox's authority."""
    return root / "authority" / "certificate.pem"


def create(stack: Stack) -> None:
    """Make the authority, and the edge's ``certificate.pem`` and ``key.pem``, where missing or about to expire."""
    key, certificate = stack.edge / "key.pem", stack.edge / "certificate.pem"
    authority_key, authority_certificate = _authority(stack.root)
    if key.is_file() and certificate.is_file() and _lasts(certificate):
        return
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    own = _new_key()
    names = [x509.IPAddress(ipaddress.ip_address(EDGE)), x509.DNSName(stack.host), x509.DNSName("localhost")]
    builder = (
        _builder(stack.host, own, _LEAF_DAYS)
        .issuer_name(authority_certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    _save(own, key, _sign(builder, authority_key), certificate)


def _authority(root: Path) -> tuple[EllipticCurvePrivateKey, Certificate]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate, key = authority(root), authority(root).with_name("key.pem")
    if not (certificate.is_file() and key.is_file()):
        own = _new_key()
        builder = (
            _builder("Runbook sandbox authority", own, _AUTHORITY_DAYS)
            .issuer_name(_name("Runbook sandbox authority"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        )
        _save(own, key, _sign(builder, own), certificate)
    loaded = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, EllipticCurvePrivateKey)
    return loaded, x509.load_pem_x509_certificate(certificate.read_bytes())


def _lasts(certificate: Path) -> bool:
    from cryptography import x509

    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.not_valid_after_utc > datetime.now(UTC) + timedelta(days=_RENEW_DAYS)


def _builder(name: str, key: EllipticCurvePrivateKey, days: int) -> CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _sign(builder: CertificateBuilder, key: EllipticCurvePrivateKey) -> Certificate:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _save(key: EllipticCurvePrivateKey, key_path: Path, certificate: Certificate, certificate_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(key_path, secret.decode())
    write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM).decode(), mode=0o644)
