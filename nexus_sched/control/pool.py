"""What people decide about a pool: its mode, who predicts, what is paused."""

from __future__ import annotations

from collections.abc import Callable

from nexus_sched.control.desk import Desk, check_command, until
from nexus_sched.control.record import Actor
from nexus_sched.control.views import PoolChange, PoolState
from nexus_sched.errors import InvalidInput
from nexus_sched.model.command import (
    ChoosePredictor,
    PauseTasks,
    ResumeTasks,
    SetMode,
    ShadowPredictor,
)
from nexus_sched.model.frame import Frame
from nexus_sched.model.ids import check_task_type, check_worker_id
from nexus_sched.model.settings import MODES

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


async def decide(desk: Desk, actor: Actor, command: PoolDecision, *, dry_run: bool) -> PoolChange:
    """Carry a decision out, or say what would come of it."""
    check_command(command)
    name, subject, effect, holds = _about(command)
    before = state_of(await desk.frame())
    if dry_run:
        return PoolChange(effect=effect, dry_run=True, in_force=False, before=before, after=None)
    await desk.decide(actor, name, subject, before, command)
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
