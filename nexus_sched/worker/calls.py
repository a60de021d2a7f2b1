"""One call of a user's function, from payload to ending. Nothing a function does gets out of here.

Law: an ending is always a value. Arguments that do not fit are REJECTED, whatever the function raises
is FAILED with type, message and last frame, a result that cannot travel is FAILED with the reason.
Only the function itself is timed.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from pathlib import PurePath
from typing import NamedTuple

from nexus_sched.errors import InvalidInput
from nexus_sched.model.outcome import ERROR_LENGTH_MAX, Outcome
from nexus_sched.model.payload import decode_arguments, encode_result
from nexus_sched.worker import context as running
from nexus_sched.worker.context import Context, TaskCancelled
from nexus_sched.worker.functions import TaskFunction

_clock_s = time.perf_counter


class Ending(NamedTuple):
    """How one call ended. `result` is empty unless it succeeded, `error` empty if it did."""

    outcome: Outcome
    run_ms: float
    result: bytes = b""
    error: str = ""
    cpu_ms: float = 0.0  # processor time of a blocking function, 0 if it was not measured
    memory_bytes: int = 0  # the most that a process of its own held meanwhile, 0 if it was not measured


async def call_awaiting(function: TaskFunction, codec: str, payload: bytes, context: Context) -> Ending:
    """Run an asynchronous function here; a cancellation passes through."""
    try:
        args, kwargs = function.bind(decode_arguments(codec, payload))
    except InvalidInput as error:
        return rejected(str(error))
    running.enter(context)  # an asyncio task has a copy of the context of its own: nothing to restore
    started_s = _clock_s()
    try:
        value = await function.call(*args, **kwargs)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # a task may not end its worker, not even with SystemExit
        return _failed(error, started_s)
    return _succeeded(value, started_s)


def call_blocking(function: TaskFunction, codec: str, payload: bytes, context: Context) -> Ending:
    """Run a blocking function in this thread."""
    try:
        args, kwargs = function.bind(decode_arguments(codec, payload))
    except InvalidInput as error:
        return rejected(str(error))
    token = running.enter(context)
    started_s, cpu_began_s = _clock_s(), time.thread_time()
    try:
        value = function.call(*args, **kwargs)
    except BaseException as error:  # a task may not end its worker, not even with SystemExit
        return _failed(error, started_s)
    finally:
        running.leave(token)
    cpu_ms = (time.thread_time() - cpu_began_s) * 1e3  # of this thread: what others do meanwhile is theirs
    return _succeeded(value, started_s)._replace(cpu_ms=cpu_ms)


def rejected(reason: str) -> Ending:
    """The ending of a task that was never entered."""
    return Ending(Outcome.REJECTED, 0.0, b"", reason[:ERROR_LENGTH_MAX])


def _succeeded(value: object, started_s: float) -> Ending:
    run_ms = (_clock_s() - started_s) * 1e3
    try:
        return Ending(Outcome.SUCCEEDED, run_ms, encode_result(value))
    except InvalidInput as error:
        return Ending(Outcome.FAILED, run_ms, b"", str(error)[:ERROR_LENGTH_MAX])


def _failed(error: BaseException, started_s: float) -> Ending:
    run_ms = (_clock_s() - started_s) * 1e3
    outcome = Outcome.CANCELLED if isinstance(error, TaskCancelled) else Outcome.FAILED
    return Ending(outcome, run_ms, b"", describe(error))


def describe(error: BaseException) -> str:
    """Type, message and the frame that raised, bounded: what a submitter sees of a failure."""
    try:
        message = str(error)
    except Exception:  # a broken __str__ must not hide which error it was
        message = "(its message cannot be shown)"
    name = type(error).__name__
    text = f"{name}: {message}" if message else name
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    where = f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return text[: ERROR_LENGTH_MAX - len(where)] + where if len(where) < ERROR_LENGTH_MAX else text[:ERROR_LENGTH_MAX]
