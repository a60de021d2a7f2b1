"""The private key by which records of the audit trail are signed.

A signature names its key: `ed25519:<key>:<hexadecimal digits>`, the key by the first 16 digits of the SHA-256 of its
public half. It is of the record's digest, and so of everything up to it. Source: RFC 8032.

Law: a private key that others can read is none. It is refused, not used with a warning.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_sched.errors import AuditKeyInvalid, InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "ed25519"
KEY_DIGITS = 16
KEY_FILE_BYTES_MAX = 65_536
PUBLIC_SUFFIX = ".pub"


class Signer:
    """A private key. Signing takes some 25 us."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.name = name_of(key.public_key())

    def sign(self, digest: str) -> str:
        """The signature of a record's digest."""
        return f"{ALGORITHM}:{self.name}:{self._key.sign(digest.encode()).hex()}"


def name_of(key: Ed25519PublicKey) -> str:
    """What a key is called: hexadecimal digits of the SHA-256 of its public half."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:KEY_DIGITS]


def read_signer(path: str | None) -> Signer | None:
    """The key in a file, `None` without one. Raises `AuditKeyInvalid` for one that cannot, or must not, be used."""
    if path is None:
        return None
    from cryptography.exceptions import UnsupportedAlgorithm  # here: loaded only by those who sign
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    blob = read_key_file(path)
    check_private(path)
    try:
        key = load_pem_private_key(blob, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise AuditKeyInvalid(
            f"{path} holds no private key of Ed25519 (in PEM, without a password): "
            "make one with `nexus-sched audit key FILE`"
        )
    return Signer(key)


def create_keys(path: Path) -> Signer:
    """Make a key: its private half in a new file for its owner only, its public half beside it in `FILE.pub`.

    Raises `InvalidInput` if one of them is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    beside = path.with_name(path.name + PUBLIC_SUFFIX)
    _write_new(beside, public, 0o644)
    try:
        _write_new(path, private, 0o600)
    except InvalidInput:
        with suppress(OSError):
            beside.unlink()
        raise
    return Signer(key)


def check_private(path: str) -> None:
    """Raise `AuditKeyInvalid` if others than the owner can read a file; root may let a group read its own."""
    found = Path(path).stat()
    allowed = stat.S_IRWXU | (stat.S_IRGRP if found.st_uid == 0 else 0)
    if stat.S_IMODE(found.st_mode) & ~allowed:
        raise AuditKeyInvalid(
            f"{path} may be read or written by others (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600 {path}, and "
            "make another key if somebody may have read it"
        )


def read_key_file(path: str) -> bytes:
    """What is in a file. Raises `AuditKeyInvalid`."""
    try:
        with Path(path).open("rb") as stream:
            blob = stream.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise AuditKeyInvalid(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    if len(blob) > KEY_FILE_BYTES_MAX:
        raise AuditKeyInvalid(f"{path} is larger than {KEY_FILE_BYTES_MAX} bytes; that cannot be a file of keys")
    return blob


def _write_new(path: Path, blob: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(blob)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from None
