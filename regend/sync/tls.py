"""TLS 1.3 between devices: both sides show a certificate, and the roster decides whose will do.

No authority is asked: the certificates of the living members are themselves the only trust anchors,
and each device's is self-signed with its Ed25519 key. Names and dates in them count for nothing: a
device is its key, and one whose clock is wrong must be able to come home.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from regend.errors import Failed, Refused
from regend.sync.device import device_of_certificate

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who this device is on a connection.

    Attributes:
        device: its id.
        certificate: DER.
        certificate_file: the same as PEM.
        key_file: its private key as PEM; the ssl module reads keys from files only.
    """

    device: bytes
    certificate: bytes
    certificate_file: Path
    key_file: Path


def server_context(credentials: Credentials, members: Iterable[bytes]) -> ssl.SSLContext:
    """Return the context of the one port: members show a certificate, newcomers have none yet.

    Args:
        members: certificates (DER) of the living members.

    Raises:
        Failed: `identity_unusable`.
        Refused: `certificate_unfit`.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0  # every connection shows its certificate anew
    _identify(context, credentials)
    _trust(context, members)
    return context


def member_context(credentials: Credentials, certificate: bytes) -> ssl.SSLContext:
    """Return the context for calling one member: only its own certificate (DER) will do.

    Raises:
        Failed: `identity_unusable`.
        Refused: `certificate_unfit`.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    _identify(context, credentials)
    _trust(context, [certificate])
    return context


def newcomer_context() -> ssl.SSLContext:
    """Return the context for pairing: any certificate will do, and the pairing confirms it."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def _identify(context: ssl.SSLContext, credentials: Credentials) -> None:
    try:
        context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    except (OSError, ssl.SSLError) as error:
        raise Failed(
            "identity_unusable",
            f"The keys of this device cannot be used: {error.strerror or error}.",
            hint="Restore the folder `keys` from a backup, or pair this device anew.",
        ) from error


def _trust(context: ssl.SSLContext, certificates: Iterable[bytes]) -> None:
    for certificate in certificates:
        device_of_certificate(certificate)
        try:
            context.load_verify_locations(cadata=certificate)
        except (ValueError, ssl.SSLError) as error:
            raise Refused(
                "certificate_unfit", "The certificate of a device cannot be read."
            ) from error
