"""One policy through a workload, in virtual time.

Laws
* The policy is a core: `handle(events, at_ns) -> effects`, the very interface by which the service drives the engine.
  Here the shell around it is simulated, so what is measured is what runs.
* A core has a turn whenever facts have arrived, once for all of an instant; when it asked for one (`next_due_ms`);
  and again at once while it says that work is left (`ready`). Thinking takes no virtual time.
* What a core orders reaches a worker after half a round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Protocol

from msgspec import structs

from nexus_sched.errors import NexusError
from nexus_sched.model.effects import (
    AnyEffect,
    CancelQueued,
    CancelRunning,
    DeadLetter,
    Dispatch,
    Estimated,
    Retract,
)
from nexus_sched.model.events import AnyEvent, TaskSubmitted
from nexus_sched.sim.agenda import NEVER, Agenda
from nexus_sched.sim.fleet import Fleet
from nexus_sched.sim.history import UNKNOWN, History
from nexus_sched.sim.workload import Workload
from nexus_sched.units import NS_PER_MS

REPORT_EVERY = 1_024  # tasks between two reports of progress
PATIENCE_MS = 86_400_000.0  # of virtual time in which nothing happened but turns that a core had asked for


class Core(Protocol):
    """What decides: the engine, or one of the simple policies beside it."""

    @property
    def ready(self) -> bool:
        """Whether the next turn has work to do even without new events."""

    @property
    def next_due_ms(self) -> int | None:
        """When it wants a turn even if nothing happens."""

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        """Take one turn at an instant that never goes back."""


class SimulationStuck(NexusError):
    """Tasks wait, and nothing will ever happen again: a core has lost them, or no worker may run them."""

    code = "SIMULATION_STUCK"


def drive(workload: Workload, core: Core, progress: Callable[[int], None]) -> History:
    """Run a workload to the end of its last task. Raises `SimulationStuck`."""
    return _Drive(workload, core, progress).run()


class _Drive:
    def __init__(self, workload: Workload, core: Core, progress: Callable[[int], None]) -> None:
        self._workload = workload
        self._core = core
        self._progress = progress
        self._history = History(len(workload.tasks))
        self._agenda = Agenda()
        self._facts: list[AnyEvent] = []
        self._fleet = Fleet(workload, self._agenda, self._history, self._hear)
        self._indexes = {worker.name: index for index, worker in enumerate(workload.workers)}
        self._half_ms = workload.rtt_ms / 2.0
        self._epoch_ms = workload.epoch_ms
        self._due_ms = NEVER

    def _hear(self, event: AnyEvent) -> None:
        self._facts.append(event)

    def run(self) -> History:
        history, agenda, count = self._history, self._agenda, len(self._workload.tasks)
        arrivals = [*self._workload.arrivals_ms, NEVER]
        submitted = [TaskSubmitted(task, task.id) for task in self._workload.tasks]
        self._facts += self._fleet.joins()
        self._turn(0.0)
        now_ms = heard_ms = 0.0
        arrived, report_at = 0, REPORT_EVERY
        while history.ended < count:
            next_ms = min(arrivals[arrived], agenda.next_ms)
            if self._facts and next_ms > now_ms:
                self._turn(now_ms)
                heard_ms = now_ms
            elif self._due_ms < next_ms and now_ms - heard_ms < PATIENCE_MS:
                now_ms = max(now_ms, self._due_ms)
                self._turn(now_ms)
            elif arrivals[arrived] == next_ms != NEVER:
                now_ms = next_ms
                self._facts.append(submitted[arrived])
                arrived += 1
            elif next_ms != NEVER:
                now_ms = agenda.step()
            else:
                raise SimulationStuck(
                    f"{count - history.ended} of {count} tasks wait for ever, from {now_ms:.0f} ms on"
                )
            if history.ended >= report_at:
                self._progress(history.ended)
                report_at = history.ended + REPORT_EVERY
        history.until_ms = now_ms
        self._fleet.close(now_ms)
        return history

    def _turn(self, now_ms: float) -> None:
        core, facts, history = self._core, self._facts, self._history
        at_ns = self._epoch_ms * NS_PER_MS + int(now_ms * NS_PER_MS)
        self._facts = []
        while True:
            began_ns = perf_counter_ns()
            effects = core.handle(facts, at_ns)
            history.core_ns += perf_counter_ns() - began_ns
            history.turns += 1
            for effect in effects:
                self._carry_out(now_ms, effect)
            if not core.ready:
                break
            facts = []
        due_ms = core.next_due_ms
        # what is due already was not done in this turn, so it is not asked again within the same millisecond
        self._due_ms = NEVER if due_ms is None else max(float(due_ms - self._epoch_ms), now_ms + 1.0)

    def _carry_out(self, now_ms: float, effect: AnyEffect) -> None:
        plan, there_ms, fleet = self._agenda.plan, now_ms + self._half_ms, self._fleet
        if isinstance(effect, Dispatch):
            decision = effect.decision
            task = int(decision.task_id)
            self._history.decisions += 1
            self._history.predicted_ms[task] = UNKNOWN if decision.p50_ms is None else decision.p50_ms
            plan(there_ms, fleet.deliver, self._indexes[decision.worker], task, decision.attempt)
        elif isinstance(effect, Estimated):
            task = int(effect.task_id)
            eta = effect.eta
            self._history.tell(task, structs.replace(eta, at_ms=eta.at_ms - self._epoch_ms) if self._epoch_ms else eta)
        elif isinstance(effect, Retract):
            plan(there_ms, fleet.take_back, self._indexes[effect.worker], int(effect.task_id), effect.attempt)
        elif isinstance(effect, CancelRunning):
            order = (effect.attempt, effect.preempt)
            plan(there_ms, fleet.stop, self._indexes[effect.worker], int(effect.task_id), order)
        elif isinstance(effect, DeadLetter | CancelQueued):
            self._history.give_up(int(effect.task_id))
