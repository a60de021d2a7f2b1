"""The central queue of a pool: whose turn is it, and what has to wait although it is its turn.

Laws (decision 0031)
* Tasks stand in lanes (`lane`), lanes in queues by level and needs (`queue`). Each level names the task whose turn it
  is by the shares of tenants; of these the one with the lowest key goes first, so priorities hold over the whole
  pool, with ageing.
* With one tenant and no limits that is exactly the order of keys, and costs what one heap costs.
* What cannot go stands aside and lets others pass: a group without a feasible open worker until the next turn, a lane
  before a limit until the limit opens, a delayed task until it is due. Nothing of it is looked at in between.
* What follows from the tasks and the settings is made again when an engine is restored; the rest is `BacklogState`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from msgspec import Struct

from nexus_sched.core.backlog.lane import Entry, Lane, LaneName
from nexus_sched.core.backlog.queue import Group, Queue
from nexus_sched.core.backlog.ranking import Rank
from nexus_sched.core.delays import Timers
from nexus_sched.core.fairness import Fairness, FairnessState
from nexus_sched.core.limits import GateState, Limits
from nexus_sched.core.records import TaskRecord
from nexus_sched.core.slices import parts
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import PRIORITY_MAX, Task
from nexus_sched.model.terms import NO_NEEDS, Needs


class BacklogState(Struct, array_like=True):
    """What a snapshot keeps; keys and tickets are with the records."""

    tickets: int
    predicted_ms: float
    fairness: FairnessState
    limits: tuple[list[GateState], int]
    parked: list[tuple[str, int, int]]  # (first task of a lane, which of its gates, until; 0: until something ends)


class BacklogListener(Protocol):
    """Whoever wants to know what stands in the order; key and mean of a record are the same in both calls."""

    def entered(self, record: TaskRecord) -> None:
        """A task stands in the order from now on, or again."""

    def left(self, record: TaskRecord) -> None:
        """It does not any more."""


class Backlog:
    """All waiting tasks of a pool."""

    def __init__(self) -> None:
        self.fairness = Fairness()
        self.limits = Limits()
        self.predicted_ms = 0.0  # sum over waiting tasks with a prediction
        self.ready = 0  # tasks that stand in the order, not delayed
        self._delayed = 0
        self._tickets = 0
        self.listener: BacklogListener | None = None
        self._clear()

    def _clear(self) -> None:
        self.ready = self._delayed = 0
        self._delays, self._deadlines = Timers(), Timers()  # the second: of tasks that end when it passes
        self._plain: list[Lane | None] = [None] * (PRIORITY_MAX + 1)  # of tasks that ask for nothing
        self._lanes: dict[LaneName, Lane] = {}
        self._groups: dict[Needs, Group] = {}
        self._queues: dict[tuple[int, Needs], Queue] = {}
        self._active: list[Queue] = []  # that hold tasks
        self._blocked: list[Group] = []
        self._parked: list[tuple[int, int, Lane]] = []  # (until, number, lane)
        self._numbers = count()
        self._levels = [0] * (PRIORITY_MAX + 1)  # tasks that stand in the order
        self._lane: Lane | None = None  # of the task that `first` gave

    def __len__(self) -> int:
        return self.ready + self._delayed

    def waiting_at(self, priority: int) -> int:
        """Tasks of this level that stand in the order."""
        return self._levels[priority]

    def configure(self, settings: EngineSettings, records: Iterable[TaskRecord]) -> None:
        """Take over a configuration. Of `records`, all live tasks, limits count what they would have counted."""
        self.fairness.configure(settings.tenant_weights)
        if settings.limits == self.limits.rules:
            return
        for lane in self._lanes.values():
            if lane.count and lane.parked is None:
                self.fairness.rests(lane.party.tenant)
            lane.party.tenant.lanes -= 1
        self._clear()
        self.limits.configure(settings.limits)
        live = list(records)
        for record in live:
            record.counted = not record.ticket and bool(settings.limits)
        for _ in self._enter_all(live):
            pass  # within one turn

    # -- entering and leaving ------------------------------------------------------------------------

    def push(self, record: TaskRecord, key: float) -> None:
        """Let a task take its place in the order."""
        record.key = key
        if record.mean_ms > 0.0:
            self.predicted_ms += record.mean_ms
        self._tickets += 1
        record.ticket = self._tickets
        self._enter(record)

    def delay(self, record: TaskRecord) -> None:
        """Let a task wait until `not_before_ms`, or while it is held; it has no prediction and is in no order."""
        self._tickets += 1
        record.ticket = -self._tickets
        self._set_aside(record)

    def _enter(self, record: TaskRecord) -> None:
        task = record.task
        lane = None
        if task.asks is None and not self.limits.rules:
            lane = self._plain[task.priority]
        elif task.asks is not None and task.asks.deadline_strict and task.asks.deadline_at_ms:
            self._deadlines.add(record, task.asks.deadline_at_ms)
        if lane is None:
            lane = self._lane_of(task)
        self.ready += 1
        if self.listener is not None:
            self.listener.entered(record)
        self._levels[task.priority] += 1
        first = lane.push(record)
        if lane.count == 1:
            self._fill(lane)
        elif first:
            lane.party.queue.changed(lane)

    def _set_aside(self, record: TaskRecord) -> None:
        self._delayed += 1
        if not record.past.held:
            self._delays.add(record, record.past.not_before_ms)
        terms = record.task.terms
        if terms.deadline_strict and terms.deadline_at_ms:
            self._deadlines.add(record, terms.deadline_at_ms)

    def remove(self, record: TaskRecord) -> None:
        """Take a waiting task out, wherever it stands."""
        if record.ticket < 0:
            self._delayed -= 1
            record.ticket = 0
            return
        lane = self._lane_of(record.task)
        self._leave(lane, record)
        lane.sweep()

    def _leave(self, lane: Lane, record: TaskRecord) -> None:
        record.ticket = 0
        self.ready -= 1
        if self.listener is not None:
            self.listener.left(record)
        self._levels[record.task.priority] -= 1
        if record.mean_ms > 0.0:
            self.predicted_ms = max(0.0, self.predicted_ms - record.mean_ms)
        if not self.ready:
            self.predicted_ms = 0.0
        lane.count -= 1
        if not lane.count:
            self._empty(lane)

    # -- whose turn it is ------------------------------------------------------------------------------

    def begin_turn(self, now_ms: int) -> None:
        """Look again at what stood aside."""
        for group in self._blocked:
            group.blocked = False
        self._blocked.clear()
        parked = self._parked
        while parked and parked[0][0] <= now_ms:
            until_ms, _, lane = heappop(parked)
            if lane.parked_until_ms == until_ms:
                self._unpark(lane)

    def first(self, now_ms: int) -> TaskRecord | None:
        """The task whose turn it is, `None` if none can go. It stays: `take` it or `block` it."""
        while True:
            lane = self._lane = self._pick_shared() if self.fairness.shared else self._pick()
            if lane is None:
                return None
            if not (lane.gates and self._park(lane, now_ms)):
                return lane.heap[0][2]

    def peek(self) -> TaskRecord | None:
        """The task whose turn it would be if every worker were open."""
        for group in self._blocked:
            group.blocked = False
        lane = self._pick_shared() if self.fairness.shared else self._pick()
        for group in self._blocked:
            group.blocked = True
        return None if lane is None else lane.heap[0][2]

    def _pick(self) -> Lane | None:
        """The lane of the lowest key."""
        best, best_entry = None, None
        for queue in self._active:
            lane = queue.single or queue.first()
            if lane is None or lane.parked is not None or queue.group.blocked:
                continue
            entry = lane.first()
            if entry is not None and (best_entry is None or entry < best_entry):
                best, best_entry = lane, entry
        return best

    def _pick_shared(self) -> Lane | None:
        """The lane of the lowest key among those that each level names by the shares of tenants."""
        levels: dict[int, tuple[Rank, Lane]] = {}
        for queue in self._active:
            if queue.group.blocked:
                continue
            named = queue.turn()
            if named is not None:
                other = levels.get(queue.priority)
                if other is None or named[0] < other[0]:
                    levels[queue.priority] = named
        return min(((rank[1:], lane) for rank, lane in levels.values()), default=(None, None))[1]

    def take(self, now_ms: int) -> None:
        """Take out the task that `first` gave: it is being handed out."""
        lane = self._lane
        assert lane is not None
        record = heappop(lane.heap)[2]
        self._hand_out(lane, record, now_ms)

    def pull(self, record: TaskRecord, now_ms: int) -> None:
        """Take out a task wherever it stands in the order: it is being handed out before its turn."""
        lane = self._lane_of(record.task)
        self._hand_out(lane, record, now_ms)
        lane.sweep()

    def _hand_out(self, lane: Lane, record: TaskRecord, now_ms: int) -> None:
        if lane.gates:
            self.limits.take(lane.gates, now_ms)
            record.counted = True
        if record.history is not None:
            record.history.reserve_at_ms = 0
        self._leave(lane, record)

    def admits(self, record: TaskRecord, now_ms: int) -> bool:
        """Whether no limit keeps a waiting task."""
        return not any(gate.wait_ms(now_ms) for gate in self._lane_of(record.task).gates)

    def block(self) -> None:
        """No open worker is feasible for the task that `first` gave: its group stands aside in this turn."""
        assert self._lane is not None
        group = self._lane.party.queue.group
        group.blocked = True
        self._blocked.append(group)

    # -- what stands aside -----------------------------------------------------------------------------

    def delayed_due(self, now_ms: int) -> list[TaskRecord]:
        """Delayed tasks whose time has come, no longer in the backlog."""
        due = self._delays.due(now_ms)
        for record in due:
            self.remove(record)
        return due

    def deadlines_passed(self, now_ms: int) -> list[TaskRecord]:
        """Tasks that ought to end now because they asked for it, still in the backlog."""
        return self._deadlines.due(now_ms)

    @property
    def next_due_ms(self) -> int | None:
        """When something stands aside no longer by the mere passing of time."""
        parked = self._parked
        while parked and parked[0][2].parked_until_ms != parked[0][0]:
            heappop(parked)
        found = [self._delays.next_ms(), self._deadlines.next_ms(), parked[0][0] if parked else None]
        return min((each for each in found if each is not None), default=None)

    def _park(self, lane: Lane, now_ms: int) -> bool:
        """Set a lane aside if one of its limits is shut; whether it is."""
        for index, gate in enumerate(lane.gates):
            wait_ms = gate.wait_ms(now_ms)
            if wait_ms:
                self._set_parked(lane, index, 0 if wait_ms < 0 else now_ms + wait_ms)
                return True
        return False

    def _set_parked(self, lane: Lane, index: int, until_ms: int) -> None:
        gate = lane.gates[index]
        lane.parked = gate
        lane.parked_until_ms = until_ms
        if until_ms:
            heappush(self._parked, (until_ms, next(self._numbers), lane))
        else:
            gate.parked.append(lane)
        self.fairness.rests(lane.party.tenant)

    def _unpark(self, lane: Lane) -> None:
        lane.parked = None
        lane.parked_until_ms = 0
        self.fairness.waits(lane.party.tenant)
        lane.party.queue.changed(lane)

    # -- what was handed out ---------------------------------------------------------------------------

    def charge(self, record: TaskRecord) -> None:
        """Count a task that has just been handed out as its tenant's."""
        tenant = self.fairness.tenant(record.task.terms.tenant)
        booking = record.booked
        booking.charged_ms = self.fairness.charge(tenant, booking.booked_ms)

    def settle(self, record: TaskRecord, used_ms: float) -> None:
        """A task that was handed out has ended or come back, after `used_ms` of a worker's time."""
        booking = record.booked
        if booking.charged_ms >= 0.0:
            self.fairness.settle(record.task.terms.tenant, booking.charged_ms, used_ms)
            booking.charged_ms = -1.0
        if record.counted:
            record.counted = False
            for gate in self.limits.gates_of(record.task):
                gate.held -= 1
                parked, gate.parked = gate.parked, []
                for lane in parked:
                    self._unpark(lane)

    # -- lanes -----------------------------------------------------------------------------------------

    def _lane_of(self, task: Task) -> Lane:
        terms = task.terms
        gates = self.limits.gates_of(task) if self.limits.rules else ()
        name = (task.priority, terms.tenant, terms.needs, tuple(gate.name for gate in gates))
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, self._queue(task.priority, terms.needs).party(terms.tenant), gates)
            lane.party.queue.join(lane)
            for gate in gates:
                gate.lanes += 1
            if name == (task.priority, "", NO_NEEDS, ()):
                self._plain[task.priority] = lane
        return lane

    def _queue(self, priority: int, needs: Needs) -> Queue:
        queue = self._queues.get((priority, needs))
        if queue is None:
            group = self._groups.get(needs)
            if group is None:
                group = self._groups[needs] = Group(needs)
            group.queues += 1
            queue = self._queues[priority, needs] = Queue(priority, group, self.fairness)
        return queue

    def _fill(self, lane: Lane) -> None:
        """A lane holds its first task."""
        party = lane.party
        queue = party.queue
        queue.filled += 1
        if queue.filled == 1:
            self._active.append(queue)
        self.fairness.waits(party.tenant)
        queue.changed(lane)

    def _empty(self, lane: Lane) -> None:
        """A lane holds no task any more; it goes, unless it is a plain one."""
        queue = lane.party.queue
        queue.filled -= 1
        if not queue.filled:
            self._active.remove(queue)
        if lane.parked is None:
            self.fairness.rests(lane.party.tenant)
        priority, _, needs, _ = lane.name
        if lane is self._plain[priority]:
            return
        if lane.parked is not None and not lane.parked_until_ms:
            lane.parked.parked.remove(lane)
        lane.parked_until_ms = 0
        for gate in lane.gates:
            gate.lanes -= 1
        del self._lanes[lane.name]
        queue.leave(lane)
        if not queue.lanes:
            del self._queues[priority, needs]
            queue.group.queues -= 1
            if not queue.group.queues:
                del self._groups[needs]

    # -- writing down ----------------------------------------------------------------------------------

    def snapshot(self) -> BacklogState:
        """See `BacklogState`."""
        parked = []
        for lane in self._lanes.values():
            entry = lane.first()
            if lane.parked is not None and entry is not None:
                parked.append((entry[2].task.id, lane.gates.index(lane.parked), lane.parked_until_ms))
        parked.sort()
        return BacklogState(self._tickets, self.predicted_ms, self.fairness.snapshot(), self.limits.snapshot(), parked)

    def restore(self, state: BacklogState, records: Mapping[str, TaskRecord]) -> Iterator[None]:
        """The opposite of `snapshot`, in parts, for an empty backlog that is configured; `records`: all that live."""
        yield from self._enter_all(records.values())
        for task_id, index, until_ms in state.parked:
            self._set_parked(self._lane_of(records[task_id].task), index, until_ms)
        self.fairness.restore(state.fairness)
        self.limits.restore(state.limits)
        self._tickets, self.predicted_ms = state.tickets, state.predicted_ms

    def _enter_all(self, records: Iterable[TaskRecord]) -> Iterator[None]:
        """Put every waiting task where it belongs, those that ask for nothing together; count what is handed out."""
        plain: list[list[Entry]] = [[] for _ in self._plain]
        for part in parts(records):
            self._enter_part(part, plain)
            yield
        for together in plain:
            if together:
                self._enter_plain(together)
                yield

    def _enter_part(self, records: Iterable[TaskRecord], plain: list[list[Entry]]) -> None:
        limited = bool(self.limits.rules)
        for record in records:
            ticket = record.ticket
            if ticket > 0:
                task = record.task
                if limited or task.asks is not None:
                    self._enter(record)
                else:
                    plain[task.priority].append((record.key, ticket, record))
                    if self.listener is not None:
                        self.listener.entered(record)
            elif ticket < 0:
                self._set_aside(record)
            elif record.counted:
                for gate in self.limits.gates_of(record.task):
                    gate.held += 1

    def _enter_plain(self, entries: list[Entry]) -> None:
        """`_enter` for tasks of one level that ask for nothing, where there are no limits: they share a lane."""
        task = entries[0][2].task
        lane = self._lane_of(task)
        self.ready += len(entries)
        self._levels[task.priority] += len(entries)
        was_empty = not lane.count
        lane.extend(entries)
        if was_empty:
            self._fill(lane)
        else:
            lane.party.queue.changed(lane)
