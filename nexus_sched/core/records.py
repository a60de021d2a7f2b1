"""The mutable records of the core: one per live task, one per live worker.

A live task is in exactly one place: it waits (a queue stream holds its pointer) or it is placed (one
inbox does). `TaskRecord.place` says which, and the two sets of fields never mix.
"""

from __future__ import annotations

from nexus_sched.model.task import Task


class TaskRecord:
    """A live task and where it is."""

    __slots__ = (
        "attempt",
        "booked_ms",
        "cancelled",
        "deaths",
        "entry",
        "mean_ms",
        "p50_ms",
        "place",
        "row",
        "starts",
        "stop_entry",
        "task",
        "ticket",
    )

    def __init__(self, task: Task, place: str, entry: str) -> None:
        self.task = task
        self.place = place  # the queue stream, e.g. "q:5", or the inbox, "i:<worker>"
        self.entry = entry  # id of its pointer there
        self.attempt = 0  # number of the newest dispatch, 0 before the first
        self.starts = 0  # attempts known to have been started and not finished
        self.deaths = 0  # workers that were lost while running it
        self.cancelled = False
        self.ticket = 0  # of its valid place in the backlog; older ones are stale
        self.mean_ms = -1.0  # predicted mean service time while waiting, -1 without a prediction
        self.row = -1  # placed: the worker's row
        self.booked_ms = 0.0  # placed: work booked on the worker
        self.p50_ms = -1.0  # placed: predicted median, -1 without
        self.stop_entry = ""  # placed: the control message that asks to stop it, if any

    @property
    def waiting(self) -> bool:
        """Whether a queue stream holds it."""
        return self.place.startswith("q")

    @property
    def worker(self) -> str:
        """The worker whose inbox holds it; empty while it waits."""
        return "" if self.waiting else self.place[2:]


class WorkerRecord:
    """A live worker, in plain Python: what the fallback policies see (`fallback.candidate`)."""

    __slots__ = (
        "accepting",
        "credit",
        "draining",
        "factor",
        "heard_at_ms",
        "in_flight",
        "incarnation",
        "name",
        "placed",
        "row",
        "samples",
        "slots",
        "suspect",
        "worker_class",
    )

    def __init__(self, name: str, row: int, slots: int, worker_class: str, incarnation: int) -> None:
        self.name = name
        self.row = row
        self.slots = slots
        self.worker_class = worker_class
        self.incarnation = incarnation
        self.credit = slots
        self.accepting = True
        self.draining = False
        self.suspect = False
        self.in_flight = 0
        self.heard_at_ms = 0
        self.factor = 1.0  # learned slowness: measured / predicted by type, 1 = average
        self.samples = 0  # completions behind `factor`
        self.placed: dict[str, TaskRecord] = {}  # by task id, oldest dispatch first
