"""What a worker needs of whatever runs its tasks. `executors.Executors` runs them; a simulation lets time pass instead.

Laws: `settled` is called once for each run whose ending is known, unless it was abandoned; `released` once its slot is
free again, never before it was settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from nexus_sched.model.outcome import Outcome
from nexus_sched.worker.calls import Ending
from nexus_sched.worker.executors import Run
from nexus_sched.worker.functions import TaskFunction


class Execution(Protocol):
    """All runs of one worker."""

    occupied: int  # slots that are not free

    def start(self, run: Run) -> None:
        """Occupy a slot and begin."""

    def stop(self, run: Run, verdict: Outcome) -> None:
        """Tell a run to end, as CANCELLED, PREEMPTED or TIMED_OUT. Nothing happens if it was told before."""

    async def abandon(self) -> None:
        """End everything without reporting it."""

    async def close(self) -> None:
        """Let go of everything. Never raises."""


# of the number of slots, the functions, and what is to be called when a run is settled and when its slot is free
MakeExecutors = Callable[
    [int, Iterable[TaskFunction], Callable[[Run, Ending], None], Callable[[], None]],
    Execution,
]
