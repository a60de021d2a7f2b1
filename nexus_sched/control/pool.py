"""What people decide about a pool: its mode, who predicts, what is paused, which estimates are pinned."""

from __future__ import annotations

import time
from collections.abc import Callable

from nexus_sched.control.desk import Desk, check_command, until
from nexus_sched.control.record import Actor
from nexus_sched.control.views import OverrideChange, OverrideView, PoolChange, PoolState
from nexus_sched.errors import InvalidInput, OverrideUnknown
from nexus_sched.model.command import (
    ChoosePredictor,
    PauseTasks,
    PinEstimate,
    ResumeTasks,
    SetMode,
    ShadowPredictor,
    UnpinEstimate,
)
from nexus_sched.model.events import EstimatePinned
from nexus_sched.model.frame import Frame
from nexus_sched.model.ids import check_task_type, check_worker_id
from nexus_sched.model.settings import MODES
from nexus_sched.units import NS_PER_MS

PoolDecision = SetMode | ChoosePredictor | ShadowPredictor | PauseTasks | ResumeTasks


def state_of(frame: Frame) -> PoolState:
    """How a pool works, by its picture."""
    return PoolState(
        mode=frame.mode,
        predictor=frame.predictor,
        shadow=frame.shadow,
        breaker=frame.breaker,
        paused=frame.paused,
    )


async def decide(desk: Desk, actor: Actor, command: PoolDecision, reason: str, *, dry_run: bool) -> PoolChange:
    """Carry a decision out, or say what would come of it."""
    check_command(command)
    name, subject, effect, holds = _about(command)
    before = state_of(await desk.frame())
    if dry_run:
        return PoolChange(effect=effect, dry_run=True, in_force=False, before=before, after=None)
    await desk.record(actor, name, subject, reason, before, command)
    await desk.send(command)
    after = state_of(await until(desk.frame, lambda frame: holds(state_of(frame))))
    return PoolChange(effect=effect, dry_run=False, in_force=holds(after), before=before, after=after)


def _about(command: PoolDecision) -> tuple[str, str, str, Callable[[PoolState], bool]]:
    """Action and subject for the trail, the effect in words, and what shows that it has come."""
    match command:
        case SetMode(mode):
            if mode not in MODES:
                raise InvalidInput(f"{mode[:40]!r} is no mode: one of {', '.join(MODES)}")
            return "pool.mode", mode, f"the pool works in mode {mode}", lambda now: now.mode == mode
        case ChoosePredictor(name):
            check_worker_id(name)
            return "pool.predictor", name, f"{name} predicts", lambda now: now.predictor == name
        case ShadowPredictor(name):
            if name:
                check_worker_id(name)
            return "pool.shadow", name, f"{name or 'nobody'} is in the shadow", lambda now: now.shadow == name
        case PauseTasks(task_type=kind):
            return "pool.pause", kind, f"{_whose(kind)} are not handed out", lambda now: kind in now.paused
        case ResumeTasks(task_type=kind):
            return "pool.resume", kind, f"{_whose(kind)} are handed out again", lambda now: kind not in now.paused


def _whose(task_type: str) -> str:
    return f"tasks of type {check_task_type(task_type)}" if task_type else "tasks"


# -- pinned estimates ----------------------------------------------------------------------------------


def overrides_of(frame: Frame, now_ms: int) -> list[OverrideView]:
    """The estimates that people pinned and that are in force."""
    return [described(pin, now_ms) for pin in frame.pins if pin.until_ms > now_ms]


def described(pin: EstimatePinned, now_ms: int) -> OverrideView:
    """One of them, with the time it has left."""
    return OverrideView(
        scope={"type": pin.task_type},
        effect=effect_of(pin),
        reason=pin.reason,
        actor=pin.actor,
        until_ms=pin.until_ms,
        remaining_ms=max(0, pin.until_ms - now_ms),
    )


def effect_of(pin: PinEstimate | EstimatePinned) -> dict[str, float]:
    """What an override does."""
    return {"factor": pin.factor} if pin.value_ms is None else {"estimate_ms": pin.value_ms}


async def pin(desk: Desk, actor: Actor, command: PinEstimate, *, dry_run: bool) -> OverrideChange:
    """Let people's estimate win for a while."""
    check_task_type(command.task_type)
    check_command(command)
    frame = await desk.frame()
    replaces = _standing(frame, command.task_type)
    told: dict[str, object] = {
        "scope": {"type": command.task_type},
        "effect": effect_of(command),
        "reason": command.reason,
    }
    words = f"the estimate for {command.task_type} is pinned"
    if dry_run:
        return OverrideChange(effect=words, dry_run=True, in_force=False, override=told, replaces=replaces)
    await desk.decide(actor, "override.add", command.task_type, replaces, command)
    wanted = (command.task_type, command.value_ms, command.factor, command.reason, command.actor)

    def shown(now: Frame) -> bool:
        fresh = (each for each in now.pins if each not in frame.pins)
        return any((each.task_type, each.value_ms, each.factor, each.reason, each.actor) == wanted for each in fresh)

    in_force = shown(await until(desk.frame, shown))
    return OverrideChange(effect=words, dry_run=False, in_force=in_force, override=told, replaces=replaces)


async def unpin(desk: Desk, actor: Actor, task_type: str, reason: str, *, dry_run: bool) -> OverrideChange:
    """End an override before its time. Raises `OverrideUnknown`."""
    replaces = _standing(await desk.frame(), check_task_type(task_type))
    if replaces is None:
        raise OverrideUnknown(f"no override is in force for type={task_type}; see `nexus-sched override list`")
    words = f"predictions for {task_type} count again"
    told: dict[str, object] = {"scope": {"type": task_type}}
    if dry_run:
        return OverrideChange(effect=words, dry_run=True, in_force=False, override=told, replaces=replaces)
    command = UnpinEstimate(task_type)
    await desk.record(actor, "override.remove", task_type, reason, replaces, command)
    await desk.send(command)
    gone = _standing(await until(desk.frame, lambda now: _standing(now, task_type) is None), task_type) is None
    return OverrideChange(effect=words, dry_run=False, in_force=gone, override=told, replaces=replaces)


def _standing(frame: Frame, task_type: str) -> OverrideView | None:
    now_ms = time.time_ns() // NS_PER_MS
    return next((each for each in overrides_of(frame, now_ms) if each.scope["type"] == task_type), None)
