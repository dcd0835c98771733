"""Certificates: TLS takes them strictly, they tell nothing, and they vouch for nobody else."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from regend.errors import Refused
from regend.sync.device import (
    Identity,
    can_seal_to,
    device_id,
    device_of_certificate,
    make_certificate,
)
from tests.sync.persons import identity

STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # the default from Python 3.13


def end(own: Identity, trusted: list[Identity], folder: Path, *, is_server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= STRICT
    file = folder / f"{own.id.hex()}.pem"
    file.write_bytes(own.pem())
    context.load_cert_chain(file)
    for one in trusted:
        context.load_verify_locations(cadata=one.certificate)
    return context


def shaken(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[bytes | None, bytes | None]:
    """Return the certificates that server and client saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server),
    ]
    for _ in range(4):
        for one in ends:
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].getpeercert(True), ends[1].getpeercert(True)


def test_strict_tls_takes_them_at_both_ends_among_other_anchors(tmp_path: Path) -> None:
    anna, ben, cara = identity("anna"), identity("ben"), identity("cara")
    server = end(anna, [cara, ben, anna], tmp_path, is_server=True)
    client = end(ben, [cara, anna, ben], tmp_path, is_server=False)
    assert shaken(server, client) == (ben.certificate, anna.certificate)


def test_tls_refuses_a_device_that_is_no_anchor(tmp_path: Path) -> None:
    anna, ben, cara = identity("anna"), identity("ben"), identity("cara")
    server = end(anna, [anna, cara], tmp_path, is_server=True)
    client = end(ben, [anna], tmp_path, is_server=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(server, client)


def test_tls_refuses_what_a_member_certifies(tmp_path: Path) -> None:
    anna, ben = identity("anna"), identity("ben")
    key = Ed25519PrivateKey.from_private_bytes(bytes(ben.signing_key))
    issued = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.load_der_x509_certificate(anna.certificate).subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .sign(Ed25519PrivateKey.from_private_bytes(bytes(anna.signing_key)), None)
    )
    posing = Identity(ben.signing_key, ben.sealing_key, issued.public_bytes(Encoding.DER))
    server = end(anna, [anna], tmp_path, is_server=True)
    client = end(posing, [anna], tmp_path, is_server=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(server, client)
    with pytest.raises(Refused):
        device_of_certificate(posing.certificate)


def test_a_certificate_is_of_its_device_and_the_same_every_time() -> None:
    anna = identity("anna")
    assert make_certificate(anna.signing_key) == anna.certificate
    assert device_of_certificate(anna.certificate) == anna.id == anna.device.id
    assert anna.id == device_id(anna.device.verify_key) and len(anna.id) == 16


def test_a_certificate_of_another_kind_of_key_is_refused() -> None:
    key, name = generate_private_key(SECP256R1()), x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(Refused) as refused:
        device_of_certificate(certificate)
    assert refused.value.code == "certificate_unfit"


def test_a_certificate_that_was_changed_or_cut_is_refused() -> None:
    whole = identity("anna").certificate
    for place in range(0, len(whole), 7):
        flipped = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        for broken in (whole[:place], flipped):
            with pytest.raises(Refused):
                device_of_certificate(broken)


def test_nothing_is_sealed_to_a_key_that_gives_the_same_secret_to_all() -> None:
    assert can_seal_to(identity("anna").device.sealing_key)
    assert not can_seal_to(bytes(32)) and not can_seal_to(b"\x01" + bytes(31))
    assert not can_seal_to(b"short")
