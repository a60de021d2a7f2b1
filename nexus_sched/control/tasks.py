"""What people decide about one task: cancel, boost, reassign, retry."""

from __future__ import annotations

import contextlib

import msgspec

from nexus_sched.client.endings import DEAD, is_open, state_of
from nexus_sched.control.desk import Desk, check_command, check_reason, until
from nexus_sched.control.record import Actor
from nexus_sched.control.views import TaskChange, TaskState
from nexus_sched.errors import AnswerMissing, Conflict, TaskUnknown
from nexus_sched.model.answer import WhyAnswer
from nexus_sched.model.command import BoostTask, CancelTask, ReassignTask, RetryTask
from nexus_sched.model.ids import check_task_id, check_worker_id
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.question import AskWhy
from nexus_sched.runtime.ports import DeadLetter, Redrive

RUNS = "running"
OPEN = ("queued", RUNS)
WAITS = "waiting"  # as the scheduler says it

# What came of a decision (`TaskChange.outcome`).
NOTHING = "nothing"  # a dry run
IN_FORCE = "in_force"  # it was seen to be so
PENDING = "pending"  # the scheduler was told, and it is not so yet
ALREADY_PLACED = "already_placed"  # a worker was given it before the decision was read
ALREADY_ENDED = "already_ended"  # it ended by itself before
NOT_FOUND = "not_found"  # it has been forgotten meanwhile
REFUSED = "refused"  # the scheduler read it and did not follow; its log says why


async def state(desk: Desk, task_id: str) -> TaskState:
    """Where a task stands. Raises `TaskUnknown`."""
    await desk.client.open()
    record = await desk.store.record(check_task_id(task_id))
    if record is None:
        raise TaskUnknown(f"no task {task_id} is known, or it ended longer ago than results are kept")
    return TaskState(task_id=task_id, state=state_of(record), attempt=record.attempt, worker=record.worker)


async def cancel(desk: Desk, actor: Actor, task_id: str, reason: str, *, dry_run: bool) -> TaskChange:
    """Take a waiting task out, tell a running one to stop. Raises `Conflict` if it has ended."""
    check_reason(reason)
    before = await _open(desk, task_id)
    effect = f"is told to stop on {before.worker}" if before.state == RUNS else "does not run"
    if dry_run:
        return _would(before, effect)
    await desk.decide(actor, "task.cancel", task_id, before, CancelTask(task_id, reason, actor.name))
    after = await until(lambda: _seen(desk, task_id), lambda now: now is None or now.state not in OPEN)
    cancelled = after is not None and after.state == Outcome.CANCELLED.value
    return _done(before, after, effect, IN_FORCE if cancelled else _instead(after, PENDING))


async def boost(desk: Desk, actor: Actor, command: BoostTask, *, dry_run: bool) -> TaskChange:
    """Give a waiting task another priority. Raises `Conflict` if it does not wait."""
    before, _ = await _waits(desk, command)
    effect = f"counts as priority {command.priority} from now on"
    if dry_run:
        return _would(before, effect)
    await desk.decide(actor, "task.boost", command.task_id, before, command)
    now = await _told(desk, command.task_id)
    counts = now is not None and now.state == WAITS and now.own_priority == command.priority
    return await _came_of(desk, before, effect, now, counts=counts)


async def reassign(desk: Desk, actor: Actor, command: ReassignTask, *, dry_run: bool) -> TaskChange:
    """Let a task that has not begun run elsewhere. Raises `Conflict` if it runs already."""
    if command.worker:
        check_worker_id(command.worker)
    check_command(command)
    before = await _open(desk, command.task_id)
    if before.state == RUNS:
        raise Conflict(f"{command.task_id} runs already on {before.worker}: only what has not begun can go elsewhere")
    said = await _why(desk, command.task_id)
    if not command.worker and not said.worker:
        raise Conflict(f"{command.task_id} waits, and nobody has it: name the worker that it should go to")
    effect = f"goes to {command.worker}" if command.worker else f"goes to another worker than {said.worker}"
    if dry_run:
        return _would(before, effect)
    await desk.decide(actor, "task.reassign", command.task_id, before, command)
    now = await _told(desk, command.task_id)
    goes = False
    if now is not None and command.worker:
        goes = command.worker in (now.wished, now.worker)
    elif now is not None:
        goes = now.worker != said.worker or now.recalled
    return await _came_of(desk, before, effect, now, counts=goes)


async def retry(desk: Desk, actor: Actor, command: RetryTask, *, dry_run: bool) -> TaskChange:
    """Send a dead task again, or end the back-off or delay of a waiting one. Raises `Conflict` for any other."""
    check_command(command)
    before = await state(desk, command.task_id)
    record = await desk.store.record(command.task_id)
    if record is not None and record.state == DEAD:
        return await _redrive(desk, actor, command, before, dry_run=dry_run)
    before, said = await _waits(desk, command)
    if not said.delayed:
        raise Conflict(f"{command.task_id} neither died nor backs off: there is nothing to retry")
    effect = "may run at once"
    if dry_run:
        return _would(before, effect)
    await desk.decide(actor, "task.retry", command.task_id, before, command)
    now = await _told(desk, command.task_id)
    return await _came_of(desk, before, effect, now, counts=now is not None and not now.delayed)


async def _redrive(desk: Desk, actor: Actor, command: RetryTask, before: TaskState, *, dry_run: bool) -> TaskChange:
    letter = await _letter(desk, command.task_id)
    effect = "is sent again, with all its attempts"
    if dry_run:
        return _would(before, effect)
    await desk.record(actor, "task.retry", command.task_id, command.reason, before, command)
    (answer,) = await desk.client.redrive([letter], command.reason, command.actor)
    if answer not in (Redrive.QUEUED, Redrive.REPEATED):
        raise Conflict(f"{command.task_id} cannot be sent again: {answer.name.lower().replace('_', ' ')}")
    return _done(before, await _seen(desk, command.task_id), effect, IN_FORCE)


async def _letter(desk: Desk, task_id: str) -> DeadLetter:
    after = "0-0"
    while page := await desk.store.dead_letters(after, 256):
        for letter in page:
            if letter.task_id == task_id:
                return letter
        after = page[-1].entry
    raise Conflict(f"{task_id} is dead, but its dead letter is gone")


async def _open(desk: Desk, task_id: str) -> TaskState:
    before = await state(desk, task_id)
    record = await desk.store.record(task_id)
    if record is None or not is_open(record):
        raise Conflict(f"{task_id} has ended: it is {before.state}")
    return before


async def _waits(desk: Desk, command: BoostTask | RetryTask) -> tuple[TaskState, WhyAnswer]:
    check_command(command)
    before = await _open(desk, command.task_id)
    said = await _why(desk, command.task_id)
    if said.state != WAITS:
        raise Conflict(f"{command.task_id} is with {said.worker} already")
    return before, said


async def _why(desk: Desk, task_id: str) -> WhyAnswer:
    said = await desk.client.ask(AskWhy(task_id))
    if said["ask"] != "why":
        raise Conflict(f"{said['why']}")
    return msgspec.convert(said, WhyAnswer)


async def _told(desk: Desk, task_id: str) -> WhyAnswer | None:
    """What the scheduler says behind a command, so after it; `None` if it knows no such live task, or is not there."""
    with contextlib.suppress(AnswerMissing, Conflict):
        return await _why(desk, task_id)
    return None


async def _seen(desk: Desk, task_id: str) -> TaskState | None:
    with contextlib.suppress(TaskUnknown):
        return await state(desk, task_id)
    return None


def _would(before: TaskState, effect: str) -> TaskChange:
    return TaskChange(
        task_id=before.task_id,
        effect=f"{before.task_id} {effect}",
        dry_run=True,
        in_force=False,
        outcome=NOTHING,
        before=before,
        after=None,
    )


async def _came_of(desk: Desk, before: TaskState, effect: str, now: WhyAnswer | None, *, counts: bool) -> TaskChange:
    """What came of a decision, by what the scheduler says of the task now (`None`: nothing)."""
    after = await _seen(desk, before.task_id)
    if counts:
        return _done(before, after, effect, IN_FORCE)
    instead = PENDING if now is None else REFUSED if now.state == WAITS else ALREADY_PLACED
    return _done(before, after, effect, _instead(after, instead))


def _instead(after: TaskState | None, still_open: str) -> str:
    """What is true of a task about which a decision did not count."""
    if after is None:
        return NOT_FOUND
    return still_open if after.state in OPEN else ALREADY_ENDED


def _done(before: TaskState, after: TaskState | None, effect: str, outcome: str) -> TaskChange:
    return TaskChange(
        task_id=before.task_id,
        effect=f"{before.task_id} {effect}",
        dry_run=False,
        in_force=outcome == IN_FORCE,
        outcome=outcome,
        before=before,
        after=after,
    )
