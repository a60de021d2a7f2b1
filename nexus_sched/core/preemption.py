"""Running tasks that give way to much more urgent ones (placement.md, the engine's rules). Off by default.

Law: a run is asked to give way only if that pays: the urgent task is `priority_gap` above it, no slot is about to
become free anyway, and the wait it saves outweighs the work that is lost. The victim is the least urgent, then the one
that has run least. Stopping is cooperative: the worker hands the task back and it waits again, which counts neither as
a failure nor as a start, and teaches nobody. One task gives way at most every `pause_ms`, and `times_max` times.

What began as a copy never gives way. At most as many runs are asked as urgent tasks wait, and at most one a turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from nexus_sched.core.records import TaskRecord
from nexus_sched.core.state import EngineState
from nexus_sched.model.settings import PREDICTIVE
from nexus_sched.model.task import PRIORITY_MAX, Retry

STALE_MAX = 1_024  # entries of runs that have ended; more than that are swept out
ROUND_TRIPS_MIN = 3.0  # a run that ends within this many is not worth stopping
LOOKED_AT_MAX = 64  # runs of one priority that are considered in one turn


class Preemption:
    """Which runs could give way, newest last, by priority."""

    def __init__(self, state: EngineState) -> None:
        self._state = state
        self._runs: list[list[tuple[str, int]]] = [[] for _ in range(PRIORITY_MAX + 1)]
        self._watching = False

    def watch(self, record: TaskRecord) -> None:
        """A task has been placed."""
        if self._state.settings.preemption.enabled:
            runs = self._runs[record.task.priority]
            runs.append((record.task.id, record.attempt))
            if len(runs) > 2 * len(self._state.tasks) + STALE_MAX:
                self.restore(self._state.tasks.values())

    def consider(self) -> None:
        """Ask one run to give way to the first task that waits, if that pays."""
        state = self._state
        rules = state.settings.preemption
        if not rules.enabled or state.placement.mode != PREDICTIVE:
            self._watching = self._watching and rules.enabled
            return
        if not self._watching:
            self.restore(self._state.tasks.values())  # the rules were switched on just now
        head = state.backlog.peek()
        if head is None or head.task.priority < rules.priority_gap:
            return
        urgency = head.task.priority
        asked = state.asked[urgency]
        if asked >= state.backlog.waiting_at(urgency):
            return
        saved_ms = state.overdue.soonest_ms(state.tasks, asked) - state.now_ms
        victim = self._victim(head, urgency - rules.priority_gap, saved_ms)
        if victim is not None:
            victim.booked.gives_way = urgency
            victim.remembered().preempted_at_ms = state.now_ms
            state.asked[urgency] += 1
            state.stops.append(victim)

    def _victim(self, head: TaskRecord, priority_max: int, saved_ms: float) -> TaskRecord | None:
        state = self._state
        rules = state.settings.preemption
        elapsed_ms_max = saved_ms / rules.gain_min - rules.restart_ms
        if elapsed_ms_max < 0.0:
            return None
        for runs in self._runs[: priority_max + 1]:
            for record in islice(self._live(runs), LOOKED_AT_MAX):
                if state.now_ms - record.booked.placed_ms > elapsed_ms_max:
                    break  # all before it have run longer
                if self._may_give_way(record) and state.placement.could_run(head.task, record):
                    return record
        return None

    def _live(self, runs: list[tuple[str, int]]) -> Iterator[TaskRecord]:
        """Those that have not ended, newest first."""
        tasks = self._state.tasks
        for task_id, attempt in reversed(runs):
            record = tasks.get(task_id)
            if record is not None and not record.waiting and record.attempt == attempt:
                yield record

    def _may_give_way(self, record: TaskRecord) -> bool:
        state = self._state
        rules = state.settings.preemption
        booking, past = record.booked, record.past
        if (
            booking.gives_way >= 0
            or booking.cancelled
            or record.task.id in state.copies
            or past.preemptions >= rules.times_max
            or record.task.retry is Retry.NEVER
        ):
            return False
        if past.preemptions and state.now_ms - past.preempted_at_ms < rules.pause_ms:
            return False
        remaining_ms = booking.placed_ms + booking.booked_ms - state.now_ms
        if remaining_ms <= ROUND_TRIPS_MIN * state.settings.round_trip_ms:
            return False
        worker = state.roster.by_name.get(record.worker)
        # what lies behind the slots of its worker has not begun, and would free nothing
        return worker is not None and record.task.id in islice(worker.placed, worker.slots)

    def restore(self, records: Iterable[TaskRecord]) -> None:
        """Everything again from the tasks: of a snapshot, after a change of rules, or to be rid of what has ended."""
        self._runs = [[] for _ in range(PRIORITY_MAX + 1)]
        self._state.asked = [0] * (PRIORITY_MAX + 1)
        self._watching = self._state.settings.preemption.enabled
        placed = [record for record in records if record.booking is not None]
        for record in sorted(placed, key=_dispatch_order):
            booking = record.booked
            if self._watching and not booking.copied:
                self._runs[record.task.priority].append((record.task.id, record.attempt))
            if booking.gives_way >= 0:
                self._state.asked[booking.gives_way] += 1


def _dispatch_order(record: TaskRecord) -> tuple[int, int]:
    """Turn and number of its dispatch."""
    turn, _, index = record.entry.partition("-")
    return int(turn), int(index)
