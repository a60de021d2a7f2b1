"""What a task asks for beyond its type: where it may run, whose it is, when, and how it may be repeated.

`Needs` decides which workers are feasible; tasks with equal needs share one mask over the fleet, so it is a value
that can be compared and hashed. `Terms` is everything else; a task that asks for nothing has none.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Operator(Enum):
    """How a worker's label is compared with the values of a condition."""

    IN = "in"  # one of the values
    NOT_IN = "not-in"  # none of the values; a missing label passes
    EXISTS = "exists"
    MISSING = "missing"
    ABOVE = "above"  # the label is a number above the only value
    BELOW = "below"


class Condition(Struct, frozen=True, array_like=True):
    """One demand on a worker's labels: required, or worth `prefer_ms` milliseconds of waiting."""

    label: str
    operator: Operator
    values: tuple[str, ...] = ()
    prefer_ms: float | None = None  # None: required


class Bounds(Struct, frozen=True, array_like=True):
    """Which workers people leave to a task by their overrides. No task can ask for it itself."""

    only: str = ""  # this one; empty: any
    never: tuple[str, ...] = ()  # none of these; sorted


class Needs(Struct, frozen=True, array_like=True):
    """What a worker must have. Resources as `(name, amount)`, sorted by name."""

    conditions: tuple[Condition, ...] = ()
    tolerates: tuple[str, ...] = ()  # taints that do not keep it away
    resources: tuple[tuple[str, float], ...] = ()
    bounds: Bounds | None = None  # None: any worker


class Terms(Struct, frozen=True, array_like=True):
    """Everything else. Instants are milliseconds since the epoch of the store's clock, 0 for none."""

    needs: Needs = Needs()
    tenant: str = ""
    key: str = ""  # what limits count, e.g. the account a task calls
    affinity: str = ""  # tasks of one key like to run where others of it ran
    affinity_ms: float | None = None  # what that is worth; None: the configured bonus
    deadline_at_ms: int = 0
    deadline_strict: bool = False  # refused at submission if it cannot be met
    not_before_ms: int = 0
    idempotent: bool = False  # may run twice at once
    backoff_ms: float | None = None  # before the first retry, doubled each time; None: the configured one
    eta: bool = False  # its submitter waits for an estimate


NO_NEEDS = Needs()
NO_TERMS = Terms()
