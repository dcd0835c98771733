"""The keys of this home: made once, kept for good, and never replaced by themselves.

    signing.key       32 bytes, Ed25519: whoever has it is this device
    sealing.key       32 bytes, X25519: opens what is sealed to this device
    certificate.der   follows from the signing key
    tls.pem           certificate and signing key, as the ssl module reads them: from a file only
    incarnation.json  which log this home writes, and on which machine and database

Invariants
1. Keys are made only in a home that never had any: a lost or damaged file is told, with the remedy.
   A device with other keys is another device, which the mesh does not know.
2. The signing key is written last: a power cut before it leaves a home that has none.
3. A home that was copied to another machine, or whose database was restored, writes a new log: it
   would give numbers a second time that others have seen already.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from regend.errors import Failed, RegendError
from regend.home import Home
from regend.store import files
from regend.store.change import INCARNATION_BYTES
from regend.sync.device import KEY_BYTES, Identity, key_of_certificate, make_certificate

Reason = Literal["kept", "missing", "unreadable", "machine", "database", "revoked", "put_out"]

_MACHINE: Final = b"regend machine\0"


class Incarnation(NamedTuple):
    """Which log this home writes.

    Attributes:
        id: of the incarnation.
        is_fresh: whether it begins now.
        reason: why: there was no marker, or none that can be read, the machine is another, or the
            database is one that was restored, or its log was cut when the device was revoked
            (`put_out`: without its knowing); `kept` where it does not.
    """

    id: bytes
    is_fresh: bool
    reason: Reason


def load_identity(home: Home) -> Identity:
    """Return the identity of a home, made where it never had one.

    Raises:
        Failed: `key_missing` or `key_damaged`; a file is lost or not what it was, or cannot be
            read or written.
    """
    signing, sealing = home.keys_dir / "signing.key", home.keys_dir / "sealing.key"
    certificate = home.keys_dir / "certificate.der"
    was_made = any(path.exists() for path in (signing, certificate, _marker(home)))
    try:
        if not was_made:
            files.replace(sealing, secrets.token_bytes(KEY_BYTES))
            files.replace(signing, secrets.token_bytes(KEY_BYTES))
        signing_key, sealing_key = SigningKey(_key(signing)), PrivateKey(_key(sealing))
        if not certificate.exists():  # it follows from the key
            files.replace(certificate, make_certificate(signing_key))
        identity = Identity(signing_key, sealing_key, certificate.read_bytes())
        _check_certificate(identity, certificate)
        if not _holds(tls_file(home), identity.pem()):
            files.replace(tls_file(home), identity.pem())
    except OSError as error:
        raise Failed(
            "keys_unusable",
            f"The folder {home.keys_dir} cannot be used: {error.strerror or error}.",
            hint="Make it readable and writable for yourself.",
        ) from error
    return identity


def tls_file(home: Home) -> Path:
    """Return the file with certificate and key for `ssl.SSLContext.load_cert_chain`."""
    return home.keys_dir / "tls.pem"


def incarnation(home: Home, database_epoch: str, machine: str | None) -> Incarnation:
    """Return which log this home writes, marked durably before it is returned (invariant 3).

    Args:
        database_epoch: names the database; a restored one has another.
        machine: what `machine.machine_id` returned; only its hash is kept.
    """
    marks = {"machine": _hashed(machine), "epoch": database_epoch}
    try:
        found = json.loads(_marker(home).read_bytes())
        own_id = bytes.fromhex(found["incarnation"])
        kept = {name: found[name] for name in marks}
    except FileNotFoundError:
        return _renewed(home, marks, "missing")
    except (ValueError, KeyError, TypeError):
        return _renewed(home, marks, "unreadable")
    if len(own_id) != INCARNATION_BYTES:
        return _renewed(home, marks, "unreadable")
    if kept["machine"] != marks["machine"]:
        return _renewed(home, marks, "machine")
    if kept["epoch"] != marks["epoch"]:
        return _renewed(home, marks, "database")
    return Incarnation(own_id, is_fresh=False, reason="kept")


def renew_incarnation(home: Home, database_epoch: str, machine: str | None) -> bytes:
    """Begin a new log, whatever the marker says: the old one was cut, or went two ways."""
    marks = {"machine": _hashed(machine), "epoch": database_epoch}
    return _renewed(home, marks, "missing").id


def _renewed(home: Home, marks: dict[str, str | None], reason: Reason) -> Incarnation:
    own_id = secrets.token_bytes(INCARNATION_BYTES)
    content: dict[str, Any] = {"incarnation": own_id.hex(), **marks}
    files.replace(_marker(home), json.dumps(content).encode())
    return Incarnation(own_id, is_fresh=True, reason=reason)


def _marker(home: Home) -> Path:
    return home.keys_dir / "incarnation.json"


def _hashed(machine: str | None) -> str | None:
    return None if machine is None else hashlib.sha256(_MACHINE + machine.encode()).hexdigest()


def _key(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise _unfit("key_missing", path, "is missing") from error
    if len(content) != KEY_BYTES or len(set(content)) == 1:  # zeros: a power cut's
        raise _unfit("key_damaged", path, "is damaged")
    return content


def _check_certificate(identity: Identity, path: Path) -> None:
    try:
        fits = key_of_certificate(identity.certificate) == bytes(identity.signing_key.verify_key)
    except RegendError as error:
        raise _unfit("key_damaged", path, "is damaged") from error
    if not fits:
        raise _unfit("key_damaged", path, "is not of the key in signing.key")


def _holds(path: Path, content: bytes) -> bool:
    """Tell whether a file has this content and is its owner's alone."""
    try:
        private = os.name == "nt" or not path.stat().st_mode & 0o077
        return private and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _unfit(code: str, path: Path, what: str) -> Failed:
    return Failed(
        code,
        f"The file {path}, which this device is known by, {what}.",
        hint=(
            "Restore it from a backup. Without one, move signing.key, sealing.key, "
            f"certificate.der and incarnation.json out of {path.parent}, and pair this device anew."
        ),
    )
