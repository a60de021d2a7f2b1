"""How entries of a producer's own stream become tasks: which of its fields means what.

A producer that knows nothing of this package adds entries with plain XADD; `IntakeSettings` maps its field
names to ours. Either each of our fields is a field of the entry, or one field (`document`) holds a JSON or
MessagePack map with them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import check_task_type

INTAKE_FIELDS = ("id", "type", "payload", "priority", "hint_ms", "timeout_ms", "max_attempts", "retry")
# What a task may ask for beyond its type. Only looked at where `fields` names it: a producer's own `key` or `tenant`
# means something else until somebody says so.
DEMAND_FIELDS = (
    *("requires", "tolerates", "resources", "tenant", "key", "affinity"),
    *("deadline_ms", "deadline_strict", "delay_ms", "idempotent", "backoff_ms"),
)
ENTRY_BYTES_MAX_DEFAULT = 4 * 2**20
STREAM_LENGTH_MAX = 512


class IntakeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream to follow.

    stream
        Its key, as the producer writes it.
    codec
        How payloads are encoded, and the document if there is one.
    fields
        Our names to the producer's. Of id, type, payload, priority, hint_ms, timeout_ms, max_attempts and retry, those
        not named here keep our own name. Those of what a task may ask for (requires, tolerates, resources, tenant, key,
        affinity, deadline_ms, deadline_strict, delay_ms, idempotent, backoff_ms) are only read if named here.
    document
        The entry's field that holds one map with everything; its keys are then what `fields` names. If the
        map has no payload, what is left of it without our fields is the payload.
    default_type
        The type of entries that name none; without it they are refused.
    entry_bytes_max
        Larger entries are refused unread.
    """

    stream: Annotated[str, Meta(min_length=1, max_length=STREAM_LENGTH_MAX)]
    codec: Literal["json", "msgpack"] = "json"
    fields: dict[str, str] = {}
    document: str = ""
    default_type: str = ""
    entry_bytes_max: Annotated[int, Meta(ge=1, le=64 * 2**20, extra={"unit": "size"})] = ENTRY_BYTES_MAX_DEFAULT

    def name_of(self, field: str) -> str:
        """What the producer calls our field."""
        return self.fields.get(field, field)

    def names(self) -> dict[str, str]:
        """Every field of ours that is looked at, and what the producer calls it."""
        return {field: field for field in INTAKE_FIELDS} | self.fields


def intake_problems(settings: IntakeSettings) -> list[str]:
    """One line for each thing that makes these settings useless; empty if they are fine."""
    problems = [
        f"fields.{name} is none of {', '.join((*INTAKE_FIELDS, *DEMAND_FIELDS))}"
        for name in settings.fields
        if name not in INTAKE_FIELDS and name not in DEMAND_FIELDS
    ]
    names = list(settings.names().values())
    problems += [f"fields uses the name {name!r} twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if settings.stream.startswith("{nx:"):
        problems.append("stream is a key of the scheduler itself")
    if settings.default_type:
        try:
            check_task_type(settings.default_type)
        except InvalidInput as error:
            problems.append(f"default_type: {error}")
    return problems
