"""What people decide for a while about a task, or all tasks of a type: its estimate, where it runs, how urgent it is.

One list, one way to add and one to remove, whatever the effect: `estimate=500ms` and `factor=2.0` stand for what is
predicted of a type; `pin=W` and `avoid=W` say where tasks run, `priority=+1` how urgent they count. An override is
known by its scope and its effect: a scope has one of each, but for `avoid`, of which it has one for each worker.
"""

from __future__ import annotations

import contextlib
import time

from nexus_sched.client.endings import DEAD, is_open
from nexus_sched.control.desk import Desk, check_command, until
from nexus_sched.control.record import Actor
from nexus_sched.control.views import OverrideChange, OverrideView
from nexus_sched.control.workers import about
from nexus_sched.errors import AnswerMissing, Conflict, InvalidInput, OverrideUnknown, TaskUnknown, WorkerUnknown
from nexus_sched.model.choices import span_ms
from nexus_sched.model.command import AddOverride, Command, PinEstimate, RemoveOverride, UnpinEstimate
from nexus_sched.model.events import EstimatePinned, OverrideAdded
from nexus_sched.model.frame import Frame
from nexus_sched.model.ids import check_task_id, check_task_type, check_worker_id
from nexus_sched.model.overrides import AVOID, EFFECTS, PIN, PRIORITY, SCOPES, TASK, TYPE
from nexus_sched.units import NS_PER_MS

ESTIMATE, FACTOR = "estimate", "factor"
ALL_EFFECTS = (ESTIMATE, FACTOR, *EFFECTS)
FORMS = "estimate=500ms, factor=2.0, pin=WORKER, avoid=WORKER or priority=+1"

Addition = PinEstimate | AddOverride
Slot = tuple[str, str, str, str]  # scope, subject, kind of effect, worker that is avoided


# -- reading what people ask for ----------------------------------------------------------------------


def read_scope(text: str) -> tuple[str, str]:
    """Scope and subject of `type=NAME` or `task=ID`. Raises `InvalidInput`."""
    scope, separator, subject = (part.strip() for part in text.partition("="))
    if scope not in SCOPES or not separator:
        raise InvalidInput(f"scope {text!r} is not possible: write it as type=NAME or task=ID")
    return scope, check_task_type(subject) if scope == TYPE else check_task_id(subject)


def read_effect(text: str) -> tuple[str, str]:
    """Name and value of an effect. Raises `InvalidInput`."""
    name, separator, value = (part.strip() for part in text.partition("="))
    if name not in ALL_EFFECTS or not (separator and value):
        raise InvalidInput(f"effect {text!r} is not possible: write {FORMS}")
    return name, value


def addition_of(
    scope: tuple[str, str], effect: tuple[str, str], for_ms: int, reason: str, actor: str
) -> PinEstimate | AddOverride:
    """The command, checked as the scheduler will check it. Raises `InvalidInput`."""
    (kind, subject), (name, value) = scope, effect
    command: Addition
    if name in (ESTIMATE, FACTOR):
        if kind != TYPE:
            raise InvalidInput(f"an override by {name} is for a type: write its scope as type=NAME")
        value_ms = span_ms(value) if name == ESTIMATE else None
        factor = 1.0 if name == ESTIMATE else _number(value)
        command = PinEstimate(subject, for_ms, reason, actor, value_ms, factor)
    else:
        target, levels = ("", _levels(value)) if name == PRIORITY else (check_worker_id(value), 0)
        command = AddOverride(name, for_ms, reason, actor, **_subject(scope), target=target, levels=levels)
    check_command(command)
    return command


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"factor {text!r} is not a number: write factor=2.0") from None


def _levels(text: str) -> int:
    try:
        levels = int(text)
    except ValueError:
        levels = 0
    if not levels:
        raise InvalidInput(f"priority {text!r} is no number of levels: write priority=+1 or priority=-2")
    return levels


def _subject(scope: tuple[str, str]) -> dict[str, str]:
    return {"task_type" if scope[0] == TYPE else "task_id": scope[1]}


# -- what is in force ---------------------------------------------------------------------------------


def overrides_of(frame: Frame, now_ms: int | None = None) -> list[OverrideView]:
    """All that people decided and that is in force now, estimates first."""
    now_ms = time.time_ns() // NS_PER_MS if now_ms is None else now_ms
    found: list[EstimatePinned | OverrideAdded] = [*frame.pins, *frame.overrides]
    return [described(each, now_ms) for each in found if each.until_ms > now_ms]


def described(override: EstimatePinned | OverrideAdded, now_ms: int) -> OverrideView:
    """One of them, with the time it has left."""
    return OverrideView(
        scope=_scope_of(override),
        effect=_effect_of(override),
        reason=override.reason,
        actor=override.actor,
        until_ms=override.until_ms,
        remaining_ms=max(0, override.until_ms - now_ms),
    )


def _scope_of(override: Addition | EstimatePinned | OverrideAdded) -> dict[str, str]:
    match override:
        case OverrideAdded():
            return {override.scope: override.subject}
        case AddOverride() if override.task_id:
            return {TASK: override.task_id}
        case _:
            return {TYPE: override.task_type}


def _effect_of(override: Addition | EstimatePinned | OverrideAdded) -> dict[str, float | str]:
    match override:
        case OverrideAdded() | AddOverride():
            return {override.effect: override.levels if override.effect == PRIORITY else override.target}
        case _:
            return {FACTOR: override.factor} if override.value_ms is None else {"estimate_ms": override.value_ms}


def _slot(scope: dict[str, str], effect: dict[str, float | str]) -> Slot:
    """What can be in force once only."""
    ((kind, subject),) = scope.items()
    ((name, value),) = effect.items()
    return kind, subject, name if name in EFFECTS else ESTIMATE, str(value) if name == AVOID else ""


def _standing(frame: Frame, slot: Slot) -> OverrideView | None:
    return next((each for each in overrides_of(frame) if _slot(each.scope, each.effect) == slot), None)


# -- changing it --------------------------------------------------------------------------------------


async def add(desk: Desk, actor: Actor, command: Addition, *, dry_run: bool) -> OverrideChange:
    """Let people's will count for a while. Raises `TaskUnknown`, or `Conflict` for a task that has ended."""
    check_command(command)
    frame = await desk.frame()
    scope, effect = _scope_of(command), _effect_of(command)
    slot = _slot(scope, effect)
    if slot[0] == TASK:
        await _check_task(desk, slot[1])
    replaces = _standing(frame, slot)
    told: dict[str, object] = {"scope": scope, "effect": effect, "reason": command.reason}
    words = await _words(desk, slot, effect)
    if dry_run:
        return OverrideChange(effect=words, dry_run=True, in_force=False, override=told, replaces=replaces)
    await desk.decide(actor, "override.add", slot[1], replaces, command)
    wanted = (scope, effect, command.reason, command.actor)
    former = {_slot(each.scope, each.effect): each.until_ms for each in overrides_of(frame)}

    def shown(now: Frame) -> bool:
        found = _standing(now, slot)
        if found is None or found.until_ms == former.get(slot):
            return False
        return (found.scope, found.effect, found.reason, found.actor) == wanted

    in_force = shown(await until(desk.frame, shown))
    return OverrideChange(effect=words, dry_run=False, in_force=in_force, override=told, replaces=replaces)


async def _check_task(desk: Desk, task_id: str) -> None:
    record = await desk.store.record(task_id)
    if record is None:
        raise TaskUnknown(f"no task {task_id} is known, or it ended longer ago than results are kept")
    if not is_open(record) and record.state != DEAD:
        raise Conflict(f"{task_id} has ended: nothing can be decided about it any more")


async def _words(desk: Desk, slot: Slot, effect: dict[str, float | str]) -> str:
    """What an override does, and what is odd about it now."""
    whose = f"tasks of type {slot[1]}" if slot[0] == TYPE else slot[1]
    match slot[2]:
        case "pin":
            return f"{whose} may run on {effect[PIN]} only{await _away(desk, str(effect[PIN]))}"
        case "avoid":
            return f"{whose} may not run on {effect[AVOID]}{await _away(desk, str(effect[AVOID]))}"
        case "priority":
            return f"{whose} count as so much more urgent, or less: {effect_text(effect)}"
        case _:
            return f"the estimate for {slot[1]} is pinned"


async def _away(desk: Desk, worker: str) -> str:
    with contextlib.suppress(AnswerMissing):
        try:
            await about(desk.client, worker)
        except WorkerUnknown:
            return ", which is not registered now"
    return ""


async def remove(
    desk: Desk, actor: Actor, scope: tuple[str, str], effect: str, reason: str, *, dry_run: bool
) -> OverrideChange:
    """End an override before its time. `effect` is its name, `avoid=W`, or empty if its scope has only one.

    Raises `OverrideUnknown`, and `InvalidInput` if the scope has several and none is named.
    """
    ends = _named(await desk.frame(), scope, effect)
    slot = _slot(ends.scope, ends.effect)
    words = f"{text_of(ends)} is over"
    told: dict[str, object] = {"scope": ends.scope, "effect": ends.effect}
    if dry_run:
        return OverrideChange(effect=words, dry_run=True, in_force=False, override=told, replaces=ends)
    command: Command
    if slot[2] == ESTIMATE:
        command = UnpinEstimate(slot[1], reason, actor.name)
    else:
        command = RemoveOverride(slot[2], reason, actor.name, **_subject(scope), target=slot[3])
    await desk.decide(actor, "override.remove", slot[1], ends, command)
    gone = _standing(await until(desk.frame, lambda now: _standing(now, slot) is None), slot) is None
    return OverrideChange(effect=words, dry_run=False, in_force=gone, override=told, replaces=ends)


def _named(frame: Frame, scope: tuple[str, str], effect: str) -> OverrideView:
    """The override in force that is meant."""
    name, _, value = (part.strip() for part in effect.partition("="))
    if name and name not in ALL_EFFECTS:
        raise InvalidInput(f"effect {effect!r} is not possible: one of {', '.join(ALL_EFFECTS)}, or avoid=WORKER")
    kind = ESTIMATE if name == FACTOR else name
    found = [each for each in overrides_of(frame) if each.scope == dict([scope])]
    if kind:
        found = [each for each in found if _slot(each.scope, each.effect)[2] == kind]
    if kind == AVOID and value:
        found = [each for each in found if each.effect[AVOID] == value]
    if not found:
        what = f"{scope[0]}={scope[1]}" + (f" by {effect}" if effect else "")
        raise OverrideUnknown(f"no override is in force for {what}; see `nexus-sched override list`")
    if len(found) > 1:
        raise InvalidInput(f"several are in force, say which by its effect: {', '.join(map(text_of, found))}")
    return found[0]


def text_of(view: OverrideView) -> str:
    """`type=resize pin=w-1`, for people."""
    ((kind, subject),) = view.scope.items()
    return f"{kind}={subject} {effect_text(view.effect)}"


def effect_text(effect: dict[str, float | str]) -> str:
    """For people: what an override does."""
    ((name, value),) = effect.items()
    if name == PRIORITY:
        return f"priority={int(value):+d}"
    if name == "estimate_ms":
        return f"estimate={float(value):g}ms"
    return f"{name}={float(value):g}" if name == FACTOR else f"{name}={value}"
