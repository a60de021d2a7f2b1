"""Keys of the audit trail: made for their owner only, and refused where others can read them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from nexus_sched.control.public_keys import read_public_keys, signer_of
from nexus_sched.control.signing import create_keys, read_signer
from nexus_sched.errors import AuditKeyInvalid, InvalidInput

DIGEST = "ab" * 32


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "audit.key"
    create_keys(path)
    return path


def public_of(private: Path) -> Path:
    return private.with_name("audit.key.pub")


def test_key_is_made_for_its_owner_and_proves_with_its_public_half_alone(private: Path):
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    signer, keys = read_signer(str(private)), read_public_keys([str(public_of(private))])
    assert signer is not None
    assert keys is not None
    signature = signer.sign(DIGEST)
    assert signer_of(signature) == signer.name
    assert keys.problem(signature, DIGEST) == ""
    assert "is not signed with the key" in keys.problem(signature, "cd" * 32)
    assert "which a public key could prove" in keys.problem("ab" * 32, DIGEST)
    assert b"PRIVATE" not in public_of(private).read_bytes()


def test_key_never_replaces_another(private: Path):
    before = private.read_bytes(), public_of(private).read_bytes()
    with pytest.raises(InvalidInput, match="file exists"):
        create_keys(private)
    assert (private.read_bytes(), public_of(private).read_bytes()) == before
    public_of(private).unlink()
    with pytest.raises(InvalidInput, match="file exists"):
        create_keys(private)
    assert not public_of(private).exists()  # no half of a key that is nowhere


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o601])
def test_key_that_others_can_read_is_refused(private: Path, mode: int):
    private.chmod(mode)
    with pytest.raises(AuditKeyInvalid, match=f"mode {mode:04o}"):
        read_signer(str(private))


def of_another_kind() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("blob", [b"k" * 32, b"", b"\xff" * 70_000, of_another_kind()], ids=len)
def test_what_is_no_private_key_is_refused(tmp_path: Path, blob: bytes):
    path = tmp_path / "key"
    path.write_bytes(blob)
    path.chmod(0o600)
    with pytest.raises(AuditKeyInvalid):
        read_signer(str(path))


def test_what_is_no_public_key_is_refused(tmp_path: Path, private: Path):
    other = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for blob in (b"", private.read_bytes(), public_of(private).read_bytes() + other):
        path = tmp_path / "keys"
        path.write_bytes(blob)
        with pytest.raises(AuditKeyInvalid):
            read_public_keys([str(path)])
    with pytest.raises(AuditKeyInvalid, match="cannot be read"):
        read_public_keys([str(tmp_path / "none")])
    assert read_public_keys([]) is None
