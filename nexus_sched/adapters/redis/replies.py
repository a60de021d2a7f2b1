"""What a server answers, and what its error replies mean: each becomes one typed `StoreError`.

The first word of an error reply is its code; only `ERR` replies are told apart by their text. Source:
the servers' own tables (Redis 7.0 to 8, Valkey 7.2 to 9).
"""

from __future__ import annotations

from typing import Any

from nexus_sched.errors import (
    StoreAuthRefused,
    StoreError,
    StoreLoading,
    StoreNotPersisting,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnsuitable,
)

# bytes, int, None, a list of these, or a StoreError. Its shape is the server's promise for each command,
# checked by the conformance suite; naming it here would only cost a cast at every use.
Reply = Any

MESSAGE_LENGTH_MAX = 400


class FunctionMissing(StoreError):
    """The function library is not on the server (never loaded, or FUNCTION FLUSH). Nothing was executed."""


class RequestRefused(StoreError):
    """The server or the library calls the request malformed; sending it again cannot help."""


_BY_CODE: dict[str, type[StoreError]] = {
    "READONLY": StoreReadOnly,
    "MASTERDOWN": StoreReadOnly,
    "CLUSTERDOWN": StoreReadOnly,
    "NOREPLICAS": StoreReadOnly,
    "LOADING": StoreLoading,
    "OOM": StoreOutOfMemory,
    "MISCONF": StoreNotPersisting,
    "NOAUTH": StoreAuthRefused,
    "WRONGPASS": StoreAuthRefused,
    "NOPERM": StoreAuthRefused,
    "DENIED": StoreAuthRefused,
    "MOVED": StoreUnsuitable,
    "ASK": StoreUnsuitable,
    "CROSSSLOT": StoreUnsuitable,
    "NXARGS": RequestRefused,
}

_BY_TEXT: tuple[tuple[str, type[StoreError]], ...] = (
    ("function not found", FunctionMissing),
    ("max number of clients", StoreUnreachable),
    ("invalid password", StoreAuthRefused),
    ("called without any password", StoreAuthRefused),
    ("no password is set", StoreAuthRefused),
)


def store_error(message: str) -> StoreError:
    """The typed error for the text of an error reply."""
    code = message.partition(" ")[0]
    kind = _BY_CODE.get(code)
    if kind is None:
        lowered = message.lower()
        kind = next((known for text, known in _BY_TEXT if text in lowered), StoreError)
    return kind(message[:MESSAGE_LENGTH_MAX])
