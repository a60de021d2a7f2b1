"""Threads for blocking functions: started when needed, kept, and never waited for at exit.

The standard pool joins its threads when the interpreter ends, so one stuck function would keep a
stopped worker alive; these are daemons. A job must not raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class DaemonThreads:
    """At most `count_max` threads that take jobs in order."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job` run in a thread. Call from one thread only."""
        self._jobs.put(job)
        if self._idle.acquire(blocking=False) or self._count >= self._count_max:
            return
        self._count += 1
        threading.Thread(target=self._work, name=f"nexus-task-{self._count}", daemon=True).start()

    def close(self) -> None:
        """Let idle threads end; a busy one ends after its job."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # or an idle thread would keep its last task alive
            self._idle.release()
