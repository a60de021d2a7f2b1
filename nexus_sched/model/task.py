"""What a submitter asks for (`TaskSpec`, the wire form) and what the scheduler knows (`Task`).

The payload itself is opaque: only its size is ever known here.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from nexus_sched.model.terms import NO_TERMS, Condition, Terms

PRIORITY_MIN = 0
PRIORITY_MAX = 9  # the most urgent
PRIORITY_DEFAULT = 5
CANARY_TYPE = "nexus-sched.canary"  # a task without work, by which a gateway sees that tasks come through
ATTEMPTS_MAX = 100
DURATION_MS_MAX = 30 * 86_400_000.0  # 30 days
PAYLOAD_BYTES_MAX = 64 * 2**20
CONDITIONS_MAX = 16
RESOURCES_MAX = 8

Attempts = Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)]
FormerAttempts = Annotated[int, Meta(ge=0, le=2**32 - 1)]
DurationMs = Annotated[float, Meta(ge=0.0, le=DURATION_MS_MAX)]
Name = Annotated[str, Meta(max_length=128)]
Amount = Annotated[float, Meta(gt=0.0, le=1e15)]


class Retry(Enum):
    """When a task that did not succeed may run again, up to `max_attempts` starts."""

    NEVER = "never"  # at most one start, even if its worker dies
    LOST = "lost"  # only if its worker died or was lost (the default)
    ANY = "any"  # also if the function raised or ran out of time


class TaskSpec(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The description that travels with a submission: a MessagePack map with these keys.

    `type` is checked by `check_task_type`; unknown keys are ignored, so that newer producers can talk
    to older schedulers.
    """

    type: str
    hint_ms: DurationMs | None = None  # the submitter's own estimate of the service time
    timeout_ms: DurationMs | None = None  # the worker ends the run after this long
    max_attempts: Attempts = 3  # starts, the first included
    retry: Retry = Retry.LOST
    codec: Annotated[str, Meta(max_length=16)] = "msgpack"  # how the payload is encoded: msgpack, json or raw
    traceparent: Annotated[str, Meta(max_length=64)] | None = None  # W3C trace context, passed on untouched
    requires: Annotated[tuple[Condition, ...], Meta(max_length=CONDITIONS_MAX)] = ()
    tolerates: Annotated[tuple[Name, ...], Meta(max_length=CONDITIONS_MAX)] = ()
    resources: Annotated[dict[Name, Amount], Meta(max_length=RESOURCES_MAX)] = {}
    tenant: Name = ""
    key: Name = ""  # what limits count
    affinity: Name = ""
    affinity_ms: DurationMs | None = None
    deadline_ms: DurationMs | None = None  # from its submission
    deadline_strict: bool = False  # refuse it rather than be late
    delay_ms: DurationMs = 0.0  # not before this long after its submission
    idempotent: bool = False  # may run twice at once
    backoff_ms: DurationMs | None = None  # before the first retry, doubled each time
    eta: bool = False  # answer with an estimate on the reply channel
    former_attempts: FormerAttempts = 0  # it had before it was sent again as a dead letter; written by the store


class Task(Struct, frozen=True, array_like=True, gc=False):
    """A task as the core sees it. Times are milliseconds since the epoch of the store's clock."""

    id: str
    type: str
    priority: int  # 0..9, 9 is the most urgent
    payload_bytes: int
    arrived_at_ms: int
    hint_ms: float | None = None
    max_attempts: int = 3
    retry: Retry = Retry.LOST
    asks: Terms | None = None  # None: nothing beyond its type

    @property
    def terms(self) -> Terms:
        """What it asks for; the empty terms if nothing."""
        return self.asks or NO_TERMS
