"""What a server answers, and what its error replies mean: each becomes one typed `StoreError`.

The first word of an error reply is its code; only `ERR` replies are told apart by their text. Source:
the servers' own tables (Redis 7.0 to 8, Valkey 7.2 to 9).
"""

from __future__ import annotations

import re
from typing import Any

from nexus_sched.errors import (
    ProtocolNewer,
    StoreAuthRefused,
    StoreClusterDown,
    StoreError,
    StoreLoading,
    StoreMoved,
    StoreNotPersisting,
    StoreNotReplicated,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnsuitable,
)

# bytes, int, None, a list of these, or a StoreError. Its shape is the server's promise for each command,
# checked by the conformance suite; naming it here would only cost a cast at every use.
Reply = Any

MESSAGE_LENGTH_MAX = 400
_REDIRECTION = re.compile(r"(MOVED|ASK) [0-9]{1,5} \S{0,300}:[0-9]{1,5}")


class FunctionMissing(StoreError):
    """The function library is not on the server (never loaded, or FUNCTION FLUSH). Nothing was executed."""


class FunctionsThere(StoreError):
    """Somebody else has loaded a library of this name. Nothing was executed."""


class RequestRefused(StoreError):
    """The server or the library calls the request malformed; sending it again cannot help."""


class Redirection(StoreMoved):
    """Where the command should have gone: for good (`MOVED`), or this one `once` (`ASK`). Nothing was executed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        code, slot, place = message.split(" ")
        host, _, port = place.rpartition(":")
        self.once = code == "ASK"
        self.slot = int(slot)
        self.host = host.strip("[]")  # empty: that of the node which says so
        self.port = int(port)


_BY_CODE: dict[str, type[StoreError]] = {
    "READONLY": StoreReadOnly,
    "MASTERDOWN": StoreReadOnly,
    "CLUSTERDOWN": StoreClusterDown,
    "NOREPLICAS": StoreNotReplicated,
    "LOADING": StoreLoading,
    "OOM": StoreOutOfMemory,
    "MISCONF": StoreNotPersisting,
    "NOAUTH": StoreAuthRefused,
    "WRONGPASS": StoreAuthRefused,
    "NOPERM": StoreAuthRefused,
    "DENIED": StoreAuthRefused,
    "UNBLOCKED": StoreReadOnly,  # while it waited, the server became a replica
    "MOVED": Redirection,
    "ASK": Redirection,
    "TRYAGAIN": StoreMoved,
    "CROSSSLOT": StoreUnsuitable,
    "NXARGS": RequestRefused,
    "NXPROTOCOL": ProtocolNewer,
}

_BY_TEXT: tuple[tuple[str, type[StoreError]], ...] = (
    ("function not found", FunctionMissing),
    ("already exists", FunctionsThere),
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
    if kind is Redirection and not _REDIRECTION.fullmatch(message):
        kind = StoreError
    return kind(message[:MESSAGE_LENGTH_MAX])
