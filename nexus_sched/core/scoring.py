"""Scoring: one question to the kernel for each decision, and its answer as a bill in milliseconds.

    J_w = omega * wait_w + run_w + transfer_w - affinity_w + health_w + balance_w + fit_w - preferred_w

(placement.md, fact 3.) Waiting, run, health and balance are columns; labels, taints, preferred labels, resources and
fit are one extra column, only for tasks and pools that have them; affinity and the worker to avoid are terms of single
rows. Moving the payload costs the same on every worker but those where the key lives, so it is subtracted there and
added to the answer. Exploring is a wider margin, within which the least loaded worker is taken.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeAlias

from nexus_sched._kernel.bill import bill
from nexus_sched._kernel.digest import digest64
from nexus_sched._kernel.scorer import Scorer
from nexus_sched.core.affinity import Affinity
from nexus_sched.core.eligibility import Eligibility
from nexus_sched.core.objective import weights_of
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.model.terms import NO_NEEDS

TRANSFER_MS_MAX = 1e15  # what the kernel takes
AVOIDED_MS = 1e9  # a task that failed somewhere goes back there, or a suspect to another, if nobody else will have it
MIB_BYTES = 2.0**20
REACH_MS_MAX = 1e9
NO_TERMS: tuple[tuple[int, float], ...] = ()
HELD = -2  # a faster worker is worth waiting for, or all are busy for so long that it waits better in the queue

Means: TypeAlias = "float | array[float]"  # of a task: one for all classes, or one by class index


class Scoring:
    """The question of one task: which open worker has the least J. `affinity` is all the state there is."""

    def __init__(self, roster: Roster, settings: EngineSettings) -> None:
        self._roster = roster
        self._table = roster.table
        self._scorer = Scorer(roster.table)
        self.eligibility = Eligibility(roster)
        self.affinity = Affinity()
        self.score_ms = 0.0  # J of the row chosen last
        self.explored = False  # whether the last choice was exploring
        self.extra_ms: array[float] | None = None  # of the last choice, like the next one
        self._transfer_ms_asked = 0.0
        self.configure(settings)

    def configure(self, settings: EngineSettings) -> None:
        """Take over a configuration; it counts from the next decision on."""
        self.settings = settings
        self.weights = weights_of(settings)
        self._per_mib_ms, self._affinity_ms = settings.transfer_ms_per_mib, settings.affinity_ms
        self._half_life_ms = settings.affinity_half_life_ms
        weights = self.weights  # what every question needs of them
        self._wait_weight, self._tie_ms, self._balance_ms = weights.wait_weight, weights.near_tie_ms, weights.balance_ms
        self._tie_share, self._fit_ms, self._explore_below = (
            weights.near_tie_share,
            weights.fit_ms,
            weights.explore_below,
        )
        self._may_hold = settings.hold_for_faster
        self.reach_ms = min(max(0.0, settings.prefetch_reach * settings.round_trip_ms), REACH_MS_MAX)

    def choose(self, task: Task, means_ms: Means, rotation: int, now_ms: int, avoid: Sequence[str]) -> int:
        """Row of the best worker, -1 if none is open to the task, `HELD` if it had better wait.

        Raises `KernelError` if the means or a score are not usable.
        """
        roster, asks, margin = self._roster, task.asks, self._tie_share
        extra_ms, terms = None, NO_TERMS
        transfer_ms = 0.0  # of moving the payload to where the task's affinity key does not live
        if asks is not None:
            extra_ms = self.eligibility.column(asks.needs, self._fit_ms)
            if asks.affinity:
                if self._per_mib_ms > 0.0 and task.payload_bytes:
                    transfer_ms = min(self._per_mib_ms * task.payload_bytes / MIB_BYTES, TRANSFER_MS_MAX)
                worth_ms = (self._affinity_ms if asks.affinity_ms is None else asks.affinity_ms) + transfer_ms
                terms = self.affinity.terms(asks.affinity, worth_ms, self._half_life_ms, self._table, now_ms)
        elif roster.tainted:
            extra_ms = self.eligibility.column(NO_NEEDS, self._fit_ms)
        if avoid:
            workers = roster.by_name
            terms = (*terms, *((workers[name].row, AVOIDED_MS) for name in avoid if name in workers))
        self.explored = self._explore_below > 0 and digest64(task.id.encode()) < self._explore_below
        if self.explored:
            margin = self.weights.explore_margin
        scorer = self._scorer
        question = (means_ms, self._wait_weight, margin, self._tie_ms, rotation, self._balance_ms, extra_ms, terms)
        row = scorer.choose(*question)
        if row < 0:
            return row
        if self._table.wait_ms(row) > self.reach_ms and not scorer.has_idle(extra_ms):
            row = scorer.choose(*question, self.reach_ms)
            if row < 0:
                return HELD
        self.score_ms = scorer.score_ms + transfer_ms
        self.extra_ms, self._transfer_ms_asked = extra_ms, transfer_ms
        return HELD if self._may_hold and self._worth_waiting(means_ms, extra_ms, row) else row

    def _worth_waiting(self, means_ms: Means, extra_ms: array[float] | None, row: int) -> bool:
        """Whether a busy worker will be done with the task before an idle one would, by more than a near tie."""
        scorer, weights = self._scorer, self.weights
        here_ms = scorer.finish_ms(means_ms, row)
        there_ms = scorer.soonest_busy_ms(means_ms, extra_ms)
        return there_ms + max(weights.near_tie_share * there_ms, weights.near_tie_ms) < here_ms

    def extra_column(self, task: Task) -> array[float] | None:
        """What is added to the score of each row for labels, taints, resources and fit; see `Eligibility.column`."""
        asks = task.asks
        if asks is None and not self._roster.tainted:
            return None
        return self.eligibility.column(asks.needs if asks is not None else NO_NEEDS, self.weights.fit_ms)

    def written_bill(self, row: int, top: int, turn: int) -> tuple[bytes, tuple[str, ...], str, float]:
        """The bill of the last choice, its workers, round robin's, and what the others promised; see `_kernel.bill`."""
        base_ms = None if self.extra_ms is None else self.eligibility.base_ms
        return bill(self._scorer, row, top, self._transfer_ms_asked, base_ms, turn)

    def sent(self, task: Task, worker: WorkerRecord, now_ms: int) -> None:
        """The task goes to this worker: its affinity key lives there from now on."""
        if task.asks is not None and task.asks.affinity:
            self.affinity.sent(task.asks.affinity, worker.name, now_ms, self.settings.affinity_keys_max)
