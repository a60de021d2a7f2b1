"""One seed from beginning to end: trouble, then peace in which everything must drain, then a last look at all of it."""

from __future__ import annotations

import contextlib
import gc
import random as chance
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from msgspec import Struct

from nexus_sched.adapters.memory import MemoryInspectorStore, MemoryLeaderStore, MemoryShard
from nexus_sched.adapters.memory.shard import QUEUED, RUNNING
from nexus_sched.core.engine import Engine
from nexus_sched.inspection.inspect import inspect_shard
from nexus_sched.runtime.recovery import recover
from nexus_sched.testing.builders import PREDICTORS
from tests.shell.bounds import bounds
from tests.shell.cast import CLIENT, SCHEDULER, WORKER, Stage
from tests.shell.faults import FLUSHED, KINDS, POISONOUS, SHARED, heal, let_go_wrong
from tests.shell.plan import draw
from tests.shell.server import finish
from tests.shell.sharing import unshared
from tests.shell.world import Endless, World

DRAIN_S_MAX = 60.0  # of virtual time, for some seconds of work
DRAIN_SHARED_S_MAX = 180.0  # each worker that poison kills may leave a shard without one, for some 20 s
LEAVE_S_MAX = 10.0


class Verdict(Struct, frozen=True):
    """What came of one run. `broken` is empty if every law held."""

    seed: int
    kind: str
    broken: list[str]
    faults: dict[str, int]
    tasks: int
    executions: int
    reruns: int
    concluded: dict[str, int]
    turns: int
    store_steps: int  # at which the laws were checked
    steps: int  # of all parties
    drained_s: float
    ended_s: float

    @property
    def command(self) -> str:
        """The line that repeats this run."""
        return f'make sim ARGS="--seed {self.seed} --kind {self.kind} --verbose"'


def kind_of(seed: int) -> str:
    """The kind of a seed that nobody chose one for: kinds take turns."""
    kinds = list(KINDS)
    return kinds[seed % len(kinds)]


def run(seed: int, kind: str, tell: Callable[[str], None] | None = None) -> Verdict:
    """Live through one story."""
    with _uncollected():
        return _run(seed, kind, tell)


def _run(seed: int, kind: str, tell: Callable[[str], None] | None) -> Verdict:
    world = World(f"{kind} {seed}")
    stage = Stage(world, draw(world.random, poison=kind in POISONOUS, shared=kind in SHARED), tell)
    state = chance.getstate()
    chance.seed(seed)  # what the product draws by itself
    try:
        with structlog.testing.capture_logs() as logs, bounds(small=stage.plan.small_bounds):
            drained_s, steps = _live(stage, kind), world.steps
            for process in stage.processes:
                process.link.close()
            for process in stage.processes:
                process.loop.bury()
    finally:
        chance.setstate(state)
    if tell is not None:
        for line in logs:
            tell(f"log {line}")
    history = stage.history
    return Verdict(
        seed=seed,
        kind=kind,
        broken=[*stage.laws.broken, *world.defects],
        faults=dict(history.faults),
        tasks=len(history.acknowledged),
        executions=sum(map(len, history.executions.values())),
        reruns=history.reruns,
        concluded=dict(history.concluded),
        turns=sum(map(len, history.turns.values())),
        store_steps=stage.laws.steps,
        steps=steps,
        drained_s=round(drained_s, 3),
        ended_s=round(world.now_s, 3),
    )


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: what a dead process left in its coroutines would end at a moment of its own.

    What was there before is not looked through: a seed clears up behind itself alone.
    """
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        gc.enable()


def _live(stage: Stage, kind: str) -> float:
    """All phases; gives how long it took until everything had drained."""
    world, laws = stage.world, stage.laws

    def broken() -> bool:
        return bool(laws.broken or world.defects)

    stage.open()
    let_go_wrong(stage, kind)
    try:
        if world.run(stage.plan.troubled_s, broken):
            return 0.0
        if kind in FLUSHED:
            heal(stage)
            _look_after_loss(stage)
            return 0.0
        heal(stage)
        drain_s = DRAIN_S_MAX if stage.plan.sharing is None else DRAIN_SHARED_S_MAX
        world.run(world.now_s + drain_s, lambda: broken() or _at_rest(stage))
        drained_s = world.now_s - stage.plan.troubled_s
        if broken():
            return drained_s
        if not _at_rest(stage):
            laws.broken += _stuck(stage)
            return drained_s
        _leave(stage)
    except Endless as error:
        laws.broken.append(str(error))
        return 0.0
    if not broken():
        _look_back(stage)
    return drained_s


def _at_rest(stage: Stage) -> bool:
    """Whether nothing is left to do: every client knows how its tasks ended, and nothing lies anywhere."""
    if stage.restarting or any(process.alive for process in stage.processes if process.role == CLIENT):
        return False
    return not any(_holds_work(shard) for shard in stage.server.shards) and not unshared(stage)


def _holds_work(shard: MemoryShard) -> bool:
    if any(task.state in (QUEUED, RUNNING) for task in shard.tasks.values()):
        return True
    return any(len(entries) for name, entries in shard.streams.items() if name.startswith(("q:", "i:")))


def _stuck(stage: Stage) -> list[str]:
    """What has not drained, in words."""
    found = [f"stuck: {what}" for what in unshared(stage)]
    for shard in stage.server.shards:
        for task_id, task in shard.tasks.items():
            if task.state in (QUEUED, RUNNING):
                found.append(f"stuck: {task_id} is {task.state} at {task.worker}, attempt {task.attempt}")
        for name, entries in shard.streams.items():
            if name.startswith(("q:", "i:")) and len(entries):
                found.append(f"stuck: {name} holds {[fields[:4] for _, fields in entries.after((0, 0), 3)]}")
    unheard = sorted(stage.tasks.keys() - stage.concluded)
    return [*found, f"stuck: clients have not heard of {unheard}, living are {[p.title for p in stage.alive()]}"]


def _leave(stage: Stage) -> None:
    """Everybody ends in order."""
    stage.closing = True
    for process in stage.alive(SCHEDULER, WORKER):
        stage.ask_to_leave(process)
    if not stage.world.run(stage.world.now_s + LEAVE_S_MAX, lambda: not stage.alive()):
        stage.laws.broken.append(f"{[process.title for process in stage.alive()]} do not end when they are asked to")


def _look_back(stage: Stage) -> None:
    """The last look: nothing lost, nothing run again without reason, all of it in the journal, fsck finds nothing."""
    stage.laws.broken += [f"{task_id} was acknowledged and is gone" for task_id in sorted(stage.laws.gone())]
    _look_at_reruns(stage)
    for number in range(len(stage.server.shards)):
        _look_at_shard(stage, number)


def _look_at_shard(stage: Stage, number: int) -> None:
    shard, broken = stage.server.shards[number], stage.laws.broken
    engine = Engine(PREDICTORS)
    for turn in stage.history.of_shard(number):
        effects = engine.handle(turn.events, turn.at_ns)
        if effects != turn.effects or (turn.digest is not None and turn.digest != engine.digest()):
            broken.append(f"turn {turn.seq} comes out differently when it is handled again")
            return
    leader = MemoryLeaderStore(shard)
    recovered: Any = finish(recover(leader, PREDICTORS, shard.seq or 0))
    if recovered.engine.digest() != engine.digest():
        broken.append("recovery from the store gives another digest than the journal from its first turn")
    report: Any = finish(inspect_shard(MemoryInspectorStore(shard), leader, PREDICTORS, sleep=_at_once))
    broken.extend(f"fsck: {finding.code.name} {finding.sentence}" for finding in report.findings)


async def _at_once(_: float) -> None:
    """Nobody changes anything any more, so nothing is waited for."""


def _look_at_reruns(stage: Stage) -> None:
    """Runs beyond the first of a task are due to what was done to the process of the one before, or were wanted."""
    history = stage.history
    for task_id, runs in history.executions.items():
        plan = stage.tasks[task_id]
        history.reruns += len(runs) - 1
        if task_id in history.forgiven or task_id in history.redriven or plan.idempotent:
            continue
        for earlier in runs[:-1]:
            again = plan.retry.value == "any" and earlier.outcome in ("failed", "timed-out")
            if not (again or earlier.outcome == "preempted" or earlier.process in history.disturbed):
                stage.laws.broken.append(
                    f"{task_id} ran again, and nothing was done to {earlier.process}, which ran it as {earlier.attempt}"
                )


def _look_after_loss(stage: Stage) -> None:
    """After `FLUSHALL` whoever had led before has to say so and end. That nobody goes on is looked at in every step.

    Who had led only shards that others, which had never seen them, have begun anew meanwhile, has nothing to notice.
    """

    def still_there() -> list[str]:
        several = stage.plan.sharing is not None
        led = {title for title, number in stage.history.led if not (several and stage.history.of_shard(number))}
        return [process.title for process in stage.alive(SCHEDULER) if process.title in led]

    if stage.state_lost and not stage.world.run(stage.world.now_s + DRAIN_S_MAX, lambda: not still_there()):
        stage.laws.broken.append(f"the state is lost, and {still_there()} have not said so")
