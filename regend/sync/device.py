"""What a device is to others: its keys, its certificate, and the id that follows from them. Pure.

Invariants
1. The id is a hash of the signing key: who can sign for an id is the device, and nobody can take
   another's id.
2. The certificate follows from the signing key alone and tells nothing else: no name, no owner, no
   date. It is valid in all years, because the clocks of devices are wrong.
3. It is no authority: what a device signs as a certificate is worth nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nacl.bindings import crypto_scalarmult
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from regend.errors import Refused
from regend.store.change import DEVICE_BYTES

KEY_BYTES: Final = 32
CERTIFICATE_BYTES: Final = 2048  # ours have 400; a larger one carries something else

_UNREADABLE: Final = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
)
_VALID_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)
_VALID_TO: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280: no end


@dataclass(frozen=True, slots=True)
class Device:
    """The public side of a device.

    Attributes:
        verify_key: Ed25519, raw.
        sealing_key: X25519, raw.
        certificate: DER, of the verify key.
    """

    verify_key: bytes
    sealing_key: bytes
    certificate: bytes

    @property
    def id(self) -> bytes:
        """The device id."""
        return device_id(self.verify_key)


@dataclass(frozen=True, slots=True)
class Identity:
    """The secret side of this device.

    Attributes:
        signing_key: Ed25519; whoever has it is this device.
        sealing_key: X25519; opens what is sealed to this device.
        certificate: DER.
    """

    signing_key: SigningKey
    sealing_key: PrivateKey
    certificate: bytes

    @property
    def id(self) -> bytes:
        """The device id."""
        return device_id(bytes(self.signing_key.verify_key))

    @property
    def device(self) -> Device:
        """What others may know."""
        verify_key, sealing_key = self.signing_key.verify_key, self.sealing_key.public_key
        return Device(bytes(verify_key), bytes(sealing_key), self.certificate)

    def pem(self) -> bytes:
        """Return certificate and private key as `ssl.SSLContext.load_cert_chain` reads them."""
        key = Ed25519PrivateKey.from_private_bytes(bytes(self.signing_key))
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        certificate = x509.load_der_x509_certificate(self.certificate)
        return private + certificate.public_bytes(serialization.Encoding.PEM)


def device_id(verify_key: bytes) -> bytes:
    """Return the id of the device with this Ed25519 key (invariant 1)."""
    return hashlib.sha256(verify_key).digest()[:DEVICE_BYTES]


def make_certificate(signing_key: SigningKey) -> bytes:
    """Return the self-signed certificate of a key, in DER (invariants 2 and 3).

    It has what `VERIFY_X509_STRICT` asks of a trust anchor and of both ends of a connection
    (RFC 5280). Its subject is the device id, so that no two anchors have the same.
    """
    key = Ed25519PrivateKey.from_private_bytes(bytes(signing_key))
    own_id = device_id(bytes(signing_key.verify_key))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, own_id.hex())])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(own_id, "big") | 1)
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_TO)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signatures_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
        .sign(key, None)
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def device_of_certificate(der: bytes) -> bytes:
    """Return the id of the device that a certificate is of.

    Raises:
        Refused: it is no certificate, or none that its own Ed25519 key signed.
    """
    return device_id(key_of_certificate(der))


def key_of_certificate(der: bytes) -> bytes:
    """Return the raw Ed25519 key of a certificate, which its key must have signed.

    Raises:
        Refused: it is no such certificate.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        certificate.verify_directly_issued_by(certificate)
    except _UNREADABLE as error:
        raise _refusal() from error
    if not isinstance(key, Ed25519PublicKey):
        raise _refusal()
    return key.public_bytes_raw()


def can_seal_to(sealing_key: bytes) -> bool:
    """Tell whether anything can be sealed to a key: a few of small order are none (RFC 7748)."""
    if len(sealing_key) != KEY_BYTES:
        return False
    try:
        return bool(crypto_scalarmult(b"\x01" * KEY_BYTES, sealing_key))
    except (CryptoError, ValueError):
        return False


def _signatures_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _refusal() -> Refused:
    return Refused("certificate_unfit", "The certificate is not one that a regend device makes.")
