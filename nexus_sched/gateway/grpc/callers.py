"""Who calls, and for which workers they may speak.

Laws
* With `grpc.client_ca_file` the certificate decides: the caller speaks for the worker ids that are its alternative
  names (DNS or URI), and for nobody else.
* Without, the token does, and its role has to be one that works. The holder of such a token speaks for any worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from nexus_sched.errors import Forbidden
from nexus_sched.gateway.access.authority import Authority, require
from nexus_sched.gateway.access.table import GRPC_METHODS

_NAMES = "x509_subject_alternative_name"
NAMES_MAX = 1_000  # a relay of so many workers; more are not looked at


class Caller(Struct, frozen=True):
    """Whoever makes a call. `workers` are the ids it may speak for, `None` for all."""

    name: str
    workers: frozenset[str] | None

    def may_speak_for(self, worker: str) -> bool:
        """Whether it is this worker, or somebody trusted with all."""
        return self.workers is None or worker in self.workers


Recognise = Callable[[Any, str], Caller]


def recogniser(authority: Authority, *, mutual: bool) -> Recognise:
    """What tells from the context of a call who makes it; raises `Unauthenticated` or `Forbidden`."""

    def by_certificate(context: Any, _: str) -> Caller:
        names = context.auth_context().get(_NAMES, ())
        workers = frozenset(name.decode("ascii", "replace") for name in names[:NAMES_MAX])
        if not workers:
            raise Forbidden("the certificate has no alternative name; a worker's id has to be one")
        return Caller(min(workers), workers)

    def by_token(context: Any, method: str) -> Caller:
        sent = dict(context.invocation_metadata() or ()).get("authorization")
        principal = authority.admit(sent, address_of(context.peer()))
        require(principal, GRPC_METHODS.get(method), f"call {method}")
        return Caller(principal.name, None)

    return by_certificate if mutual else by_token


def check_speaks_for(caller: Caller, worker: str) -> None:
    """Raise `Forbidden` if the caller is not this worker."""
    if not caller.may_speak_for(worker):
        raise Forbidden(f"{caller.name[:128]} may not speak for the worker {worker[:128]!r}")


def address_of(peer: str) -> str:
    """The address in what gRPC calls a peer: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`; empty for anything else."""
    family, _, rest = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")
