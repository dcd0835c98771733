"""Devices for tests: keys and certificates as a home has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from regend.sync.device import Identity, device_of_certificate, make_certificate
from regend.sync.tls import Credentials


@dataclass(frozen=True)
class Device:
    credentials: Credentials

    @property
    def id(self) -> bytes:
        return self.credentials.device

    @property
    def certificate(self) -> bytes:
        return self.credentials.certificate


def make_device(folder: Path, *, expired: bool = False) -> Device:
    """Make a device with new keys, perhaps one whose certificate ended long ago."""
    key = SigningKey.generate()
    certificate = _expired(key) if expired else make_certificate(key)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "certificate.der").write_bytes(certificate)
    (folder / "tls.pem").write_bytes(Identity(key, PrivateKey.generate(), certificate).pem())
    return read_device(folder)


def read_device(folder: Path) -> Device:
    """Return the device that `make_device` made in a folder."""
    certificate, file = (folder / "certificate.der").read_bytes(), folder / "tls.pem"
    return Device(Credentials(device_of_certificate(certificate), certificate, file, file))


def _expired(signing_key: SigningKey) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(bytes(signing_key))
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2001, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2002, 1, 1, tzinfo=UTC))
        .sign(key, None)
    )
    return made.public_bytes(Encoding.DER)
