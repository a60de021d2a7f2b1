"""Tokens: opaque to whoever has one, and kept as SHA-256 digests only, in a file that people can read.

A token is `nxt_<name>_<secret>`. The name is public and finds the row; the digest of the whole text is compared in
constant time. Two rows may have one name, so that a token can be rotated without a gap: the former one is honoured
until it expires or is revoked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import tempfile
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from nexus_sched.errors import InvalidInput
from nexus_sched.gateway.access.roles import Role

PREFIX = "nxt"
SECRET_BYTES = 32
TOKEN_LENGTH_MAX = 256
FILE_BYTES_MAX = 4 * 2**20
_NAME = re.compile(r"[a-z0-9-]{1,64}")
_HEAD = "# Tokens of nexus-sched. Only digests are kept: a token that is lost has to be created anew.\n"


class Token(Struct, frozen=True, kw_only=True):
    """One row of the file. Instants are UTC."""

    name: str
    role: Role
    sha256: str
    created: datetime
    expires: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    token: list[Token] = []


def digest_of(text: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(text: str) -> str:
    """The name within a token; empty if this is none."""
    parts = text.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX and len(text) <= TOKEN_LENGTH_MAX else ""


def find(tokens: dict[str, list[Token]], text: str, now: datetime) -> Token | None:
    """The row of a token that is good now. Takes as long for a wrong secret as for the right one."""
    digest, found = digest_of(text), None
    for token in tokens.get(name_of(text), ()):
        if hmac.compare_digest(token.sha256, digest) and not token.expired(now):
            found = token
    return found


def by_name(tokens: list[Token]) -> dict[str, list[Token]]:
    """The rows, to be found by name."""
    found: dict[str, list[Token]] = {}
    for token in tokens:
        found.setdefault(token.name, []).append(token)
    return found


def create(name: str, role: Role, now: datetime, valid_ms: int | None) -> tuple[str, Token]:
    """A new token: its text, which is shown once and kept nowhere, and its row. Raises `InvalidInput`."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(f"token name {name[:80]!r} does not match {_NAME.pattern}")
    text = f"{PREFIX}_{name}_{secrets.token_urlsafe(SECRET_BYTES)}"
    expires = None if valid_ms is None else now + timedelta(milliseconds=valid_ms)
    return text, Token(name=name, role=role, sha256=digest_of(text), created=now, expires=expires)


def read(path: Path) -> list[Token]:
    """The rows of a file. Raises `InvalidInput`, naming the file; `FileNotFoundError` passes through."""
    try:
        blob = path.read_bytes()
        if len(blob) > FILE_BYTES_MAX:
            raise InvalidInput(f"{path}: larger than {FILE_BYTES_MAX} bytes; that cannot be a file of tokens")
        return msgspec.convert(tomllib.loads(blob.decode()), _File).token
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"{path}: {error}") from None


def write(path: Path, tokens: list[Token]) -> None:
    """Replace a file at once, readable by its owner only. Raises `InvalidInput` if that is not possible."""
    text = _HEAD + "".join(f"\n[[token]]\n{_row(token)}" for token in tokens)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from None


def now_utc() -> datetime:
    """The instant, to the second, as rows are written."""
    return datetime.now(UTC).replace(microsecond=0)


def _row(token: Token) -> str:
    pairs = [("name", token.name), ("role", token.role.value), ("sha256", token.sha256)]
    lines = [f'{key} = "{value}"\n' for key, value in pairs]
    lines.append(f"created = {token.created.isoformat()}\n")
    if token.expires is not None:
        lines.append(f"expires = {token.expires.isoformat()}\n")
    return "".join(lines)
