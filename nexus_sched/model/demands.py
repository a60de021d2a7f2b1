"""From what a submitter asks for to the terms the scheduler works with: checked, bounded and canonical.

Law: clients and the scheduler's border use this one function, so what a client accepts is never refused later. Equal
demands give equal `Needs`, whatever order they were written in: tasks with equal needs share one look at the fleet.
"""

from __future__ import annotations

import math

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.conditions import check_condition
from nexus_sched.model.ids import check_name, check_resource, check_taint
from nexus_sched.model.task import TaskSpec
from nexus_sched.model.terms import NO_NEEDS, NO_TERMS, Condition, Needs, Terms

DESCRIPTION_BYTES_MAX = 16_384
INSTANT_MS_MAX = 2**53  # exact as a float; whoever appends an entry may choose its instant

# The keys of a description that make a task ask for something. Without any of them it has no terms.
ASKING = frozenset(
    (
        *("requires", "tolerates", "resources", "tenant", "key", "affinity", "affinity_ms"),
        *("deadline_ms", "deadline_strict", "delay_ms", "idempotent", "backoff_ms", "eta"),
    )
)

_decode_spec = msgspec.msgpack.Decoder(TaskSpec).decode
_Written = tuple[tuple[Condition, ...], tuple[str, ...], tuple[tuple[str, float], ...]]
KNOWN_NEEDS_MAX = 1_000
_known_needs: dict[_Written, Needs] = {}  # as written -> checked and canonical; a pure function, remembered


def terms_of(spec: TaskSpec, arrived_at_ms: int) -> Terms | None:
    """What a task asks for beyond its type, `None` if nothing; spans become instants after `arrived_at_ms`.

    Raises `InvalidInput` for names out of bounds, conditions that make no sense, and parts that mean nothing alone.
    """
    if spec.deadline_strict and spec.deadline_ms is None:
        raise InvalidInput("a strict deadline needs a deadline")
    if spec.affinity_ms is not None and not spec.affinity:
        raise InvalidInput("an affinity is worth something only with its key")
    terms = Terms(
        _needs(spec),
        check_name(spec.tenant),
        check_name(spec.key),
        check_name(spec.affinity),
        spec.affinity_ms,
        0 if spec.deadline_ms is None else instant_after(arrived_at_ms, math.floor(spec.deadline_ms)),
        spec.deadline_strict,
        0 if spec.delay_ms == 0.0 else instant_after(arrived_at_ms, math.ceil(spec.delay_ms)),
        spec.idempotent,
        spec.backoff_ms,
        spec.eta,
    )
    return None if terms == NO_TERMS else terms


def check_description(spec: TaskSpec, encoded: bytes) -> None:
    """Raise `InvalidInput` if the scheduler would refuse this description. A submitter's check before it sends."""
    if len(encoded) > DESCRIPTION_BYTES_MAX:
        raise InvalidInput(f"the task asks for too much: {len(encoded)} bytes, at most {DESCRIPTION_BYTES_MAX}")
    try:
        _decode_spec(encoded)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the task asks for what cannot be: {error}") from None
    terms_of(spec, 0)


def instant_after(at_ms: int, span_ms: int) -> int:
    """The instant `span_ms` after another, within the bound of instants."""
    return max(1, min(at_ms + span_ms, INSTANT_MS_MAX))


def resources_in_order(resources: dict[str, float]) -> tuple[tuple[str, float], ...]:
    """Checked names with their amounts, sorted by name. Raises `InvalidInput`."""
    return tuple((check_resource(name), float(resources[name])) for name in sorted(resources))


def _needs(spec: TaskSpec) -> Needs:
    if not (spec.requires or spec.tolerates or spec.resources):
        return NO_NEEDS
    written = (spec.requires, spec.tolerates, tuple(spec.resources.items()))
    needs = _known_needs.get(written)
    if needs is None:
        needs = Needs(
            tuple(sorted({check_condition(each) for each in spec.requires}, key=_order)),
            tuple(sorted({check_taint(each) for each in spec.tolerates})),
            resources_in_order(spec.resources),
        )
        if len(_known_needs) >= KNOWN_NEEDS_MAX:
            _known_needs.clear()
        _known_needs[written] = needs
    return needs


def _order(condition: Condition) -> tuple[str, str, tuple[str, ...], float]:
    prefer_ms = condition.prefer_ms
    return condition.label, condition.operator.value, condition.values, -1.0 if prefer_ms is None else prefer_ms
