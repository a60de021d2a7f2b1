"""One task to submit, checked and encoded. Its id is fixed here, so sending it twice is harmless."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import msgspec
from msgspec import Struct
from uuid_utils import uuid7

from nexus_sched.client.demands import Demands, fields_of
from nexus_sched.errors import InvalidInput
from nexus_sched.model.choices import retry_of, span_ms
from nexus_sched.model.demands import check_description
from nexus_sched.model.ids import check_task_id, check_task_type
from nexus_sched.model.payload import CODECS, MSGPACK, check_payload_size, encode_arguments
from nexus_sched.model.task import ATTEMPTS_MAX, PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN, Retry, TaskSpec
from nexus_sched.runtime.ports import SubmitLine

ATTEMPTS_DEFAULT = 3

_encode = msgspec.msgpack.Encoder().encode


class Submission(Struct, frozen=True):
    """A task that can be submitted, alone or among many; made by `submission`."""

    id: str
    line: SubmitLine


def submission(
    task_type: str,
    *args: object,
    kwargs: Mapping[str, object] | None = None,
    priority: int = PRIORITY_DEFAULT,
    task_id: str | None = None,
    timeout: str | float | None = None,
    hint: str | float | None = None,
    max_attempts: int = ATTEMPTS_DEFAULT,
    retry: str | Retry = Retry.LOST,
    payload: bytes | None = None,
    codec: str = MSGPACK,
    traceparent: str | None = None,
    eta: bool = False,
    **demands: Unpack[Demands],
) -> Submission:
    """Describe one task.

    Parameters
    ----------
    args, kwargs
        Positional or keyword arguments of the function, not both.
    priority
        0 to 9, 9 is the most urgent.
    task_id
        Your own id, for submissions that you may repeat; a time-ordered UUID otherwise.
    timeout
        `"30s"` or seconds: the worker ends the run after that.
    hint
        Your own estimate of the run time, `"2s"` or seconds; it serves until the type is known.
    max_attempts, retry
        Starts, the first included; and whether it may run again: `"never"`, `"lost"` (only if its worker
        was lost) or `"any"` (also if it failed or ran out of time).
    payload, codec
        An encoded payload instead of arguments, and its codec: `"msgpack"`, `"json"` or `"raw"`.
    traceparent
        W3C trace context, handed on to the function untouched; by default that of OpenTelemetry where it is in use.
    eta
        Ask the scheduler when it will start and finish; see `AsyncClient.submit`, which hears the answer.
    demands
        Where it may run, whose it is, when, and how it may be repeated: see `Demands`.

    Raises `InvalidInput` for anything out of bounds.
    """
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise InvalidInput(f"priority is {priority}, allowed are {PRIORITY_MIN} to {PRIORITY_MAX}")
    if not 1 <= max_attempts <= ATTEMPTS_MAX:
        raise InvalidInput(f"max_attempts is {max_attempts}, allowed are 1 to {ATTEMPTS_MAX}")
    payload, codec = _payload(args, kwargs, payload, codec)
    if traceparent is not None and len(traceparent) > 64:
        raise InvalidInput("traceparent is longer than 64 characters")
    spec = TaskSpec(
        type=check_task_type(task_type),
        hint_ms=None if hint is None else span_ms(hint),
        timeout_ms=None if timeout is None else span_ms(timeout),
        max_attempts=max_attempts,
        retry=retry_of(retry),
        codec=codec,
        traceparent=traceparent,
        eta=eta,
        **fields_of(demands),
    )
    encoded = _encode(spec)
    if demands:
        check_description(spec, encoded)
    task_id = str(uuid7()) if task_id is None else check_task_id(task_id)
    return Submission(task_id, SubmitLine(task_id, priority, encoded, payload))


def _payload(
    args: tuple[object, ...], kwargs: Mapping[str, object] | None, payload: bytes | None, codec: str
) -> tuple[bytes, str]:
    if codec not in CODECS:
        raise InvalidInput(f"codec is {codec!r}, allowed are {', '.join(CODECS)}")
    if payload is None:
        payload, codec = encode_arguments(args, kwargs), MSGPACK
    elif args or kwargs:
        raise InvalidInput("a task has arguments or an encoded payload, not both")
    check_payload_size(payload)
    return payload, codec
