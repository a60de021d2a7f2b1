"""What happens to workers: joined, reported, left, suspected, trusted; cordoned, resumed, tripped and evicted
by people.

A worker is given tasks while nothing speaks against it: that it drains or is suspected, that an operator cordoned it,
that its breaker is open. These compose in `Roster.refresh`; each is ended by what began it, and a cordon only by an
operator, so it holds for the next registration under the same name as well.
Whatever takes a worker out for longer (a drain, an open breaker, its end) recalls at once what it has not started.
"""

from __future__ import annotations

from itertools import islice

from nexus_sched.core.records import Cordon
from nexus_sched.core.state import EngineState
from nexus_sched.model.events import (
    WorkerCordoned,
    WorkerEvicted,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
    WorkerResumed,
    WorkerSuspected,
    WorkerTripped,
    WorkerTrusted,
)
from nexus_sched.model.settings import PREDICTIVE
from nexus_sched.model.task import Retry

CORDONS_MAX = 10_000
DEPARTED_MS = 60_000  # what crosses the leaving of a worker has arrived by then, whoever leads


class WorkerEvents:
    """Handlers of what workers say, and of what is said of them."""

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def joined(self, event: WorkerJoined) -> None:
        """A worker registered."""
        state = self._state
        mode = state.placement.mode
        worker = state.roster.join(event, state.settings, mode, state.now_ms)
        worker.cordoned = event.worker in state.cordons
        state.roster.refresh(worker)
        state.ejection.joined(worker, state.now_ms, slowly=mode == PREDICTIVE)
        state.recall_excess(worker)  # it may have come back with fewer slots

    def reported(self, event: WorkerReported) -> None:
        """A capacity report."""
        state = self._state
        worker = state.live(event.worker, event.incarnation)
        if worker is None:
            return
        state.roster.heard(worker, state.now_ms)
        if event.cpu is not None and not event.shared:
            reference = state.settings.external_load_reference
            state.roster.take_load(worker, event.cpu, event.running, reference, state.now_ms)
        if event.labels is not None or event.resources is not None:
            state.roster.change_offer(worker, event.labels, event.resources)
        if event.draining and not worker.draining:
            worker.draining = True
            state.roster.refresh(worker)
            state.recall(worker)

    def left(self, event: WorkerLeft) -> None:
        """It said good-bye, or was declared lost."""
        state = self._state
        worker = state.live(event.worker, event.incarnation)
        if worker is None:
            return
        if event.lost:
            state.counters["workers_lost"] += 1
        # What it held returns by way of q:r. A dispatch that crossed its leaving lies in an inbox that
        # nobody reads: asking for all of it back is harmless for what has been reclaimed already.
        state.recall(worker)
        state.roster.leave(worker)
        state.ejection.left()
        departed = state.departed
        departed.pop(event.worker, None)
        departed[event.worker] = state.now_ms
        while departed[oldest := next(iter(departed))] < state.now_ms - DEPARTED_MS:
            del departed[oldest]

    def suspected(self, event: WorkerSuspected) -> None:
        """Its heartbeat is late."""
        state = self._state
        worker = state.roster.by_name.get(event.worker)
        if worker is not None:
            worker.suspect = True
            state.roster.refresh(worker)

    def trusted(self, event: WorkerTrusted) -> None:
        """It was heard of again."""
        state = self._state
        worker = state.roster.by_name.get(event.worker)
        if worker is not None:
            worker.suspect = False
            state.roster.refresh(worker)

    def cordoned(self, event: WorkerCordoned) -> None:
        """An operator wants it to take nothing new; the name need not be registered."""
        state = self._state
        if event.worker not in state.cordons and len(state.cordons) >= CORDONS_MAX:
            state.notice("refused", f"refused: {CORDONS_MAX} workers are cordoned, {event.worker!r} cannot be as well")
            return
        state.cordons[event.worker] = Cordon(event.drain, event.reason, event.actor, state.now_ms)
        worker = state.roster.by_name.get(event.worker)
        if worker is not None:
            worker.cordoned = True
            state.roster.refresh(worker)
            if event.drain:
                state.recall(worker)

    def resumed(self, event: WorkerResumed) -> None:
        """An operator lets it take tasks again, whatever had stopped it."""
        state = self._state
        state.cordons.pop(event.worker, None)
        worker = state.roster.by_name.get(event.worker)
        if worker is not None:
            worker.cordoned = False
            state.roster.refresh(worker)
            state.ejection.reset(worker, event.reason, state.now_ms)

    def tripped(self, event: WorkerTripped) -> None:
        """An operator opens its breaker."""
        state = self._state
        worker = state.roster.by_name.get(event.worker)
        if worker is None:
            state.notice("refused", f"refused: no worker {event.worker!r} is registered")
        else:
            state.ejection.trip(worker, event.reason, state.now_ms)

    def evicted(self, event: WorkerEvicted) -> None:
        """An operator wants it empty: what it runs gives way as well, unless it may be started only once."""
        state = self._state
        self.cordoned(WorkerCordoned(event.worker, True, event.reason, event.actor))
        worker = state.roster.by_name.get(event.worker)
        for record in () if worker is None else tuple(islice(worker.placed.values(), worker.slots)):
            if record.task.retry is Retry.NEVER or record.task.id in state.copies:
                continue
            booking = record.booked
            if booking.gives_way < 0 and not booking.cancelled and not booking.stop_entry:
                booking.gives_way = record.task.priority
                state.asked[record.task.priority] += 1
                state.stops.append(record)

    def settle(self) -> None:
        """Let what was found out of breakers take effect, once a turn, before anything is placed."""
        state = self._state
        for worker in state.ejection.settle(state.now_ms):
            state.roster.grant_credit(worker, state.settings, state.placement.mode)
            if worker.credit < worker.ramp:
                worker.ramp = 0  # it bounds nothing any more
            if worker.broken:
                state.recall(worker)
            else:
                state.recall_excess(worker)
        if state.ejection.said:
            for counter, notice in state.ejection.said:
                if counter:
                    state.counters[counter] += 1
                state.notice(notice.partition(":")[0], notice)
            state.ejection.said.clear()
