"""What happens to tasks: submitted, reclaimed, finished, vanished, refused, cancelled.

A live task is in exactly one place. Each handler here moves it along one edge of that graph:

      submitted -> WAITING --dispatch--> PLACED --finished--> ended
                     ^  |                  |  |
                     |  +--cancel--> ended |  +--vanished--> ended
                     +-----reclaimed-------+
                           (or dead letter, if it may not run again)

Facts that do not fit (a repeat, a late completion) are expected: they are counted, tidied up, and change nothing else.
"""

from __future__ import annotations

from nexus_sched.core.delays import backoff_ms
from nexus_sched.core.forecasts import PINNED
from nexus_sched.core.lifecycle import why_not_again
from nexus_sched.core.placing import Placing
from nexus_sched.core.reaction import Reactions
from nexus_sched.core.records import Booking, TaskRecord, WorkerRecord
from nexus_sched.core.state import EngineState
from nexus_sched.core.suspects import MANY_DIE_FACTOR, blame
from nexus_sched.core.worker_breaker import bad_case_ms
from nexus_sched.model.effects import Discard
from nexus_sched.model.events import (
    CancelRequested,
    TaskFinished,
    TaskReclaimed,
    TaskRefused,
    TaskSubmitted,
    TaskVanished,
)
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.task import DURATION_MS_MAX, PRIORITY_MAX

SUCCEEDED = Outcome.SUCCEEDED  # looked up once: it is asked for with every run
QUEUE_STREAMS = tuple(f"q:{priority}" for priority in range(PRIORITY_MAX + 1))


class TaskEvents:
    """Handlers of what the store and submitters say of tasks."""

    def __init__(self, state: EngineState, placing: Placing, reactions: Reactions) -> None:
        self._state = state
        self._placing = placing
        self._reactions = reactions

    def submitted(self, event: TaskSubmitted) -> None:
        """A task is in a queue stream: let it wait for its turn."""
        state = self._state
        task = event.task
        stream = QUEUE_STREAMS[task.priority]
        known = state.tasks.get(task.id)
        if known is not None:
            state.counters["repeated"] += 1
            if (known.place, known.entry) != (stream, event.entry):
                state.effects.append(Discard(stream, event.entry))
            return
        if state.settings.learn_requests:
            task = state.requests.completed(task, state.roster.resources.columns)
        record = TaskRecord(task, stream, event.entry)
        if event.attempts:
            record.remembered().attempts = event.attempts
        if task.asks is not None and task.asks.not_before_ms:
            record.remembered().not_before_ms = task.asks.not_before_ms
        state.tasks[task.id] = record
        state.counters["submitted"] += 1
        self._placing.queue(record)
        if task.asks is not None and not state.etas.submitted(record):
            return
        if state.backlog.listener is not None:
            state.etas.queue.arrived(record, state.now_ms)

    def reclaimed(self, event: TaskReclaimed) -> None:
        """A dispatched task came back: let it wait again, or end it."""
        state = self._state
        record = state.tasks.get(event.task_id)
        if record is None:
            # Its end overtook this pointer, or it is nobody's: the commit ends it only if it still lives.
            state.end_dead(
                event.task_id,
                Reason.ENGINE_ERROR,
                event.attempt,
                event.worker,
                "reclaimed but unknown",
                "q:r",
                event.entry,
            )
            return
        if state.copies and self._one_of_two_reclaimed(record, event):
            return
        if record.waiting or record.attempt != event.attempt:
            state.counters["repeated"] += 1
            if (record.place, record.entry) != ("q:r", event.entry):
                state.effects.append(Discard("q:r", event.entry))
            return
        booking = record.booked
        started = event.started or bool(
            booking.spare
        )  # of a run whose copy came back the store does not know it any more
        state.unplace(record, max(0.0, float(state.now_ms - booking.placed_ms)) if started else 0.0)
        record.place, record.entry = "q:r", event.entry
        state.counters["reclaimed"] += 1
        if event.reason is Reason.PREEMPTED:
            record.remembered().preemptions += 1  # no failure, and not one of its starts
            state.counters["preempted"] += 1
        elif started:
            record.remembered().starts += 1
            self._blame(record, event)
        if booking.cancelled:
            state.end_cancelled(record)
            return
        reason = self._why_not_again(record)
        if reason is None:
            if event.reason is Reason.RUN_FAILED:
                history = record.remembered()
                history.retries += 1
                history.avoid = event.worker
                history.not_before_ms = state.now_ms + backoff_ms(record, state.settings)
            self._placing.queue(record)
            state.etas.moved(record)
        else:
            state.bury(record, reason, event.worker, f"taken back: {event.reason.value}")

    def _why_not_again(self, record: TaskRecord) -> Reason | None:
        deaths_max = self._state.settings.worker_killer_deaths
        if self._state.ejection.many_die(self._state.now_ms):
            deaths_max *= MANY_DIE_FACTOR
        return why_not_again(record, deaths_max)

    def finished(self, event: TaskFinished) -> None:
        """A run ended for good."""
        state = self._state
        record = state.tasks.get(event.task_id)
        if record is None:
            state.counters["repeated"] += 1
            return
        if state.copies:
            record = self._winner(record, event.attempt)
        run_ms, name = event.run_ms, event.worker
        worker = state.roster.by_name.get(name)
        on_time = record.attempt == event.attempt and record.place == "i:" + name
        if not on_time:
            state.counters["late"] += 1
            state.effects.append(Discard(record.place, record.entry))
        if worker is not None:
            worker.heard_at_ms = state.now_ms
            state.roster.table.heard(worker.row, state.now_ms)
        if run_ms < 0.0:  # the border could make nothing of what the worker had measured
            self._hear(state.forecasts.accuse(name))
        measured = 0.0 <= run_ms <= DURATION_MS_MAX
        if event.outcome is SUCCEEDED:
            self._succeeded(record, event, worker, record.booking if on_time else None, measured)
        elif event.outcome is Outcome.CANCELLED:
            state.counters["cancelled"] += 1
        else:
            state.counters["failed"] += 1
            cost_ms = bad_case_ms(None if record.booking is None else record.booking.prediction)
            state.ejection.failed(name, record.task.type, cost_ms, f"a run {event.outcome.value}", state.now_ms)
        state.forget(record, run_ms if measured else 0.0, worker if on_time else None)

    def _succeeded(
        self,
        record: TaskRecord,
        event: TaskFinished,
        worker: WorkerRecord | None,
        booking: Booking | None,
        measured: bool,
    ) -> None:
        """A run ended well: whoever learns from runs learns from it. `booking` unless the run was not the newest.

        Of all events the most frequent one, so what most runs need is spelled out here (decision 0038).
        """
        state, counters, run_ms = self._state, self._state.counters, event.run_ms
        task_type, now_ms = record.task.type, state.now_ms
        counters["finished"] += 1
        if booking is not None:
            state.overdue.returned(booking, run_ms, now_ms)
            if booking.other_at_ms:  # the best of the other workers had promised an end
                counters["compared"] += 1
                if now_ms > booking.other_at_ms:
                    counters["regretted"] += 1
                    counters["regret_ms"] += now_ms - booking.other_at_ms
        if worker is not None:
            if (
                worker.ramp
                or worker.breaker is not None
                or now_ms >= worker.bucket_until_ms
                or state.ejection.blame.types
            ):
                state.ejection.succeeded(worker, task_type, now_ms)
            else:
                worker.runs += 1
        if state.etas.told:
            state.etas.finished(record, run_ms)
        if event.cpu_ms or event.memory_bytes:
            state.requests.learn(task_type, event)
        if not measured:
            return
        told = None
        if booking is not None and (told := booking.prediction) is not None:
            counters["predictions"] += 1
            if state.forecasts.count(booking, told, run_ms):
                counters["predictions_within"] += 1
            if worker is not None and told.basis != PINNED:  # a pin says nothing of the worker
                self._reactions.learn(worker, record.mean_ms, booking, told, run_ms)
        worker_class = "" if worker is None else worker.worker_class
        notice = state.forecasts.learn(record.task, event.worker, worker_class, run_ms, told, now_ms)
        if notice is not None:
            self._hear([notice])

    def _blame(self, record: TaskRecord, event: TaskReclaimed) -> None:
        """A run came back that had been started: whether its worker failed, or died of it."""
        state = self._state
        ejection, task_type, cost_ms = state.ejection, record.task.type, bad_case_ms(record.booked.prediction)
        if event.reason in (Reason.WORKER_LOST, Reason.WORKER_RESTARTED):
            ejection.died(event.worker, task_type, cost_ms, state.now_ms)
            blame(record)
        elif event.reason is Reason.RUN_FAILED:
            ejection.failed(event.worker, task_type, cost_ms, "a run failed", state.now_ms)

    def _hear(self, notices: list[str]) -> None:
        """Count and pass on what predictors have noticed."""
        for notice in notices:
            kind = notice.partition(":")[0]
            self._state.counters["distrusted" if kind == "distrust" else "drifts"] += 1
            self._state.notice(kind, notice)

    def vanished(self, event: TaskVanished) -> None:
        """Only the pointer of a task was left in an inbox."""
        state = self._state
        record = state.tasks.get(event.task_id)
        if record is None:
            return
        if state.copies and self._one_of_two_vanished(record, event.attempt):
            return
        if record.place != "i:" + event.worker or record.attempt != event.attempt:
            return
        booking = record.booked
        if booking.spare:
            entry, booking.spare = booking.spare, ""
            record.remembered().starts += 1  # its copy had begun, and whether it had itself nobody can tell any more
            self._wait_again(record, entry, event.worker)
            return
        state.counters["vanished"] += 1
        state.forget(record)

    def _winner(self, record: TaskRecord, attempt: int) -> TaskRecord:
        """Of a task and its copy the record that has finished; the other one is told to stop."""
        state = self._state
        copy = state.copies.get(record.task.id)
        if copy is None:
            return record
        if copy.attempt != attempt:
            state.drop_copy(record)
            state.strays.append(copy)
            return record
        state.strays.append(record)
        return state.promote_copy(record)

    def _one_of_two_vanished(self, record: TaskRecord, attempt: int) -> bool:
        """Whether this attempt was a task's run or copy while the other one goes on; then that is all there is now."""
        state = self._state
        copy = state.copies.get(record.task.id)
        if copy is None or attempt not in (copy.attempt, record.attempt):
            return False
        if attempt == copy.attempt:
            state.drop_copy(record)
        else:
            state.promote_copy(record)
        return True

    def _one_of_two_reclaimed(self, record: TaskRecord, event: TaskReclaimed) -> bool:
        """The same for one that came back into the queue.

        Once a copy has come back, the store lets only higher attempts start. If nobody had begun, the original cannot
        begin any more: the task waits again. If the copy had begun, the original most likely runs, and its completion
        counts; but should it turn out not to (it vanishes), the pointer that came back is kept for it as a spare.
        """
        state = self._state
        copy = state.copies.get(record.task.id)
        if copy is None or event.attempt not in (copy.attempt, record.attempt):
            return False
        state.counters["reclaimed"] += 1
        if event.started:
            self._blame(record, event)
        if event.attempt == record.attempt:
            state.promote_copy(record)
            state.effects.append(Discard("q:r", event.entry))
            return True
        state.drop_copy(record)
        if not event.started:
            state.effects.append(Discard(record.place, record.entry))
            self._wait_again(record, event.entry, event.worker)
            return True
        state.suspects.placed(record, state.tasks)
        if record.booked.spare:
            state.effects.append(Discard("q:r", event.entry))
        else:
            record.booked.spare = event.entry
        return True

    def _wait_again(self, record: TaskRecord, entry: str, worker: str) -> None:
        """A placed task, of which `worker` has no run now, is nowhere but in `q:r` any more: it waits, or ends."""
        state = self._state
        state.unplace(record)
        record.place, record.entry = "q:r", entry
        if record.booked.cancelled:
            state.end_cancelled(record)
        elif (reason := self._why_not_again(record)) is not None:
            state.bury(record, reason, worker, "neither its run nor the copy of it is there any more")
        else:
            self._placing.queue(record)

    def refused(self, event: TaskRefused) -> None:
        """An entry that could not be understood becomes a dead letter."""
        state = self._state
        state.counters["refused"] += 1
        task_id = event.task_id
        record = state.tasks.get(task_id)
        if record is not None:
            if event.reason is Reason.ENGINE_ERROR:
                # under quarantine: an input of our own that cannot be handled, so its task must end
                state.effects.append(Discard(record.place, record.entry))
                state.forget(record)
            else:
                # a hostile entry that borrows the id of a live task must not end that task
                task_id = ""
        state.end_dead(task_id, event.reason, 0, "", event.detail, event.stream, event.entry)

    def cancel_requested(self, event: CancelRequested) -> None:
        """Somebody does not want it: end it if it waits, else ask for it back and tell it to stop."""
        state = self._state
        record = state.tasks.get(event.task_id)
        if record is None:
            return
        if record.waiting:
            state.backlog.remove(record)
            state.end_cancelled(record)
            return
        booking = record.booked
        if booking.cancelled:
            return
        booking.cancelled = True
        state.retracts.append((event.task_id, record.attempt))
        state.stops.append(record)
        copy = state.copies.get(event.task_id)
        if copy is not None:
            state.strays.append(copy)
