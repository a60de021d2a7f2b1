"""What happens to workers: joined, reported, left, suspected, trusted."""

from __future__ import annotations

from nexus_sched.core.state import EngineState
from nexus_sched.model.events import WorkerJoined, WorkerLeft, WorkerReported, WorkerSuspected, WorkerTrusted


class WorkerEvents:
    """Handlers of what workers say, and of what is said of them."""

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def joined(self, event: WorkerJoined) -> None:
        """A worker registered."""
        state = self._state
        worker = state.roster.join(event, state.settings, state.placement.mode, state.now_ms)
        state.recall_excess(worker)  # it may have come back with fewer slots

    def reported(self, event: WorkerReported) -> None:
        """A capacity report."""
        state = self._state
        worker = state.live(event.worker, event.incarnation)
        if worker is None:
            return
        state.roster.heard(worker, state.now_ms)
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
