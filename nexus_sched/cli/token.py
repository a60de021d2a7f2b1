"""`nexus-sched token create|list|revoke`: who may use the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import Actor, Reason, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.errors import InvalidInput, NexusError
from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.units import parse_duration_ms

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config

RoleName = Literal["viewer", "submitter", "operator", "admin", "worker", "scraper"]


class TokenUnknown(NexusError):
    """There is no token of this name."""

    code = "TOKEN_UNKNOWN"
    exit_code = exit_codes.NOT_FOUND


def create(
    name: str,
    /,
    *,
    role: RoleName,
    reason: Reason,
    expires: Annotated[str | None, Parameter(help="After how long it is worth nothing, such as 90d.")] = None,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Make a token, and print it once; only its digest is kept.

    Running gateways know it within a second. To rotate a token, create another one under the same name, hand it out,
    and then revoke the former one: both are good until then.

    Parameters
    ----------
    name
        Whose it is: small letters, digits and dashes. The audit trail calls its holder so.
    """
    config = flags.read()
    path = _path(config)
    valid_ms = None if expires is None else parse_duration_ms(expires)
    text, row = tokens.create(name, Role(role), tokens.now_utc(), valid_ms)
    rows = _rows(path)
    who = acting(actor)
    what = {"name": name, "role": role, "sha256": row.sha256, "expires": row.expires}
    at_desk(config, lambda desk: desk.record(who, "token.create", name, reason, None, what))
    tokens.write(path, [*rows, row])
    if flags.json:
        print_json({"token": text, "name": name, "role": role, "expires": row.expires})
    else:
        console().print(text, markup=False, soft_wrap=True)
        note(f"Shown this once. Send it as `Authorization: Bearer TOKEN`; its role is {role}.")
    return exit_codes.OK


def list_tokens(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """List the tokens, without what nobody knows: the tokens themselves."""
    rows = _rows(_path(flags.read()))
    now = tokens.now_utc()
    if flags.json:
        print_json(
            {
                "tokens": [
                    {
                        "name": row.name,
                        "role": row.role.value,
                        "digest": row.sha256[:12],
                        "created": row.created,
                        "expires": row.expires,
                        "expired": row.expired(now),
                    }
                    for row in rows
                ]
            }
        )
        return exit_codes.OK
    for row in rows:
        until = "for good" if row.expires is None else f"until {row.expires.isoformat()}"
        state = "expired" if row.expired(now) else until
        console().print(f"{row.name:<20} {row.role.value:<10} {row.sha256[:12]}  {state}", markup=False)
    if not rows:
        note("There are no tokens; make one with `nexus-sched token create`.")
    return exit_codes.OK


def revoke(
    name: str,
    /,
    *,
    reason: Reason,
    digest: Annotated[str, Parameter(help="Only the one whose digest begins so, as `token list` prints it.")] = "",
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Make tokens worthless, within a second.

    Parameters
    ----------
    name
        Whose: all tokens of this name.
    """
    config = flags.read()
    path = _path(config)
    rows = _rows(path)
    gone = [row for row in rows if row.name == name and row.sha256.startswith(digest)]
    if not gone:
        raise TokenUnknown(f"there is no token {name!r}{' of this digest' if digest else ''}; see `token list`")
    who = acting(actor)
    before = [row.sha256 for row in gone]
    at_desk(config, lambda desk: desk.record(who, "token.revoke", name, reason, before, {"name": name}))
    tokens.write(path, [row for row in rows if row not in gone])
    if flags.json:
        print_json({"revoked": len(gone)})
    note(f"{len(gone)} revoked.")
    return exit_codes.OK


def _path(config: Config) -> Path:
    if config.http_auth.tokens_file is None:
        raise InvalidInput("no file of tokens is configured: set `http.auth.tokens_file`")
    return Path(config.http_auth.tokens_file)


def _rows(path: Path) -> list[tokens.Token]:
    try:
        return tokens.read(path)
    except FileNotFoundError:
        return []
