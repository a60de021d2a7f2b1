"""The W3C trace context that travels with a task: `00-<32 hex>-<16 hex>-<2 hex>`.

Law: the context of a submission is never rewritten; spans of the scheduler and the worker link to it. Whether it is
sampled is looked at before anything else, as most tasks are not.
"""

from __future__ import annotations

import re
from hashlib import blake2s
from typing import NamedTuple

LENGTH = 55
_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
SAMPLED_DIGITS = frozenset("13579bdf")  # the last one of flags with the sampled bit


class SpanContext(NamedTuple):
    """Which span of which trace."""

    trace_id: int
    span_id: int


def sampled(traceparent: str) -> bool:
    """Whether spans of this task are wanted: one look at the last character."""
    return len(traceparent) == LENGTH and traceparent[-1] in SAMPLED_DIGITS


def context_of(traceparent: str) -> SpanContext | None:
    """The context in a `traceparent`, `None` if it is not one."""
    found = _FORM.fullmatch(traceparent)
    if found is None:
        return None
    context = SpanContext(int(found[1], 16), int(found[2], 16))
    return context if context.trace_id and context.span_id else None


def traceparent_of(context: SpanContext, *, is_sampled: bool) -> str:
    """The header of a context."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{is_sampled:02x}"


def span_id_of(*parts: object) -> int:
    """An id that follows from what the span is about: whoever makes it twice makes the same one. Never 0."""
    digest = blake2s("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def trace_id_of(*parts: object) -> int:
    """The same for a trace of its own."""
    digest = blake2s("\0".join(map(str, parts)).encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big") or 1
