"""What a demonstration is asked to do, and the bounds of it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from nexus_sched.errors import InvalidInput, NexusError
from nexus_sched.model.worker import SLOTS_MAX

WORKERS_MAX = 500
TASKS_MAX = 200_000  # in one half; all of their records are kept in memory
DURATION_S_MIN = 1.0
DURATION_S_MAX = 3_600.0
LOAD_MAX = 2.0


class DemoInterrupted(NexusError):
    """Somebody asked the demonstration to stop; everything it had started is gone."""

    code = "INTERRUPTED"
    exit_code = 130


class DemoFailed(NexusError):
    """The demonstration could not run to its end; the message holds the last words of who failed."""

    code = "DEMO_FAILED"


class DemoOptions(Struct, frozen=True, kw_only=True):
    """Size and content of both halves. Raises `InvalidInput` when a bound is broken.

    `load` is the share of all slot time that the tasks would need if every worker got an equal part of
    them, which is what round robin gives.
    """

    workers: int = 24
    slots: int = 2  # of each worker
    rate: float = 200.0  # tasks a second
    duration_s: float = 30.0  # of each half: how long tasks arrive
    seed: int = 1
    trace: Path | None = None  # a file in the trace format instead of the generator
    load: float = 0.8
    port: int = 0  # of the gateway; 0 takes a free one

    def __post_init__(self) -> None:
        within = (
            ("workers", self.workers, 1, WORKERS_MAX),
            ("slots", self.slots, 1, SLOTS_MAX),
            ("rate", self.rate, 0.1, 10_000.0),
            ("duration", self.duration_s, DURATION_S_MIN, DURATION_S_MAX),
            ("load", self.load, 0.01, LOAD_MAX),
            ("port", self.port, 0, 65_535),
            ("tasks in one half (rate x duration)", self.tasks, 1, TASKS_MAX),
        )
        for name, value, lowest, highest in within:
            if not lowest <= value <= highest:  # also true for NaN
                raise InvalidInput(f"{name} is {value}, it must be from {lowest} to {highest}")

    @property
    def tasks(self) -> int:
        """How many tasks each half submits."""
        return round(self.rate * self.duration_s) if self.rate * self.duration_s < 2 * TASKS_MAX else 2 * TASKS_MAX
