"""Sections of who gets how much: shares of tenants, and limits."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import HOT
from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import check_name, check_task_type
from nexus_sched.model.settings import Limit

_LIMIT = Limit("", "")
EACH = "*"

Weight = Annotated[float, Meta(gt=0.0, le=1_000_000.0)]


class TenantsSection(Struct, frozen=True, kw_only=True):
    """How worker time is shared between the tenants that wait."""

    weights: Annotated[
        dict[str, Weight],
        Meta(
            description="Share of each tenant against the others, such as `{ acme = 2 }`; 1 for who is not named.",
            extra=HOT,
        ),
    ] = field(default_factory=dict)


class LimitSection(Struct, frozen=True, kw_only=True):
    """What tasks of one kind may take together."""

    scope: Annotated[
        Literal["type", "tenant", "key"],
        Meta(description="What tasks are counted by: their type, their tenant or their key.", extra=HOT),
    ]
    name: Annotated[
        str,
        Meta(
            description="The type, tenant or key; `*` counts each one by itself.",
            min_length=1,
            max_length=200,
            extra=HOT,
        ),
    ] = EACH
    rate_per_s: Annotated[float, Meta(description="Starts a second; 0 for any number.", ge=0.0, le=1e6, extra=HOT)] = (
        _LIMIT.rate_per_s
    )
    burst: Annotated[
        float, Meta(description="Starts that may come at once after a pause.", ge=1.0, le=1e6, extra=HOT)
    ] = _LIMIT.burst
    concurrency: Annotated[
        int, Meta(description="Tasks handed out at a time; 0 for any number.", ge=0, le=1_000_000, extra=HOT)
    ] = _LIMIT.concurrency


def limit_problems(limit: LimitSection, others: list[LimitSection]) -> list[str]:
    """One line for each thing that makes this limit useless; empty if it is fine."""
    problems = []
    if limit.rate_per_s == 0.0 and limit.concurrency == 0:
        problems.append("it limits nothing: give `rate_per_s` or `concurrency`")
    if limit.burst != _LIMIT.burst and limit.rate_per_s == 0.0:
        problems.append("`burst` means nothing without `rate_per_s`")
    if any((other.scope, other.name) == (limit.scope, limit.name) for other in others):
        problems.append(f"{limit.scope} {limit.name} has a limit already")
    try:
        if limit.name != EACH:
            (check_task_type if limit.scope == "type" else check_name)(limit.name)
    except InvalidInput as error:
        problems.append(f"`name`: {error}")
    return problems


def tenant_problems(section: TenantsSection) -> list[str]:
    """One line for each name that no tenant can have."""
    problems = []
    for name in section.weights:
        try:
            check_name(name)
        except InvalidInput as error:
            problems.append(f"`weights`: {error}")
    return problems
