"""How long a waiting task will wait: the work before it in the order, and how fast the pool works it off.

The queue hands out the smallest key first (`core.backlog`), so a task waits for all work with a smaller key: what is
there, and what will arrive. A task that arrives after `s` ms overtakes one of key K if its own key is smaller, that is
if its offset (key minus arrival: c * predicted - priority credit) is below K - now - s; the longer a task waits, the
fewer can overtake it. With `L(d)` the work that arrives per ms with an offset below `d`, and `R` the work that leaves
the queue per ms, the wait is the first `s` at which
    work before it + integral over u < s of L(K - now - u) - R * s = 0,
a walk down the buckets of L. L and R are measured over the last seconds: R holds whatever paces, failures and overruns
there are, and L holds the mix of tasks. Shares of tenants and limits are not modelled; calibration sees what they do.

Law: nothing is kept, and nothing costs anything, unless estimates were asked for in the last minute. Sums are integers
(microseconds of work), so they do not depend on the order in which they were made. All of it follows from the waiting
tasks and from `QueueState`, which is in the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from nexus_sched.core.records import TaskRecord

AWAKE_MS = 60_000  # after the last estimate that was asked for
HALF_MS = 5_000  # rates are those of this and the last half of a window
SPAN_MS_MIN = 1_000  # one arrival just after waking up is no flood
FINE_MS = 4.0  # width of a bucket of keys
COARSE = 1_024  # fine buckets in a coarse one
US_PER_MS = 1_000
WAIT_MS_MAX = 30 * 86_400_000.0
PRIOR_MS = 200.0  # of every slot: counts as worked off at the predicted pace before anything is measured
LANDING_GAIN = 0.05


UNORDERED = ("arrived", "arrived_before")
LASTING = ("slots", "slots_at_ms", "landing_p50_ms", "landing_p80_ms")  # what is as true after a sleep


class QueueState(Struct, array_like=True):
    """What does not follow from the waiting tasks. Work in microseconds."""

    awake_until_ms: int = 0
    half_from_ms: int = 0  # when the current half of the window began
    halves: int = 0  # ended since it woke up
    arrived: dict[int, int] = {}  # bucket of the offset -> work that arrived in this half
    arrived_before: dict[int, int] = {}
    busy_slot_ms: int = 0  # time in which tasks waited, times slots
    busy_slot_ms_before: int = 0
    drained: int = 0  # work that left the queue in that time
    drained_before: int = 0
    turn_ms: int = 0  # instant of the last turn
    waiting: bool = False  # whether tasks waited after it
    slots: int = 0  # of workers that take tasks, when they were last counted
    slots_at_ms: int = 0
    landing_p50_ms: float = -1.0  # in the inbox of a worker, for tasks that had waited before; -1: not known
    landing_p80_ms: float = -1.0


class EtaQueue:
    """Listens to the backlog while it is awake."""

    def __init__(self) -> None:
        self.state = QueueState()
        self._entries: dict[str, tuple[int, int]] = {}  # task id -> (fine bucket, work)
        self._coarse: dict[int, int] = {}
        self._fine: dict[int, dict[int, int]] = {}
        self._left = 0  # work that left the queue in this turn, less what entered it

    @property
    def awake(self) -> bool:
        """Whether anybody wants estimates."""
        return self.state.awake_until_ms > 0

    # -- listening

    def wake(self, waiting: Iterable[TaskRecord], now_ms: int) -> None:
        """Listen from now on, for a while; `waiting` is only looked at if it was asleep."""
        state = self.state
        if not state.awake_until_ms:
            fresh = QueueState(half_from_ms=now_ms, turn_ms=now_ms)
            for field in LASTING:
                setattr(fresh, field, getattr(state, field))
            self.state = state = fresh
            self.restore(state, waiting)
        state.awake_until_ms = now_ms + AWAKE_MS

    def sleep(self) -> None:
        """Forget everything but what was learned."""
        self._entries, self._coarse, self._fine = {}, {}, {}
        self.state.awake_until_ms = 0

    def entered(self, record: TaskRecord) -> None:
        """A task waits."""
        task_id = record.task.id
        if task_id in self._entries:
            self.left(record)
        work = int(record.mean_ms * US_PER_MS)
        if work <= 0:
            return  # what has no prediction is not counted
        fine = int(record.key // FINE_MS)
        coarse = fine // COARSE
        self._entries[task_id] = (fine, work)
        self._coarse[coarse] = self._coarse.get(coarse, 0) + work
        within = self._fine.setdefault(coarse, {})
        within[fine] = within.get(fine, 0) + work
        self._left -= work

    def left(self, record: TaskRecord) -> None:
        """It does not wait any more."""
        entry = self._entries.pop(record.task.id, None)
        if entry is None:
            return
        fine, work = entry
        coarse = fine // COARSE
        within = self._fine[coarse]
        self._left += work
        self._coarse[coarse] -= work
        within[fine] -= work
        if not self._coarse[coarse]:  # all work is positive: nothing is left in it
            del self._coarse[coarse], self._fine[coarse]

    def arrived(self, record: TaskRecord, now_ms: int) -> None:
        """A task is new, and has entered before: it counts for the rate of arrivals."""
        entry = self._entries.get(record.task.id)
        if entry is not None:
            work = entry[1]
            bucket = bucket_of(record.key - now_ms)
            arrived = self.state.arrived
            arrived[bucket] = arrived.get(bucket, 0) + work
            self._left += work  # it came from outside

    def turn(self, waiting: int, now_ms: int) -> None:
        """A turn has ended with so many tasks waiting."""
        state = self.state
        if state.waiting:
            state.busy_slot_ms += (now_ms - state.turn_ms) * state.slots
            state.drained += self._left
        self._left = 0
        state.turn_ms, state.waiting = now_ms, waiting > 0
        if now_ms - state.half_from_ms >= HALF_MS:
            state.half_from_ms = now_ms
            state.halves += 1
            state.arrived_before, state.arrived = state.arrived, {}
            state.busy_slot_ms_before, state.busy_slot_ms = state.busy_slot_ms, 0
            state.drained_before, state.drained = state.drained, 0

    def landed(self, wait_ms: float) -> None:
        """A task that had waited was placed, and will wait this long in the inbox; its quantiles are tracked."""
        state = self.state
        if state.landing_p50_ms < 0.0:
            state.landing_p50_ms = state.landing_p80_ms = wait_ms
            return
        step = LANDING_GAIN * max(state.landing_p80_ms, 1.0)
        state.landing_p50_ms = max(0.0, state.landing_p50_ms + step * ((wait_ms > state.landing_p50_ms) - 0.5))
        p80_ms = state.landing_p80_ms + step * ((wait_ms > state.landing_p80_ms) - 0.2)
        state.landing_p80_ms = max(state.landing_p50_ms, p80_ms)

    # -- estimating

    def wait_ms(self, record: TaskRecord, now_ms: int) -> float:
        """Median time until the order comes to a task that waits, see above."""
        state = self.state
        slots = state.slots
        busy = state.busy_slot_ms + state.busy_slot_ms_before
        drained = max(0, state.drained + state.drained_before) / US_PER_MS
        rate = slots * (drained + PRIOR_MS * slots) / (busy + PRIOR_MS * slots) if slots else 0.0
        entry = self._entries.get(record.task.id)
        if entry is None:
            return 0.0
        work = self._before(record.key, entry[1]) / US_PER_MS
        if work <= 0.0:
            return 0.0
        if rate <= 0.0:
            return WAIT_MS_MAX
        return min(self._drain_ms(work, rate, record.key - now_ms, now_ms), WAIT_MS_MAX)

    def before_ms(self, record: TaskRecord) -> float:
        """Predicted work that stands before a waiting task."""
        _, mine = self._entries.get(record.task.id, (0, 0))
        return self._before(record.key, mine) / US_PER_MS

    def _before(self, key: float, mine: int) -> int:
        fine = int(key // FINE_MS)
        own = fine // COARSE
        work = sum(each for coarse, each in self._coarse.items() if coarse < own)
        within = self._fine.get(own)
        if within is None:
            return work
        # of the others in its own bucket half are before it
        beside = max(0, within.get(fine, 0) - mine) // 2
        return work + beside + sum(each for bucket, each in within.items() if bucket < fine)

    def _drain_ms(self, work: float, rate: float, offset: float, now_ms: int) -> float:
        state = self.state
        span_ms = float(max(SPAN_MS_MIN, now_ms - state.half_from_ms + (HALF_MS if state.halves else 0)))
        per_ms = US_PER_MS * span_ms
        arrivals: dict[int, float] = {}
        for half in (state.arrived, state.arrived_before):
            for bucket, arrived in half.items():
                arrivals[bucket] = arrivals.get(bucket, 0.0) + arrived / per_ms
        below = sorted(bucket for bucket in arrivals if bucket <= bucket_of(offset))
        faster = sum(arrivals[bucket] for bucket in below)
        passed_ms = 0.0
        for bucket in reversed(below):
            low, high = edges_of(bucket)
            faster -= arrivals[bucket]
            top = min(offset, high)
            if offset > top:  # a gap between buckets: nobody arrives with such an offset
                passed_ms, work = passed_ms + (offset - top), work + (faster + arrivals[bucket] - rate) * (offset - top)
                if work <= 0.0:
                    return passed_ms + work / (rate - faster - arrivals[bucket])
            stretch = top - low
            overtaking = faster + arrivals[bucket] * stretch / (2.0 * (high - low))
            if work + (overtaking - rate) * stretch <= 0.0:
                return passed_ms + work / (rate - overtaking)
            work += (overtaking - rate) * stretch
            passed_ms += stretch
            offset = low
        return passed_ms + work / rate

    # -- snapshots

    def scalars(self) -> tuple[object, ...]:
        """What a digest covers; equal states give equal values."""
        state = self.state
        halves = (sorted(state.arrived.items()), sorted(state.arrived_before.items()))
        return (*halves, *(getattr(state, field) for field in QueueState.__struct_fields__ if field not in UNORDERED))

    def restore(self, state: QueueState, waiting: Iterable[TaskRecord]) -> None:
        """The opposite of keeping `state`; the sums follow from the tasks that wait."""
        self.state = state
        self._entries, self._coarse, self._fine = {}, {}, {}
        self.add(waiting)

    def add(self, waiting: Iterable[TaskRecord]) -> None:
        """More that wait, of a state that was restored."""
        for record in waiting:
            if record.ticket > 0:  # a delayed one is in no order yet
                self.entered(record)
        self._left = 0  # nothing has left or come since the last turn


def bucket_of(offset: float) -> int:
    """Signed: 0 is [-1, 1), k > 0 is [2^(k-1), 2^k), and -k the same below zero."""
    whole = int(offset)
    return whole.bit_length() if whole >= 0 else -whole.bit_length()


def edges_of(bucket: int) -> tuple[float, float]:
    """Lower and upper edge of a bucket of offsets."""
    if bucket > 0:
        return float(1 << (bucket - 1)), float(1 << bucket)
    if bucket < 0:
        return -float(1 << -bucket), -float(1 << (-bucket - 1))
    return -1.0, 1.0
