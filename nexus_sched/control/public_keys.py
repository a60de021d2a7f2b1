"""The public keys by which signatures of the audit trail are checked: all that anybody needs who did not sign."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nexus_sched.control.signing import ALGORITHM, KEY_DIGITS, name_of, read_key_file
from nexus_sched.errors import AuditKeyInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_SIGNATURE = re.compile(rf"{ALGORITHM}:([0-9a-f]{{{KEY_DIGITS}}}):([0-9a-f]{{128}})")


class PublicKeys:
    """Keys by name: the present one, and those that it followed."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = {name_of(key): key for key in keys}

    def problem(self, signature: str, digest: str) -> str:
        """What is wrong with a signature of a digest; empty if one of the keys made it."""
        from cryptography.exceptions import InvalidSignature

        found = _SIGNATURE.fullmatch(signature)
        if found is None:
            return f"has no signature of {ALGORITHM}, which a public key could prove"
        key = self._keys.get(found[1])
        if key is None:
            return f"is signed with the key {found[1]}, which is not among those that were given"
        try:
            key.verify(bytes.fromhex(found[2]), digest.encode())
        except InvalidSignature:
            return f"is not signed with the key {found[1]}, as it says"
        return ""


def signer_of(signature: str) -> str:
    """The name of the key that a signature says it was made with; empty if it says none."""
    found = _SIGNATURE.fullmatch(signature)
    return "" if found is None else found[1]


def read_public_keys(paths: Sequence[str]) -> PublicKeys | None:
    """The keys in these files, one or several in each, `None` without a file. Raises `AuditKeyInvalid`."""
    if not paths:
        return None
    from cryptography.exceptions import UnsupportedAlgorithm  # here: loaded only by those who verify
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys = []
    for path in paths:
        blobs = _PEM.findall(read_key_file(path))
        for blob in blobs:
            try:
                key = load_pem_public_key(blob)
            except (ValueError, UnsupportedAlgorithm):
                key = None
            if not isinstance(key, Ed25519PublicKey):
                raise AuditKeyInvalid(f"{path} holds something else than public keys of Ed25519 in PEM")
            keys.append(key)
        if not blobs:
            raise AuditKeyInvalid(f"{path} holds no public key of Ed25519 in PEM")
    return PublicKeys(keys)
