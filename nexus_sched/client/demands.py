"""What a submission may ask for beyond its type, as callers write it, and in the words of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from nexus_sched.model.choices import pause_ms, resources_of, span_ms
from nexus_sched.model.conditions import Wanted, conditions_of
from nexus_sched.model.ids import check_name, check_taint


class Demands(TypedDict, total=False):
    """Options of `submission`; each may be left out. Durations are `"30s"` or a number of seconds.

    requires
        Conditions on a worker's labels: `"gpu"`, `"!spot"`, `"zone in a, b"`, `"disk > 100"`, several in a list, or
        a mapping `{"gpu": True, "zone": ["a", "b"]}`. With `" worth 200ms"` behind it a condition is not required,
        but a worker that meets it may let the task wait that much longer.
    tolerates
        Taints of workers that do not keep the task away, one or several.
    resources
        What the task needs for itself alone: `{"gpu": 1, "memory": "8GiB"}` or `"gpu=1,memory=8GiB"`.
    tenant
        Whose task it is: worker time is shared fairly between tenants.
    key
        What limits count, such as the account that the task works on.
    affinity, affinity_worth
        Tasks of one key like to run where others of it ran lately, as if waiting there were shorter by
        `affinity_worth` (the configured bonus if not given).
    deadline, strict_deadline
        When the task should have ended, from now on. A strict one that cannot be met refuses the task.
    delay
        Not before this long from now on.
    idempotent
        The task may run twice at once: the scheduler may start a copy if the first run takes too long.
    backoff
        The pause before the first retry of a failed run, doubled each time; needs `retry="any"`.
    """

    requires: Wanted
    tolerates: str | Sequence[str]
    resources: str | Mapping[str, str | float]
    tenant: str
    key: str
    affinity: str
    affinity_worth: str | float
    deadline: str | float
    strict_deadline: bool
    delay: str | float
    idempotent: bool
    backoff: str | float


def _taints(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(check_taint(taint) for taint in ((value,) if isinstance(value, str) else value))


# option -> (field of `TaskSpec`, how its value is read)
_READERS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "requires": ("requires", conditions_of),
    "tolerates": ("tolerates", _taints),
    "resources": ("resources", resources_of),
    "tenant": ("tenant", check_name),
    "key": ("key", check_name),
    "affinity": ("affinity", check_name),
    "affinity_worth": ("affinity_ms", span_ms),
    "deadline": ("deadline_ms", span_ms),
    "strict_deadline": ("deadline_strict", bool),
    "delay": ("delay_ms", pause_ms),
    "idempotent": ("idempotent", bool),
    "backoff": ("backoff_ms", pause_ms),
}


def fields_of(demands: Mapping[str, object]) -> dict[str, Any]:
    """The fields of a `TaskSpec` that these options mean; `None` is as good as not given.

    Raises `InvalidInput` for a value that cannot be read and `TypeError` for an option that does not exist.
    """
    unknown = [name for name in demands if name not in _READERS]
    if unknown:
        raise TypeError(f"a submission has no option {unknown[0]!r}")
    given = {name: value for name, value in demands.items() if value is not None}
    return {_READERS[name][0]: _READERS[name][1](value) for name, value in given.items()}
