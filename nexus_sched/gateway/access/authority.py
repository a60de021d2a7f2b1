"""Who is asking, and may they: the decision of the gateway's doors, HTTP and gRPC.

Laws
* Default deny. Without tokens only this machine is admitted, and it may look; with `insecure_no_auth` it may do
  everything. On any other address a gateway without tokens does not start.
* A file of tokens that cannot be read lets nobody in who was not in before: the rows that were read last stay.
"""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path

import structlog
from msgspec import Struct

from nexus_sched.errors import ConfigInvalid, Forbidden, InvalidInput, Unauthenticated
from nexus_sched.gateway.access.roles import Group, Role
from nexus_sched.gateway.access.tokens import Token, by_name, find, now_utc, read

log = structlog.get_logger("nexus_sched.gateway")

LOOK_EVERY_S = 1.0  # whether the file has changed
LOOPBACK = "loopback"  # whoever calls from this machine, where there are no tokens
_BEARER = "bearer "


class Principal(Struct, frozen=True):
    """Who asks. `name` is what the audit trail remembers."""

    name: str
    role: Role
    address: str = ""


class Authority:
    """Admits clients by their token, or by their address where there are no tokens."""

    def __init__(self, tokens_file: str | None, *, insecure_no_auth: bool = False) -> None:
        self._path = None if tokens_file is None else Path(tokens_file)
        self._insecure = insecure_no_auth
        self._tokens: dict[str, list[Token]] = {}
        self._stamp: tuple[int, int] | None = None
        self._look_at_s = 0.0

    def check_listening(self, host: str, key: str) -> None:
        """Raise `ConfigInvalid` if it would be open to the world on `host`, which `key` names."""
        if self._path is None and not is_loopback(host):
            flag = "`http.auth.insecure_no_auth` is refused there" if self._insecure else "without tokens it is refused"
            raise ConfigInvalid([f"`{key}` is {host!r}, which is not loopback: {flag}; set `http.auth.tokens_file`"])

    def admit(self, authorization: str | None, address: str) -> Principal:
        """Who this is. Raises `Unauthenticated`."""
        self.refresh()
        if self._path is None:
            return self._by_address(authorization, address)
        if authorization is None:
            raise Unauthenticated("this needs a token: send it as `Authorization: Bearer TOKEN`")
        if not authorization.lower().startswith(_BEARER):
            raise Unauthenticated("the Authorization header is not `Bearer TOKEN`")
        token = find(self._tokens, authorization[len(_BEARER) :].strip(), now_utc())
        if token is None:
            raise Unauthenticated("the token is unknown, revoked or expired")
        return Principal(token.name, token.role, address)

    def _by_address(self, authorization: str | None, address: str) -> Principal:
        if authorization is not None:
            raise Unauthenticated("this gateway knows no tokens (`http.auth.tokens_file`): send none")
        if not is_loopback(address):
            raise Unauthenticated("this gateway has no tokens and admits its own machine only")
        return Principal(LOOPBACK, Role.ADMIN if self._insecure else Role.VIEWER, address)

    def refresh(self) -> None:
        """Read the file again if it has changed; at most once a second."""
        now_s = time.monotonic()
        if self._path is None or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_EVERY_S
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._tokens = by_name(read(self._path))
                self._stamp = stamp
                log.info("tokens read", count=sum(map(len, self._tokens.values())))
        except FileNotFoundError:
            if self._stamp is not None or not self._tokens:
                log.warning("there is no file of tokens, so nobody is admitted", file=str(self._path))
            self._tokens, self._stamp = {}, None
        except (InvalidInput, OSError) as error:
            log.error("tokens refused, the former ones stay", error=str(error))


def require(principal: Principal, group: Group | None, what: str) -> None:
    """Raise `Forbidden` unless the principal's role is of the group; nobody is of no group."""
    if group is None or principal.role not in group:
        raise Forbidden(f"the role {principal.role.value} may not {what}")


def is_loopback(host: str) -> bool:
    """Whether an address, or the name `localhost`, is this machine's own. Anything else is the world."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
