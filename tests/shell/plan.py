"""What a seed means: the tasks, who takes part, and the rhythm of the parties. Drawn before anything happens."""

from __future__ import annotations

from random import Random

from msgspec import Struct, structs

from nexus_sched.model.settings import EngineSettings, Preemption, Reaction
from nexus_sched.model.task import Retry

OK, FAILS, POISON = "ok", "fails", "poison"
TASK_TYPES = ("short", "long")


class TaskPlan(Struct, frozen=True):
    """One task, and what it does to whoever runs it."""

    task_id: str
    task_type: str
    submit_at_s: float
    run_s: float
    priority: int
    retry: Retry
    attempts_max: int
    behaviour: str
    failures: int = 0  # of its first attempts
    timeout_s: float | None = None
    cancel_after_s: float | None = None
    redrive: bool = False  # if it dies
    eta: bool = False
    idempotent: bool = False
    again_at_s: float | None = None  # when another client submits it as well


class Rhythm(Struct, frozen=True):
    """How often parties show that they live, and when they are given up."""

    lease_ms: int
    suspect_ms: int
    dead_ms: int
    heartbeat_s: float
    reconcile_s: float


class Sharing(Struct, frozen=True):
    """A pool of several shards, and how it begins."""

    shards: int
    scheduled_at_s: float  # when its first schedulers start, which settle the number of shards
    workers_know: bool  # the number, from their configuration
    clients_know: bool


class Plan(Struct, frozen=True):
    """One story before it happens."""

    tasks: tuple[TaskPlan, ...]
    schedulers: int
    slots: tuple[int, ...]  # of each worker
    clients: int
    rhythm: Rhythm
    settings: EngineSettings
    proofs: bool  # whether the death of a process can be proven, as on one machine
    names_kept: bool  # whether workers come back under their names
    length_max: int  # of a queue
    small_bounds: bool
    troubled_s: float  # how long things go wrong
    sharing: Sharing | None = None  # `None`: one shard, whose schedulers know of no other

    @property
    def shards(self) -> int:
        """How many shards the pool has."""
        return 1 if self.sharing is None else self.sharing.shards


QUICK = Rhythm(400, 800, 2_000, 0.4, 2.0)
USUAL = Rhythm(1_000, 2_000, 5_000, 1.0, 5.0)
USUAL_SHARE = 0.2


def draw(random: Random, *, poison: bool, shared: bool) -> Plan:
    """A plan; with `poison` some tasks kill the worker that runs them, `shared`: the pool has several shards."""
    plan = _draw(random, poison=poison)
    if not shared:
        return plan
    sharing = Sharing(
        shards=random.choice((1, 2, 3, 3, 4)),
        scheduled_at_s=random.choice((0.0, 0.0, random.uniform(0.0, 1.5))),
        workers_know=random.random() < 0.3,
        clients_know=random.random() < 0.3,
    )
    tasks = [
        structs.replace(task, again_at_s=random.uniform(0.0, plan.troubled_s)) if random.random() < 0.3 else task
        for task in plan.tasks
    ]
    slots = plan.slots + tuple(random.randint(1, 3) for _ in range(len(plan.slots), sharing.shards))
    return structs.replace(plan, sharing=sharing, tasks=tuple(tasks), slots=slots, clients=random.choice((1, 2, 2)))


def _draw(random: Random, *, poison: bool) -> Plan:
    troubled_s = random.uniform(2.0, 6.0)
    count = random.randint(5, 24)
    tasks = [_task(random, number, troubled_s) for number in range(count)]
    if poison:
        tasks += [_poison(random, count + number, troubled_s) for number in range(random.randint(1, 2))]
    workers = random.choice((1, 2, 2, 3, 3, 4))
    return Plan(
        tasks=tuple(tasks),
        schedulers=random.choice((1, 2, 2, 3)),
        slots=tuple(random.randint(1, 3) for _ in range(workers)),
        clients=random.choice((1, 1, 2)),
        rhythm=USUAL if random.random() < USUAL_SHARE else QUICK,
        settings=_settings(random),
        proofs=random.random() < 0.5,
        names_kept=random.random() < 0.5,
        length_max=random.choice((4, 1_000)),
        small_bounds=random.random() < 0.5,
        troubled_s=troubled_s,
    )


def _settings(random: Random) -> EngineSettings:
    return EngineSettings(
        mode=random.choice(("predictive", "predictive", "round-robin")),
        prefetch=random.choice((0, 1, 1, 3)),
        backoff_ms=random.choice((50.0, 300.0)),
        preemption=Preemption(enabled=random.random() < 0.3, pause_ms=500),
        reaction=Reaction(speculate=random.random() < 0.3, copies_share_max=0.5, speculate_after=1.0),
    )


def _task(random: Random, number: int, troubled_s: float) -> TaskPlan:
    fails = random.random() < 0.15
    return TaskPlan(
        task_id=f"t{number}",
        task_type=random.choice(TASK_TYPES),
        submit_at_s=random.uniform(0.0, 0.8 * troubled_s),
        run_s=random.choice((0.0, 0.02, 0.1, 0.3, 1.0, 2.0)) * random.uniform(0.5, 1.5),
        priority=random.choice((5, 5, 5, 0, 9)),
        retry=random.choice((Retry.LOST, Retry.LOST, Retry.ANY, Retry.NEVER)),
        attempts_max=random.choice((1, 2, 3, 5)),
        behaviour=FAILS if fails else OK,
        failures=random.randint(1, 4) if fails else 0,
        timeout_s=0.5 if random.random() < 0.1 else None,
        cancel_after_s=random.uniform(0.0, 1.5) if random.random() < 0.1 else None,
        redrive=random.random() < 0.5,
        eta=random.random() < 0.1,
        idempotent=random.random() < 0.3,
    )


def _poison(random: Random, number: int, troubled_s: float) -> TaskPlan:
    return TaskPlan(
        task_id=f"p{number}",
        task_type=TASK_TYPES[0],
        submit_at_s=random.uniform(0.0, 0.8 * troubled_s),
        run_s=random.uniform(0.0, 0.3),
        priority=5,
        retry=random.choice((Retry.LOST, Retry.ANY, Retry.NEVER)),
        attempts_max=random.choice((1, 2, 3, 5)),
        behaviour=POISON,
    )
