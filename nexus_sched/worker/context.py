"""What a running task can know of itself, and how it learns that it should stop.

`current()` answers inside the function of a task and in everything it awaits or calls in its thread.
Stopping is cooperative: an asynchronous function is cancelled by asyncio, a blocking one looks at
`cancelled`, calls `check_cancelled()`, or sleeps with `wait()`.
"""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar


class TaskCancelled(Exception):
    """Raised by `check_cancelled()`: the task should stop. Let it pass, and the task ends as cancelled."""


class Context:
    """One run of one task. `deadline_s` is an instant of `time.monotonic()`, or `None`."""

    __slots__ = ("_cancelled", "_event", "attempt", "deadline_s", "task_id", "task_type", "traceparent")

    def __init__(
        self, task_id: str, attempt: int, task_type: str, deadline_s: float | None, traceparent: str | None
    ) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.task_type = task_type
        self.deadline_s = deadline_s
        self.traceparent = traceparent
        self._cancelled = False
        self._event: threading.Event | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the task should stop: it was cancelled, ran out of time, or its worker gave up on it."""
        return self._cancelled

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the time-out, never negative; `None` if there is none."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - time.monotonic())

    def check_cancelled(self) -> None:
        """Raise `TaskCancelled` if the task should stop."""
        if self._cancelled:
            raise TaskCancelled(f"task {self.task_id} was cancelled")

    def wait(self, seconds: float) -> bool:
        """Sleep in a thread, but wake at once if the task should stop; gives `cancelled`."""
        if self._event is None:
            self._event = threading.Event()
        # `cancel` sets the flag before it looks for the event, so one of the two sees the other.
        return self._cancelled or self._event.wait(seconds)

    def cancel(self) -> None:
        """Ask the task to stop; called by the worker, from any thread."""
        self._cancelled = True
        if self._event is not None:
            self._event.set()


_current: ContextVar[Context] = ContextVar("nexus_sched_task")

enter = _current.set
leave = _current.reset


def current() -> Context:
    """The task that is running here; raises `RuntimeError` outside of one."""
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError("current() was called outside of a task") from None
