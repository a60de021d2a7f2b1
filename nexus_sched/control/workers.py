"""What people decide about one worker: cordon, drain, resume, evict, open its breaker."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from nexus_sched.client import AsyncClient
from nexus_sched.control.desk import Desk, check_command, until
from nexus_sched.control.record import Actor
from nexus_sched.control.views import WorkerChange
from nexus_sched.errors import WorkerUnknown
from nexus_sched.model.answer import WorkerAnswer
from nexus_sched.model.command import CordonWorker, EvictWorker, ResumeWorker, TripWorker
from nexus_sched.model.ids import check_worker_id
from nexus_sched.model.question import AskWorker
from nexus_sched.model.worker import WorkerStanding
from nexus_sched.units import MS_PER_S

Decision = CordonWorker | ResumeWorker | TripWorker | EvictWorker


class Kind(NamedTuple):
    """One decision there is: what it does, in words, and the command for worker, reason and actor."""

    says: str
    command: Callable[[str, str, str], Decision]


DECISIONS: dict[str, Kind] = {
    "cordon": Kind(
        "Give a worker nothing new; it keeps what it has.",
        lambda worker, reason, actor: CordonWorker(worker, False, reason, actor),
    ),
    "drain": Kind(
        "Give a worker nothing new and take back what it has not started; the answer says when it will be free.",
        lambda worker, reason, actor: CordonWorker(worker, True, reason, actor),
    ),
    "resume": Kind("Let a worker take tasks again, whatever had stopped it.", ResumeWorker),
    "evict": Kind("Empty a worker: as a drain, and what it runs is stopped and runs elsewhere.", EvictWorker),
    "breaker": Kind("Open a worker's breaker, as if too many of its runs had failed; `:resume` closes it.", TripWorker),
}


async def about(client: AsyncClient, worker: str) -> WorkerAnswer:
    """What the scheduler says of a worker. Raises `WorkerUnknown`, and `AnswerMissing` if no scheduler answers."""
    said = await client.ask(AskWorker(check_worker_id(worker)))
    if said["ask"] != "worker":
        raise WorkerUnknown(f"{said['why']}; see `nexus-sched workers list`")
    return msgspec.convert(said, WorkerAnswer)


async def decide(desk: Desk, actor: Actor, command: Decision, *, dry_run: bool) -> WorkerChange:
    """Carry a decision out, or say what would come of it."""
    check_worker_id(command.worker)
    check_command(command)
    before = await about(desk.client, command.worker)
    effect = f"{command.worker} {_words(command, before)}"
    if dry_run:
        return WorkerChange(
            worker=command.worker, effect=effect, dry_run=True, in_force=False, before=before, after=None
        )
    standing = {"standing": before.standing, "reason": before.standing_reason, "breaker": before.breaker.state}
    await desk.decide(actor, f"worker.{_name(command)}", command.worker, standing, command)
    holds = _holds(command)
    after = await until(lambda: about(desk.client, command.worker), holds)
    return WorkerChange(
        worker=command.worker, effect=effect, dry_run=False, in_force=holds(after), before=before, after=after
    )


def _name(command: Decision) -> str:
    match command:
        case CordonWorker():
            return "drain" if command.drain else "cordon"
        case EvictWorker():
            return "evict"
        case ResumeWorker():
            return "resume"
        case TripWorker():
            return "breaker"


def _holds(command: Decision) -> Callable[[WorkerAnswer], bool]:
    match command:
        case CordonWorker(drain=False):
            return lambda now: now.standing is WorkerStanding.CORDONED
        case CordonWorker() | EvictWorker():
            return lambda now: now.standing is WorkerStanding.DRAINING
        case ResumeWorker():
            return lambda now: now.standing is WorkerStanding.ACCEPTING
        case TripWorker():
            return lambda now: now.breaker.state == "open"


# -- what would come of it ---------------------------------------------------------------------------


def _words(command: Decision, now: WorkerAnswer) -> str:
    spare = _count(max(0, now.in_flight - now.slots))
    match command:
        case CordonWorker(drain=False):
            return f"takes nothing new and keeps its {_count(now.in_flight)}; free in: {free_in_text(now)}"
        case CordonWorker():
            runs = _count(min(now.in_flight, now.slots))
            return f"takes nothing new, finishes {runs} and gives back {spare}; free in: {free_in_text(now)}"
        case EvictWorker():
            return f"takes nothing new and gives back its {_count(now.in_flight)}, what runs there is stopped"
        case ResumeWorker():
            if now.standing is WorkerStanding.ACCEPTING:
                return "takes tasks already; what is remembered against it is forgotten"
            return f"takes tasks again; it was {now.standing.value}"
        case TripWorker():
            return f"takes nothing for a while, then one task on trial, and gives back {spare} it has not started"


def free_in_text(answer: WorkerAnswer) -> str:
    """For people: when a worker will have finished what it holds."""
    if answer.in_flight == 0:
        return "now"
    if answer.free_in_ms is None:
        return "unknown, a task there has no prediction"
    return f"about {seconds_text(answer.free_in_ms.p50_ms)} (p95 {seconds_text(answer.free_in_ms.p95_ms)})"


def seconds_text(span_ms: float) -> str:
    """For people: a span in seconds."""
    return f"{span_ms / MS_PER_S:.1f} s"


def _count(tasks: int) -> str:
    return "1 task" if tasks == 1 else f"{tasks} tasks"
