"""Why a task waits: the reason, in one of three tiers, what would change it, and when it is expected to start.

* misconfigured: no worker of the pool could ever run it;
* waiting for capacity: workers could, but they are full, left alone, held for others, or a limit is reached;
* waiting its turn: it may not start yet, or others go first.

Law: an answer follows from the state at the end of its turn, so it replays like a decision. It takes a look at all
workers, and at all tasks if they are not too many: some 2 ms at the most.
"""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import NamedTuple

from msgspec.structs import asdict

from nexus_sched.core.eligibility import (
    BROKEN,
    BUSY,
    CORDONED,
    DRAINING,
    NOT_ACCEPTING,
    RESOURCES,
    SUSPECT,
    allowed,
    rejection,
    worth_ms,
)
from nexus_sched.core.freeing import left_ms
from nexus_sched.core.limits import Gate
from nexus_sched.core.records import TaskRecord
from nexus_sched.core.resources import fits
from nexus_sched.core.state import EngineState
from nexus_sched.core.why_not import impossible, why_not
from nexus_sched.model.answer import FOR_CAPACITY, ITS_TURN, MISCONFIGURED, Answer, Unanswered, WhyAnswer
from nexus_sched.model.eta import Eta
from nexus_sched.model.overrides import PRIORITY, told_of
from nexus_sched.units import MS_PER_S, span_text

PASSING = (BUSY, RESOURCES, NOT_ACCEPTING, DRAINING, CORDONED, BROKEN, SUSPECT)
MEANING = {
    BUSY: "busy",
    NOT_ACCEPTING: "held free for tasks that others kept overtaking",
    RESOURCES: "without enough left of what it asks for",
    DRAINING: "draining",
    CORDONED: "cordoned",
    BROKEN: "with an open breaker",
    SUSPECT: "silent",
}
REMEDIES = {
    BUSY: "more workers, or fewer tasks; `nexus-sched simulate` says how many",
    NOT_ACCEPTING: "fewer large tasks, or larger workers",
    DRAINING: "`nexus-sched workers resume NAME` for a worker that need not stop",
    CORDONED: "`nexus-sched workers resume NAME`",
    BROKEN: "whatever makes runs fail there; `nexus-sched workers get NAME` has its story",
    SUSPECT: "the network, or the machines of silent workers",
    RESOURCES: "fewer resources for the task, or larger workers",
}


TASKS_COUNTED_MAX = 20_000


class Ahead(NamedTuple):
    """What stands before a task in the order."""

    tasks: int  # -1: too many to count
    work_ms: float  # predicted

    def __bool__(self) -> bool:
        return self.tasks != 0

    def __str__(self) -> str:
        tasks = "one task" if self.tasks == 1 else "many tasks" if self.tasks < 0 else f"{self.tasks} tasks"
        verb = "is" if self.tasks == 1 else "are"
        return f"{tasks} with {span_text(self.work_ms)} of predicted work {verb} before it"


class Reason:
    """A tier, a sentence, and what would change it."""

    __slots__ = ("remedies", "sentence", "tier")

    def __init__(self, tier: str, sentence: str, *remedies: str) -> None:
        self.tier = tier
        self.sentence = sentence
        self.remedies = remedies


def about_task(state: EngineState, task_id: str, worker: str) -> Answer:
    """Why a task is where it is, and if `worker` is given, why not there."""
    record = state.tasks.get(task_id)
    if record is None:
        return Unanswered(task_id, f"no task {task_id!r} waits or runs")
    eta = state.etas.eta_of(record)
    ahead = _ahead(state, record)
    reason = _waiting(state, record, ahead) if record.waiting else Reason("", _placed(state, record))
    return WhyAnswer(
        task=task_id,
        type=record.task.type,
        at_ms=state.now_ms,
        state="waiting" if record.waiting else "placed",
        tier=reason.tier,
        reason=reason.sentence,
        remedies=reason.remedies,
        funnel=state.placement.scoring.eligibility.funnel(record.task.terms.needs),
        eta={} if reason.tier == MISCONFIGURED else asdict(eta),
        ahead=ahead.tasks,
        ahead_ms=ahead.work_ms,
        worker=record.worker,
        attempt=record.attempt,
        priority=record.task.priority,
        wished=state.wishes.get(task_id, ""),
        delayed=record.waiting and record.past.not_before_ms > state.now_ms,
        recalled=not record.waiting and record.past.avoid == record.worker,
        decision="" if record.waiting else record.entry,
        why_not=why_not(state, record, worker) if worker else "",
        overrides=tuple(told_of(each) for each in state.overrides.of(record.task)),
        own_priority=(record.past.own or record.task).priority,
    )


def _ahead(state: EngineState, record: TaskRecord) -> Ahead:
    """By keys; shares of tenants and limits may let others pass."""
    if record.ticket <= 0:
        return Ahead(0, 0.0)
    if len(state.backlog) > TASKS_COUNTED_MAX:
        return Ahead(-1, state.etas.queue.before_ms(record))
    place = (record.key, record.ticket)
    before = [each for each in state.tasks.values() if each.ticket > 0 and (each.key, each.ticket) < place]
    return Ahead(len(before), sum(max(0.0, each.mean_ms) for each in before))


def _placed(state: EngineState, record: TaskRecord) -> str:
    passed_ms = state.now_ms - record.booked.placed_ms
    if passed_ms < 0:
        return f"it is with {record.worker}, where it is expected to start in {span_text(float(-passed_ms))}"
    late = ", longer than predicted" if record.booked.overdue else ""
    return f"it is with {record.worker}, where it was expected to start {span_text(float(passed_ms))} ago{late}"


def _waiting(state: EngineState, record: TaskRecord, ahead: Ahead) -> Reason:
    """The first that holds, from what lasts to what passes."""
    if record.past.held or state.paused:
        return _held(state, record)
    if not state.roster.ring:
        return Reason(FOR_CAPACITY, "no worker is registered", "start one: `nexus-sched worker MODULE:APP`")
    bound = _bound(state, record)
    if bound is not None:
        return bound
    failing = impossible(state, record.task.terms.needs)
    if failing:
        demand, there = failing[0]
        sentence = f"no worker could ever run it: it asks for {demand}, but {there}"
        return Reason(MISCONFIGURED, sentence, f"a worker with {demand}", "submit it again without that demand")
    if record.ticket < 0:
        return _delayed(state, record)
    return _limited(state, record) or _crowded_out(state, record, ahead) or _in_line(state, record, ahead)


def _held(state: EngineState, record: TaskRecord) -> Reason:
    """What people decided keeps it."""
    worker = state.wishes.get(record.task.id)
    whose = record.task.type if record.task.type in state.pauses else ""
    pause = state.pauses.get(whose)
    if pause is None:
        if worker is not None and not allowed(worker, record.task.terms.needs):
            binding, remedies = _binding(state, record)
            sentence = f"somebody wants it to run on {worker}, and it may not by {binding}"
            return Reason(FOR_CAPACITY, sentence, *remedies, "`nexus-sched task reassign` to another one")
        sentence = f"somebody wants it to run on {worker}, which does not take it yet"
        return Reason(FOR_CAPACITY, sentence, "a free slot there", "`nexus-sched task reassign` to another one")
    what = f"tasks of type {whose!r} are paused" if whose else "the pool is paused"
    who = f" by {pause.actor}" if pause.actor else ""
    resume = f"nexus-sched pool resume --type {whose}" if whose else "nexus-sched pool resume"
    return Reason(FOR_CAPACITY, f"{what}{who}: {pause.reason}", f"`{resume}`")


def _bound(state: EngineState, record: TaskRecord) -> Reason | None:
    """Overrides leave it to few workers or to none, and those do not take it."""
    needs = record.task.terms.needs
    bounds = needs.bounds
    if bounds is None:
        return None
    binding, remedies = _binding(state, record)
    left = [worker for worker in state.roster.ring if allowed(worker.name, needs)]
    if bounds.only and bounds.only in bounds.never:
        return Reason(MISCONFIGURED, f"overrides leave it to no worker: {binding}", *remedies)
    if not left and bounds.only:
        sentence = f"it may run on {bounds.only} only, which is not registered: {binding}"
        return Reason(FOR_CAPACITY, sentence, f"{bounds.only}, when it is there again", *remedies)
    if not left:
        return Reason(FOR_CAPACITY, f"overrides keep it from every worker: {binding}", "another worker", *remedies)
    if not bounds.only or (rejection(left[0], needs) is None and left[0].in_flight < left[0].slots):
        return None
    name = bounds.only
    possible = worth_ms(left[0], needs) < inf and fits(left[0], needs.resources, ever=True)
    sentence = f"it may run on {name} only, by {binding}; {why_not(state, record, name)}"
    return Reason(FOR_CAPACITY if possible else MISCONFIGURED, sentence, *remedies)


def _binding(state: EngineState, record: TaskRecord) -> tuple[str, list[str]]:
    """The overrides that say where a task may run, and how to end them."""
    found = [each for each in state.overrides.of(record.task) if each.effect != PRIORITY]
    names = [f"--scope {each.scope}={each.subject} --effect {each.effect}={each.target}" for each in found]
    return " and ".join(map(told_of, found)), [f"`nexus-sched override remove {name}`" for name in names]


def _delayed(state: EngineState, record: TaskRecord) -> Reason:
    left = span_text(float(max(0, record.past.not_before_ms - state.now_ms)))
    retries = record.past.retries
    if retries:
        runs = "run" if retries == 1 else "runs"
        return Reason(ITS_TURN, f"it backs off after {retries} failed {runs}, and is tried again in {left}")
    return Reason(ITS_TURN, f"it was submitted with a delay, and may start in {left}")


def _limited(state: EngineState, record: TaskRecord) -> Reason | None:
    if not state.settings.limits:
        return None
    for gate in state.backlog.limits.gates_of(record.task):
        limit = gate.limit
        whose = f"{limit.scope} {gate.name[1] or 'without a name'!r}"
        remedy = f"a higher limit for {limit.scope} {limit.name!r} in the configuration"
        if 0 < limit.concurrency <= gate.held:
            sentence = f"{gate.held} tasks of {whose} are handed out, and no more than {limit.concurrency} may be"
            return Reason(FOR_CAPACITY, sentence, "the end of one of them", remedy)
        if limit.rate_per_s > 0.0 and tokens_of(gate, state.now_ms) < 1.0:
            sentence = f"tasks of {whose} may start {limit.rate_per_s:g} times a second, and have just done so"
            return Reason(FOR_CAPACITY, sentence, remedy)
    return None


def tokens_of(gate: Gate, now_ms: int) -> float:
    """What its bucket holds by now; unlike asking the gate, this changes nothing."""
    passed_ms = max(0, now_ms - gate.counted_at_ms)
    return min(max(1.0, gate.limit.burst), gate.tokens + passed_ms * gate.limit.rate_per_s / MS_PER_S)


def _crowded_out(state: EngineState, record: TaskRecord, ahead: Ahead) -> Reason | None:
    """Nobody who could run it takes anything now, and that is not because others go first."""
    found = dict.fromkeys(PASSING, 0)
    for worker in state.roster.ring:
        reason = rejection(worker, record.task.terms.needs)
        if reason is None:
            if worker.in_flight < worker.slots:
                return None
            reason = BUSY  # it may hold more than it runs, but is not sent more until a slot is about to be free
        if reason in found:
            found[reason] += 1
    passing = {reason: count for reason, count in found.items() if count}
    if ahead and (passing.get(BUSY) or passing.get(RESOURCES)):
        return None
    parts = ", ".join(f"{count} {MEANING[reason]}" for reason, count in passing.items())
    sentence = f"it is next in line, but no worker that could run it takes tasks now: {parts}"
    soonest_ms = _soonest_ms(state, record)
    if soonest_ms is not None:
        sentence += f"; the first run there is expected to end in {span_text(soonest_ms)}"
    return Reason(FOR_CAPACITY, sentence, *(REMEDIES[reason] for reason in passing))


def _soonest_ms(state: EngineState, record: TaskRecord) -> float | None:
    """When the first run of a feasible worker that takes tasks is expected to end."""
    needs = record.task.terms.needs
    found = [
        left[0]
        for worker in state.roster.ring
        if rejection(worker, needs) in (None, BUSY, RESOURCES) and fits(worker, needs.resources, ever=True)
        for held in islice(worker.placed.values(), worker.slots)
        if (left := left_ms(held, state.now_ms)) is not None
    ]
    return min(found, default=None)


def _in_line(state: EngineState, record: TaskRecord, ahead: Ahead) -> Reason:
    start = _start_text(state.etas.eta_of(record))
    if state.backlog.fairness.shared:
        tenant = record.task.terms.tenant
        whose = f"tenant {tenant!r}" if tenant else "tasks without a tenant"
        sentence = f"{ahead} in the order, and tenants share: {whose} has a turn when its share is due{start}"
        return Reason(ITS_TURN, sentence, "a larger weight for its tenant")
    if ahead:
        return Reason(ITS_TURN, f"{ahead} in the order{start}", "a higher priority", REMEDIES[BUSY])
    if state.settings.hold_for_faster:
        return Reason(ITS_TURN, f"a faster worker is worth waiting for{start}", "`scheduler.hold_for_faster = false`")
    return Reason(ITS_TURN, f"it is next in line{start}")


def _start_text(eta: Eta) -> str:
    return f"; it is expected to start in {span_text(eta.start_p50_ms)}" if eta.known else ""
