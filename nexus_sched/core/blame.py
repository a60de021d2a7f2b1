"""Whose fault a failed run is: a type that fails wherever it runs says nothing of the workers that ran it.

For every type that failed lately, the last outcome on each of the workers that ran it since is kept (the newest few).
Once it has failed on `WORKERS_MIN` of them, and on nearly all, its failures are its own. Broken workers are told apart
by that "nearly all": where a type fails on a few and succeeds on many, the workers are to blame.
A type that has not failed for a window is forgotten, so a healthy fleet pays one test of an empty table per run.
"""

from __future__ import annotations

from msgspec import Struct

WORKERS_MIN = 3
FAILING_SHARE_MIN = 0.75
WORKERS_MAX = 16  # last outcomes kept of a type
TYPES_MAX = 256


class TypeTrouble(Struct, array_like=True):
    """A type that failed lately."""

    failed_at_ms: int
    outcomes: dict[str, bool]  # worker -> whether its last run succeeded; oldest first

    @property
    def own_fault(self) -> bool:
        """Whether it fails nearly everywhere."""
        failing = sum(not succeeded for succeeded in self.outcomes.values())
        return failing >= WORKERS_MIN and failing >= FAILING_SHARE_MIN * len(self.outcomes)

    def note(self, worker: str, *, succeeded: bool) -> None:
        """Remember the last outcome on a worker."""
        self.outcomes.pop(worker, None)
        self.outcomes[worker] = succeeded
        if len(self.outcomes) > WORKERS_MAX:
            del self.outcomes[next(iter(self.outcomes))]


class Blame:
    """The types in trouble, the one that failed longest ago first."""

    def __init__(self) -> None:
        self.types: dict[str, TypeTrouble] = {}

    def failed(self, task_type: str, worker: str, now_ms: int) -> bool:
        """A run failed; whether that is its type's own fault."""
        trouble = self.types.pop(task_type, None) or TypeTrouble(now_ms, {})
        trouble.failed_at_ms = now_ms
        trouble.note(worker, succeeded=False)
        self.types[task_type] = trouble
        if len(self.types) > TYPES_MAX:
            del self.types[next(iter(self.types))]
        return trouble.own_fault

    def succeeded(self, task_type: str, worker: str, now_ms: int, window_ms: int) -> None:
        """A run succeeded. Call it only while `types` is not empty."""
        trouble = self.types.get(task_type)
        if trouble is not None:
            trouble.note(worker, succeeded=True)
        oldest = next(iter(self.types))
        if now_ms - self.types[oldest].failed_at_ms > window_ms:
            del self.types[oldest]

    def snapshot(self) -> dict[str, TypeTrouble]:
        """Everything, in values."""
        return self.types

    def restore(self, state: dict[str, TypeTrouble]) -> None:
        """The opposite of `snapshot`."""
        self.types = dict(state)
