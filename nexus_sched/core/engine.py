"""The engine: `handle(events, at_ns) -> effects`, one call a turn, deterministic to the bit.

Laws
* State changes only in `handle`, only by the events given to it and the instant of the turn; or in `follow`, where
  another version has decided.
* One call is one turn is one journal sequence number; the inbox entry of the k-th dispatch of turn s is
  `<s>-<k>`, so nothing has to be read back from the store.
* The state is `core.state`; what happens to tasks is in `core.task_events` (with the graph of a task's life), to
  workers in `core.worker_events`, what people decide in `core.control_events` and `core.task_control`; at the end of
  a turn `core.placing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from nexus_sched.core.answers import Answers
from nexus_sched.core.control_events import ControlEvents
from nexus_sched.core.copies import Copies
from nexus_sched.core.digest import digest_of
from nexus_sched.core.following import Following
from nexus_sched.core.overrides import Overriding
from nexus_sched.core.placing import Placing
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.preemption import Preemption
from nexus_sched.core.reaction import Reactions
from nexus_sched.core.records import TaskRecord
from nexus_sched.core.state import EngineState
from nexus_sched.core.task_control import TaskControl
from nexus_sched.core.task_events import TaskEvents
from nexus_sched.core.worker_events import WorkerEvents
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import (
    AnyEvent,
    CancelRequested,
    EpochBegan,
    EstimatePinned,
    EstimateUnpinned,
    Event,
    ModeChanged,
    OverrideAdded,
    OverrideRemoved,
    PredictorChosen,
    PredictorOverran,
    QuestionAsked,
    ReloadRequested,
    RetryRequested,
    SettingsChanged,
    StoreChanged,
    TaskBoosted,
    TaskFinished,
    TaskReassigned,
    TaskReclaimed,
    TaskRefused,
    TasksPaused,
    TasksResumed,
    TaskSubmitted,
    TaskVanished,
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
from nexus_sched.model.settings import EngineSettings
from nexus_sched.units import NS_PER_MS


class Engine(EngineState):
    """One pool's decisions. Knows neither clock nor store; `seq` counts its turns."""

    def __init__(self, predictors: Mapping[str, PredictorFactory], settings: EngineSettings | None = None) -> None:
        super().__init__(predictors, settings)
        self._preemption = Preemption(self)
        self._copies = Copies(self)
        self._placing = placing = Placing(self, self._preemption, self._copies)
        self._following = Following(self, placing)
        self._reactions = Reactions(self)
        self._answers = Answers(self)
        self._workers = workers = WorkerEvents(self)
        self._control = task_control = TaskControl(self, placing)
        self._overriding = overriding = Overriding(self, placing.queue)
        tasks, control = TaskEvents(self, placing, self._reactions), ControlEvents(self)
        self._handlers: dict[type[Event], Callable[..., None]] = {
            EpochBegan: control.epoch_began,
            TaskSubmitted: tasks.submitted,
            TaskReclaimed: tasks.reclaimed,
            TaskRefused: tasks.refused,
            TaskFinished: tasks.finished,
            TaskVanished: tasks.vanished,
            CancelRequested: tasks.cancel_requested,
            WorkerJoined: workers.joined,
            WorkerReported: workers.reported,
            WorkerLeft: workers.left,
            WorkerSuspected: workers.suspected,
            WorkerTrusted: workers.trusted,
            WorkerCordoned: workers.cordoned,
            WorkerResumed: workers.resumed,
            WorkerTripped: workers.tripped,
            WorkerEvicted: workers.evicted,
            TasksPaused: task_control.paused,
            TasksResumed: task_control.resumed,
            TaskBoosted: task_control.boosted,
            TaskReassigned: task_control.reassigned,
            RetryRequested: task_control.retry_requested,
            QuestionAsked: self._answers.asked,
            StoreChanged: control.store_changed,
            ModeChanged: control.mode_changed,
            SettingsChanged: control.settings_changed,
            ReloadRequested: control.reload_requested,
            PredictorOverran: control.predictor_overran,
            PredictorChosen: control.predictor_chosen,
            EstimatePinned: control.estimate_pinned,
            EstimateUnpinned: control.estimate_unpinned,
            OverrideAdded: overriding.added,
            OverrideRemoved: overriding.removed,
        }

    @property
    def ready(self) -> bool:
        """Whether the next turn has work to do even without new events."""
        return self.more

    @property
    def next_due_ms(self) -> int | None:
        """When the next turn is wanted even without new events, in milliseconds since the epoch; `None`: never."""
        overrides_ms = self.overrides.until_ms if self.overrides.in_force else None
        if self.paused:
            sources: tuple[int | None, ...] = (self.backlog.next_due_ms, self.ejection.due_ms(), overrides_ms)
            return min((due_ms for due_ms in sources if due_ms is not None), default=None)
        sources = (
            *(self.backlog.next_due_ms, self.ejection.due_ms(), self._reactions.due_ms()),
            *(self._copies.due_ms(), self.reservations.due_ms(), self._placing.due_ms(), overrides_ms),
        )
        return min((due_ms for due_ms in sources if due_ms is not None), default=None)

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        """Take one turn: apply `events` in order, then place what can be placed.

        `at_ns` is the instant of the turn in nanoseconds since the epoch; it must never go back.
        """
        effects = self._take_in(events, at_ns)
        placing = self._placing
        if self.wishes:
            self._control.place_wished()
        placing.place_waiting()
        if self.paused:
            self.etas.end_turn()
        else:
            placing.place_copies()
            self.etas.end_turn()
            self._preemption.consider()
            self._reactions.look()
        placing.take_back()
        placing.send_stops()
        if self.questions:
            self._answers.give()
        return effects

    def follow(self, events: Sequence[AnyEvent], effects: Sequence[AnyEffect], at_ns: int) -> None:
        """Take over a turn that another version has taken: `events` are taken in, and `effects` are what it decided.

        Raises `VersionsDiffer` if they cannot be carried out here; the engine is of no use then.
        """
        self._take_in(events, at_ns)
        self._following.carry_out(effects)
        self.etas.end_turn()

    def _take_in(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        """Begin a turn: apply `events` in order, and what follows from the time; gives the effects so far."""
        self.seq += 1
        self.now_ms = at_ns // NS_PER_MS
        self.roster.begin_turn(self.now_ms)
        effects: list[AnyEffect] = []
        self.effects = effects
        self.dispatches = self.noticed = 0
        self.stops, self.strays, self.ended = [], [], []
        handlers = self._handlers
        for event in events:
            handlers[type(event)](event)
        if self.overrides.until_ms <= self.now_ms:
            self._overriding.expire()
        self.counters["overdue"] += self.overdue.correct(self.tasks, self.roster, self.now_ms)
        if self.overdue.late:
            self._reactions.note(self.overdue.late)
        self._workers.settle()
        return effects

    def revive(self, placed: Iterable[TaskRecord]) -> None:
        """Arrange again what follows from the state: after a snapshot has been restored. `placed` have a booking."""
        self._preemption.restore(placed)
        self._copies.restore(placed)

    def digest(self) -> int:
        """64 bit over what decisions depend on: tables, learned state, queue, breaker, rotation."""
        return digest_of(self)
