"""What is done when runs are not as predicted: a worker's pace is learned anew, and what waits behind is moved.

* A task that has run for `STRAGGLER_TIMES` its 95th percentile is a straggler: counted, and people hear of it. It is
  evidence of its worker's pace before it ends.
* When the runs of a worker have changed their pace (`core.pace`), its factor starts anew from the runs since then; one
  that became slow is tried again after a while (`core.forgiving`).
* At most every `pause_ms`, tasks that wait in the inbox of a worker with an overdue run are asked back, if a worker
  whose slot was left free by what waits in the backlog would finish them sooner, by `2 RTT`, `gain_share_min` of the
  run and `gain_ms_min` (placement.md, re-scheduling). They return by way of `q:r` under their old order key. A task is
  moved at most `moves_max` times, and asked for once per attempt.

Only workers where something is overdue are looked at, `LOOKS_MAX` of them at a time, in turns: no loop over the fleet.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from nexus_sched.core.freeing import expected_left_ms
from nexus_sched.core.pace import PaceDrift
from nexus_sched.core.records import Booking, TaskRecord, WorkerRecord
from nexus_sched.core.state import EngineState
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import PREDICTIVE

STRAGGLER_TIMES = 2.0  # the 95th percentile
NOTICE_PAUSE_MS = 1_000  # between two notices of stragglers, or of paces; the counters have them all
LOOKS_MAX = 32  # workers in one look
MOVES_LOOK_MAX = 4  # tasks of one worker in one look
MISSES_MAX = 4  # workers of one look whose tasks find nobody free; then nobody is
PACE_TOLD = 1.25  # times as slow or as fast: less than that is not worth telling


class Reactions:
    """Works on `state.late`, the workers with overdue runs and something waiting behind them, the next one first."""

    def __init__(self, state: EngineState) -> None:
        self._state = state
        self._paces = state.roster.paces

    # -- what has been noticed -------------------------------------------------------------------------

    def note(self, overdue: Sequence[TaskRecord]) -> None:
        """These tasks have just been found to run longer than predicted, once more."""
        state = self._state
        for record in overdue:
            worker = state.roster.by_name.get(record.worker)
            if worker is None:
                continue
            if worker.in_flight > worker.slots:
                state.late.setdefault(worker.name)
            booking = record.booked
            prediction = booking.prediction
            if prediction is None or booking.straggled_ms or prediction.p95_ms <= 0.0:
                continue
            passed_ms = float(state.now_ms - booking.placed_ms)
            if passed_ms > STRAGGLER_TIMES * prediction.p95_ms and record in running(worker):
                self._straggles(worker, record, prediction, passed_ms)

    def _straggles(
        self, worker: WorkerRecord, record: TaskRecord, prediction: TaskPrediction, passed_ms: float
    ) -> None:
        state = self._state
        record.booked.straggled_ms = passed_ms
        state.counters["stragglers"] += 1
        if state.now_ms >= state.straggler_told_ms + NOTICE_PAUSE_MS:
            state.straggler_told_ms = state.now_ms
            expected = f"p95 was {prediction.p95_ms:.0f} ms"
            state.notice(
                "straggler", f"straggler: {record.task.id} runs on {worker.name} for {passed_ms:.0f} ms, {expected}"
            )
        self._weigh(worker, passed_ms, record.mean_ms, prediction)

    def learn(
        self, worker: WorkerRecord, mean_ms: float, booking: Booking, told: TaskPrediction, run_ms: float
    ) -> None:
        """A run ended well that was booked on this worker: what it says of the worker's pace.

        `mean_ms` is what its type takes on the worker's class, `told` what had been predicted for this worker.
        """
        if worker.slowed is not None or booking.straggled_ms:
            self._learn_anyway(worker, mean_ms, booking, told, run_ms)
            return
        changed = self._paces.take(
            worker,
            worker.row,
            run_ms,
            mean_ms,
            booking.pace,
            told.p50_ms,
            told.mean_ms,
            told.p95_ms,
            told.p10_ms,
            told.p90_ms,
        )
        if changed:
            self._change_pace(worker, changed)
            self._learn(worker, mean_ms, booking, told, run_ms)

    def _learn_anyway(
        self, worker: WorkerRecord, mean_ms: float, booking: Booking, told: TaskPrediction, run_ms: float
    ) -> None:
        """The same of a slowed worker, or of a straggler: that counts once, what was said of it is only made good."""
        state = self._state
        if worker.slowed is not None and run_ms > 0.0 and mean_ms > 0.0:
            state.forgiving.judge(worker, worker.slowed, run_ms / mean_ms, state.now_ms)
        if booking.straggled_ms:
            worker.make_good(run_ms - booking.straggled_ms)
        else:
            self._weigh(worker, run_ms, mean_ms, told)
        self._learn(worker, mean_ms, booking, told, run_ms)

    def _weigh(self, worker: WorkerRecord, run_ms: float, mean_ms: float, told: TaskPrediction) -> None:
        """Whether a run says that the worker's pace has changed."""
        changed = self._paces.observe(worker, run_ms, mean_ms, told.p50_ms, told.p95_ms)
        if changed:
            self._change_pace(worker, changed)

    def _learn(
        self, worker: WorkerRecord, mean_ms: float, booking: Booking, told: TaskPrediction, run_ms: float
    ) -> None:
        """Move the worker's factor and pace by a run that has been weighed."""
        quantiles_ms = told.p50_ms, told.mean_ms, told.p95_ms, told.p10_ms, told.p90_ms
        self._paces.learn(worker, worker.row, run_ms, mean_ms, booking.pace, *quantiles_ms)

    def _change_pace(self, worker: WorkerRecord, factor: float) -> None:
        state = self._state
        drift = worker.drift or PaceDrift()
        former, slower = drift.former, drift.slower > 0.0
        worker.drift = None
        self._paces.restart(worker, worker.row, factor, drift.runs)
        if slower:
            state.forgiving.begin(worker, former, state.now_ms)
            if worker.in_flight > worker.slots:
                state.late.setdefault(worker.name)
        else:
            worker.slowed = None
        if not 1.0 / PACE_TOLD <= worker.factor / former <= PACE_TOLD:
            state.counters["pace_changes"] += 1
            if not state.pace_told_ms or state.now_ms >= state.pace_told_ms + NOTICE_PAUSE_MS:
                state.pace_told_ms = state.now_ms
                detail = f"pace: {worker.name} takes {worker.factor:.2f} times the average, it was {former:.2f}"
                state.notice("pace", f"{detail}; {drift.runs} runs say so")

    # -- moving what has not started -------------------------------------------------------------------

    def look(self) -> None:
        """Ask back what would be better off elsewhere. Once a turn; mostly there is nothing to look at."""
        state = self._state
        state.forgiving.tend(state.now_ms)
        state.look_wanted = bool(state.late)
        if not state.late or state.now_ms < state.next_look_ms:
            return
        settings = state.settings.reaction
        state.next_look_ms, state.look_wanted = state.now_ms + max(1, settings.pause_ms), False
        if not settings.move or state.placement.mode != PREDICTIVE:
            state.late.clear()
            return
        promised: list[tuple[int, float]] = []
        misses = 0
        for name in list(islice(state.late, LOOKS_MAX)):
            del state.late[name]
            worker = state.roster.by_name.get(name)
            if worker is None or worker.in_flight <= worker.slots:
                continue
            if misses < MISSES_MAX:
                misses += not self._relieve(worker, promised)
            if any(record.booked.overdue for record in running(worker)):
                state.late[name] = None  # at the end: the others come first
        for row, work_ms in promised:
            state.roster.table.settle(row, work_ms)

    def due_ms(self) -> int | None:
        """When there is something to do even without events: a task becomes overdue, or a look was put off."""
        state = self._state
        if state.look_wanted:
            return state.next_look_ms
        overdue_ms, forgiven_ms = state.overdue.due_ms(state.tasks), state.forgiving.due_ms()
        if overdue_ms is None:
            return forgiven_ms
        overdue_ms = max(overdue_ms, state.next_look_ms)
        return overdue_ms if forgiven_ms is None else min(overdue_ms, forgiven_ms)

    def _relieve(self, worker: WorkerRecord, promised: list[tuple[int, float]]) -> bool:
        """Ask for the tasks of a worker that gain, the one that would start next first. False if nobody is free.

        What a free worker is to get counts as booked there until the look is over, so that the next one goes elsewhere.
        """
        state = self._state
        settings, round_trip_ms = state.settings.reaction, state.settings.round_trip_ms
        ahead_ms = sum(expected_left_ms(record, state.now_ms) for record in running(worker))
        for record in list(islice(worker.placed.values(), worker.slots, worker.slots + MOVES_LOOK_MAX)):
            booking, past = record.booked, record.past
            here_ms = ahead_ms / worker.slots + booking.booked_ms
            ahead_ms += booking.booked_ms
            if booking.cancelled or past.moves >= settings.moves_max or past.recalled == record.attempt:
                continue
            choice = state.placement.place(record.task, state.now_ms, (worker.name,))
            if choice is None or choice.mean_ms <= 0.0:
                return False
            target = choice.worker
            if target is worker or state.roster.table.in_flight(target.row) >= target.slots:
                return False
            there_ms = choice.mean_ms * target.factor
            gain_ms = here_ms - there_ms - 2.0 * round_trip_ms
            if gain_ms < max(2.0 * round_trip_ms, settings.gain_share_min * there_ms, settings.gain_ms_min):
                continue
            history = record.remembered()
            history.recalled, history.avoid = record.attempt, worker.name
            history.moves += 1
            state.counters["moves"] += 1
            state.retracts.append((record.task.id, record.attempt))
            state.roster.table.book(target.row, there_ms)
            promised.append((target.row, there_ms))
        return True


def running(worker: WorkerRecord) -> list[TaskRecord]:
    """What a worker is taken to run: the oldest that it holds, one in each slot."""
    return list(islice(worker.placed.values(), worker.slots))
