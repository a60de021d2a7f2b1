"""The breakers of a fleet: who is left alone, how many at most, and when nobody may be.

Laws
* At most `ejected_share_max` of the workers are ejected for their failures (one, if there are more than one), those
  first whose breakers opened first; the others whose breakers are open only carry the cost of their failures in the
  score. If more than `panic_share` are unhealthy, the cause is not the workers: breakers are ignored until fewer are.
  What an operator opened always counts, and never against that share.
* A failure is a run that failed, ran out of time, was rejected, or was ended by the death of its worker (one death
  counts once, whatever it ended). Cancelled and preempted runs are none, nor is what fails wherever it runs (`blame`).
* A worker without a failure, and past its slow start, costs one comparison and one addition per run; whatever else is
  done, is done for workers that failed lately, once a turn, or when their instants are due.
"""

from __future__ import annotations

from heapq import heappop, heappush

from msgspec import Struct

from nexus_sched.core.blame import Blame, TypeTrouble
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.core.slow_start import FLOOR, SlowStart
from nexus_sched.core.worker_breaker import CLOSED, HALF_OPEN, HALF_OPEN_ALLOWANCE, OPEN, WorkerBreaker
from nexus_sched.model.settings import WorkerBreakerSettings

DEATH_ONCE_MS = 1_000  # what a death has ended comes back within this
MANY_DEAD = 3  # workers that died within a window: it is not what they ran
GRID_MS = 1_000  # instants that may be a little late fall together: a fleet in trouble makes few turns of its own
BREAKERS_MAX = 10_000  # remembered of workers, live or gone; those that failed longest ago are forgotten first


class EjectionState(Struct, frozen=True, array_like=True):
    """What a snapshot keeps; `breakers` in the order of the newest failure, `unhealthy` in that of opening."""

    breakers: list[WorkerBreaker] = []
    unhealthy: list[str] = []
    panic: bool = False
    blame: dict[str, TypeTrouble] = {}
    slow_start: tuple[list[tuple[int, str]], list[int]] = ([], [])
    deaths: dict[str, int] = {}


class Ejection:
    """Counts failures, opens breakers, and decides which of the open ones count."""

    def __init__(self, roster: Roster, settings: WorkerBreakerSettings) -> None:
        self._roster = roster
        self.settings = settings
        self.breakers: dict[str, WorkerBreaker] = {}
        self.blame = Blame()
        self.slow_start = SlowStart()
        self.panic = False
        self.said: list[tuple[str, str]] = []  # (counter or nothing, notice) of the current turn
        self._unhealthy: dict[str, None] = {}  # names of open and half-open breakers
        self._due: list[tuple[int, str]] = []
        self._deaths: dict[str, int] = {}  # worker -> when it last died running something; the newest few, oldest first
        self._touched: dict[str, None] = {}  # names whose breaker has another state or allowance
        self._recount = False  # who is ejected must be decided anew

    # -- runs ------------------------------------------------------------------------------------------

    def succeeded(self, worker: WorkerRecord, task_type: str, now_ms: int) -> None:
        """A run ended well."""
        if now_ms >= worker.bucket_until_ms:
            self._next_bucket(worker, now_ms)
        worker.runs += 1
        if worker.ramp:
            worker.ramp += 1
            self._touched[worker.name] = None
        if self.blame.types:
            self.blame.succeeded(task_type, worker.name, now_ms, self.settings.window_ms)
        breaker = worker.breaker
        if breaker is not None:
            self._improve(worker, breaker, now_ms)

    def _improve(self, worker: WorkerRecord, breaker: WorkerBreaker, now_ms: int) -> None:
        if breaker.success():
            breaker.close("its runs succeed again", now_ms)
            self._set_healthy(breaker)
        elif breaker.state == HALF_OPEN:
            self._touched[worker.name] = None
        self._roster.set_health(worker, breaker.health_ms)

    def failed(self, name: str, task_type: str, cost_ms: float, why: str, now_ms: int) -> None:
        """A run ended badly on this worker, which may be gone. `cost_ms` is the type's p99, 0 if unknown."""
        worker = self._roster.by_name.get(name)
        runs = 0
        if worker is not None:
            if now_ms >= worker.bucket_until_ms:
                self._next_bucket(worker, now_ms)
            worker.runs += 1
            runs = worker.runs + worker.runs_before
        if self.blame.failed(task_type, name, now_ms):
            return
        breaker = self._take(name)
        breaker.failure(cost_ms, now_ms)
        if worker is not None:
            worker.breaker = breaker
            self._roster.set_health(worker, breaker.health_ms)
        self._watch(breaker, self._later_ms(now_ms))
        if breaker.state == HALF_OPEN:
            self._open(breaker, f"{why} while it was tried again", now_ms)
        elif breaker.state == CLOSED and breaker.too_many(runs, self.settings):
            self._open(breaker, f"{why}, {breaker.failures} in a row", now_ms)

    def died(self, name: str, task_type: str, cost_ms: float, now_ms: int) -> None:
        """A worker was lost, or started anew, while it ran a task; called for each of them."""
        breaker = self.breakers.get(name)
        if breaker is not None and breaker.died_at_ms and now_ms - breaker.died_at_ms < DEATH_ONCE_MS:
            return
        self._deaths.pop(name, None)
        self._deaths[name] = now_ms
        if len(self._deaths) > MANY_DEAD:
            del self._deaths[next(iter(self._deaths))]
        self.failed(name, task_type, cost_ms, "it died", now_ms)
        breaker = self.breakers.get(name)
        if breaker is not None:
            breaker.died_at_ms = now_ms

    def many_die(self, now_ms: int) -> bool:
        """Whether so many workers died lately that the cause is not what each of them ran."""
        deaths = self._deaths
        return len(deaths) >= MANY_DEAD and now_ms - deaths[next(iter(deaths))] <= self.settings.window_ms

    def _take(self, name: str) -> WorkerBreaker:
        breaker = self.breakers.pop(name, None) or WorkerBreaker(name)
        self.breakers[name] = breaker
        if len(self.breakers) > BREAKERS_MAX:
            self._forget(self.breakers[next(iter(self.breakers))])
        return breaker

    def _next_bucket(self, worker: WorkerRecord, now_ms: int) -> None:
        """The next half of the window begins; what is older than the last one is nothing any more."""
        half_ms = max(1, self.settings.window_ms // 2)
        adjacent = now_ms - worker.bucket_until_ms < half_ms
        worker.runs, worker.runs_before = 0, worker.runs if adjacent else 0
        worker.bucket_until_ms = now_ms + half_ms
        breaker = worker.breaker
        if breaker is not None:
            breaker.failed, breaker.failed_before = 0, breaker.failed if adjacent else 0

    # -- workers and operators -------------------------------------------------------------------------

    def joined(self, worker: WorkerRecord, now_ms: int, *, slowly: bool) -> None:
        """A worker registered and was granted its credit: what is remembered of its name counts."""
        slow_start_ms = self.settings.slow_start_ms
        others_suffice = self.slow_start.arrived(len(self._roster.ring), now_ms, slow_start_ms)
        if slowly and others_suffice and slow_start_ms and worker.credit > FLOOR:
            self.slow_start.begin(worker, max(FLOOR, worker.in_flight), now_ms, slow_start_ms)
            self._touched[worker.name] = None
        worker.breaker = self.breakers.get(worker.name)
        if worker.breaker is not None:
            self._roster.set_health(worker, worker.breaker.health_ms)
            self._touched[worker.name] = None
        self._recount = True

    def configure(self, settings: WorkerBreakerSettings) -> None:
        """Take over a configuration; breakers that are open stay so until their time is over."""
        self.settings = settings
        self._recount = True

    def left(self) -> None:
        """A worker is gone; shares are others."""
        self._recount = True

    def trip(self, worker: WorkerRecord, reason: str, now_ms: int) -> None:
        """An operator opens the breaker of a worker."""
        worker.breaker = breaker = self._take(worker.name)
        self._open(breaker, reason, now_ms, manual=True)

    def reset(self, worker: WorkerRecord, reason: str, now_ms: int) -> None:
        """An operator closes it, and nothing that led to it counts any more."""
        breaker = worker.breaker
        if breaker is None:
            return
        if breaker.state != CLOSED:
            breaker.close(reason, now_ms)
            self._set_healthy(breaker)
        breaker.failures = breaker.failed = breaker.failed_before = breaker.opened = 0
        breaker.health_ms = 0.0
        self._roster.set_health(worker, 0.0)

    # -- opening and closing ---------------------------------------------------------------------------

    def _open(self, breaker: WorkerBreaker, why: str, now_ms: int, *, manual: bool = False) -> None:
        breaker.open(why, self.settings, now_ms, manual=manual)
        self._unhealthy.pop(breaker.name, None)
        self._unhealthy[breaker.name] = None
        self._watch(breaker, breaker.until_ms)
        self._touched[breaker.name] = None
        self.said.append(("breakers_opened", f"breaker: {breaker.name} is left alone: {why}"))

    def _set_healthy(self, breaker: WorkerBreaker) -> None:
        self._unhealthy.pop(breaker.name, None)
        self._touched[breaker.name] = None
        self.said.append(("", f"breaker: {breaker.name} is trusted again: {breaker.history[-1][2]}"))

    def settle(self, now_ms: int) -> list[WorkerRecord]:
        """Do what is due and decide who is ejected, once a turn; gives the workers that may hold more or less now."""
        if self._due and self._due[0][0] <= now_ms:
            self._tend(now_ms)
        started = self.slow_start.settle(self._roster.by_name, now_ms, self.settings.slow_start_ms)
        if self._touched or (self._recount and self._unhealthy):
            return started + self._eject(now_ms)
        self._recount = False
        return started

    def due_ms(self) -> int | None:
        """When there is something to do even without events."""
        due, growing = self._due, self.slow_start.due
        if due and growing:
            return min(due[0][0], growing[0][0])
        return due[0][0] if due else growing[0][0] if growing else None

    def _watch(self, breaker: WorkerBreaker, due_ms: int) -> None:
        if not breaker.due_ms or due_ms < breaker.due_ms:
            breaker.due_ms = due_ms
            heappush(self._due, (due_ms, breaker.name))

    def _tend(self, now_ms: int) -> None:
        due = self._due
        while due and due[0][0] <= now_ms:
            due_ms, name = heappop(due)
            breaker = self.breakers.get(name)
            if breaker is None or breaker.due_ms != due_ms:
                continue
            breaker.due_ms = 0
            if breaker.state == OPEN and now_ms >= breaker.until_ms:
                breaker.half_open(now_ms)
                self._touched[name] = None
            breaker.decay()
            worker = self._roster.by_name.get(name)
            if worker is not None:
                self._roster.set_health(worker, breaker.health_ms)
            quiet = now_ms - breaker.failed_at_ms >= self.settings.open_ms_max
            if quiet and (worker is None or (breaker.state == CLOSED and not breaker.health_ms)):
                self._forget(breaker)
                continue
            later_ms = self._later_ms(now_ms)
            self._watch(breaker, min(later_ms, breaker.until_ms) if breaker.state == OPEN else later_ms)

    def _later_ms(self, now_ms: int) -> int:
        """About half a window from now."""
        return -(-(now_ms + self.settings.window_ms // 2 + 1) // GRID_MS) * GRID_MS

    def _forget(self, breaker: WorkerBreaker) -> None:
        del self.breakers[breaker.name]
        self._unhealthy.pop(breaker.name, None)
        worker = self._roster.by_name.get(breaker.name)
        if worker is not None:
            worker.breaker = None
            self._roster.set_health(worker, 0.0)
            self._touched[worker.name] = None

    # -- who is ejected --------------------------------------------------------------------------------

    def _eject(self, now_ms: int) -> list[WorkerRecord]:
        """O(unhealthy), in turns in which something about them changed."""
        roster, settings = self._roster, self.settings
        fleet = len(roster.ring)
        unhealthy = [worker for name in self._unhealthy if (worker := roster.by_name.get(name)) is not None]
        self._set_panic(len(unhealthy), fleet)
        changed = []
        for name in self._touched:
            worker = roster.by_name.get(name)
            if worker is not None and name not in self._unhealthy:
                if worker.trial:  # it was tried and is trusted again
                    self.slow_start.begin(worker, HALF_OPEN_ALLOWANCE, now_ms, settings.slow_start_ms)
                self._set_standing(worker, broken=False, trial=0)
                changed.append(worker)
        self._touched, self._recount = {}, False
        left = max(1, int(settings.ejected_share_max * fleet)) if fleet > 1 else 0
        for worker in unhealthy:
            breaker = self.breakers[worker.name]
            broken = breaker.state == OPEN and (breaker.manual or (left > 0 and not self.panic))
            left -= broken and not breaker.manual
            if self._set_standing(worker, broken=broken, trial=0 if self.panic else breaker.allowance):
                changed.append(worker)
        return changed

    def _set_panic(self, unhealthy: int, fleet: int) -> None:
        panic = unhealthy > self.settings.panic_share * fleet
        if panic and not self.panic:
            self.said.append(("panics", f"panic: {unhealthy} of {fleet} workers fail, their breakers are ignored"))
        elif self.panic and not panic:
            self.said.append(("", f"panic: over, {unhealthy} of {fleet} workers fail"))
        self.panic = panic

    def _set_standing(self, worker: WorkerRecord, *, broken: bool, trial: int) -> bool:
        """Whether that changed anything."""
        if worker.broken is broken and worker.trial == trial:
            return False
        worker.broken, worker.trial = broken, trial
        self._roster.refresh(worker)
        return True

    # -- snapshots -------------------------------------------------------------------------------------

    def snapshot(self) -> EjectionState:
        """Everything, in values; between two turns nothing is left to decide."""
        return EjectionState(
            list(self.breakers.values()),
            list(self._unhealthy),
            self.panic,
            self.blame.snapshot(),
            self.slow_start.snapshot(),
            self._deaths,
        )

    def restore(self, state: EjectionState) -> None:
        """The opposite of `snapshot`; the workers are there already."""
        self.breakers = {breaker.name: breaker for breaker in state.breakers}
        self._unhealthy = dict.fromkeys(state.unhealthy)
        self.panic = state.panic
        self.blame.restore(state.blame)
        self.slow_start.restore(state.slow_start)
        self._deaths = dict(state.deaths)
        for breaker in state.breakers:
            if breaker.due_ms:
                heappush(self._due, (breaker.due_ms, breaker.name))
        for worker in self._roster.ring:
            worker.breaker = self.breakers.get(worker.name)
