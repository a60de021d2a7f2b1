"""Random things that happen to a world, and how it is looked over after each of them."""

from __future__ import annotations

from random import Random

from nexus_sched.core import snapshot
from nexus_sched.core.engine import Engine
from nexus_sched.model.command import (
    AddOverride,
    Ask,
    BoostTask,
    ChoosePredictor,
    Command,
    CordonWorker,
    EvictWorker,
    PauseTasks,
    PinEstimate,
    ReassignTask,
    RemoveOverride,
    ResumeTasks,
    ResumeWorker,
    RetryTask,
    SetMode,
    ShadowPredictor,
    TripWorker,
    UnpinEstimate,
)
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.events import TaskReclaimed, WorkerSuspected, WorkerTrusted
from nexus_sched.model.journal import decode_turn
from nexus_sched.model.outcome import Reason
from nexus_sched.model.question import AskEta, AskWhy, AskWorker, AskWorkers
from nexus_sched.model.settings import (
    LEAST_OUTSTANDING,
    MODES,
    EngineSettings,
    Limit,
    Preemption,
    Reaction,
    WorkerBreakerSettings,
)
from nexus_sched.model.task import Retry
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.checks import (
    bookings_differ,
    conserves_work,
    limits_exceeded,
    places_differ,
    resources_differ,
    standings_differ,
    views_differ,
)
from nexus_sched.testing.world import Actor, World

ACTIONS = 120
KINDS = tuple(f"kind-{number}" for number in range(3))
SETTINGS = (
    EngineSettings(),
    EngineSettings(fallback=LEAST_OUTSTANDING, prefetch=0),
    EngineSettings(mode="shadow", early_inbox_max=3, min_samples=4, ema_alpha=0.5),
    EngineSettings(mode="round-robin", prefetch=3, worker_killer_deaths=3),
    EngineSettings(predictor="ema", shadow_predictor="learned", min_samples=2, prefetch=2),
    EngineSettings(
        reaction=Reaction(speculate=True, speculate_after=0.2, copies_share_max=1.0),
        preemption=Preemption(enabled=True, priority_gap=1, restart_ms=0.0, gain_min=0.01, pause_ms=1),
    ),
    EngineSettings(
        prefetch=3,
        reaction=Reaction(pause_ms=1, gain_share_min=0.0, gain_ms_min=0.0, moves_max=5),
        worker_breaker=WorkerBreakerSettings(1, 0.9, 500, 1, 200, 2_000, 0.5, 0.75, 300),
    ),
    EngineSettings(
        limits=(Limit("tenant", "*", concurrency=4), Limit("key", "*", concurrency=1)),
        tenant_weights={"tenant-1": 3.0},
        backoff_ms=50.0,
    ),
)


class Story:
    """Random things happen to a world; after each of them it is looked over."""

    def __init__(self, seed: int, world: type[World] = World) -> None:
        self.random = Random(seed)
        self.world = world(seed, settings=SETTINGS[seed % len(SETTINGS)])
        self.tasks: list[str] = []
        self.reconfigured = False
        self.twin: Engine | None = None
        for actor in self.world.actors[:2]:
            self.world.register(actor)

    def tell(self) -> None:
        acts = (
            self.submit,
            self.lead,
            self.work,
            self.cancel,
            self.strike,
            self.come_back,
            self.shell,
            self.mode,
            self.operate,
            self.tend,
            self.meddle,
            self.overrule,
        )
        for _ in range(ACTIONS):
            self.world.now_ms += self.random.choice((0, 1, 20, 400))
            self.random.choices(acts, (6, 10, 12, 2, 2, 3, 1, 1, 2, 2, 3, 3))[0]()
            assert places_differ(self.world.shard, self.world.idempotent) == []
        if self.random.random() < 0.5:
            self.world.fail_over()
        for actor in self.world.actors:
            self.world.command(ResumeWorker(actor.name, "the end"))
        for kind in ("", *KINDS):
            self.world.command(ResumeTasks("the end", kind))
        self.world.quiesce()

    def extra_starts(self, task_id: str) -> int:
        """Runs beside the task's attempts: copies, and those that gave way."""
        turns = [decode_turn(blob) for blob in self.world.turns]
        copies = sum(
            isinstance(each, Dispatch) and not each.stream and each.decision.task_id == task_id
            for turn in turns
            for each in turn.effects
        )
        given_back = sum(
            isinstance(each, TaskReclaimed) and each.task_id == task_id and each.reason is Reason.PREEMPTED
            for turn in turns
            for each in turn.events
        )
        return copies + given_back

    def submit(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            task_id = f"t{len(self.tasks)}"
            retry = self.random.choice(list(Retry))
            hint_ms = self.random.choice((None, 50.0))
            priority, idempotent = self.random.randrange(10), self.random.random() < 0.3
            more = {"eta": self.random.random() < 0.4}
            if self.random.random() < 0.4:
                more |= {"tenant": f"tenant-{self.random.randrange(3)}", "key": self.random.choice(("", "k1", "k2"))}
                more |= {"delay_ms": self.random.choice((0.0, 0.0, 30.0, 700.0))}
            more = {"eta": self.random.random() < 0.4, **self.needs()}
            if self.random.random() < 0.1:
                more |= {"deadline_ms": self.random.choice((20.0, 2_000.0)), "deadline_strict": True}
            self.world.submit(task_id, priority=priority, retry=retry, hint_ms=hint_ms, idempotent=idempotent, **more)
            self.tasks.append(task_id)

    def needs(self) -> dict[str, object]:
        """What a task asks of its worker; among all workers there is always one that has it."""
        some: list[dict[str, object]] = [
            {},
            {},
            {"requires": [["zone", "in", [self.random.choice("ab")]]]},
            {"requires": [["number", "above", ["0"]], ["zone", "exists", [], 40.0]]},
            {"tolerates": ["kept"], "requires": [["number", "below", ["1"], 90.0]]},
            {"resources": {"memory": self.random.choice((0.1, 0.2, 0.3))}},
            {"affinity": self.random.choice(("x", "y"))},
        ]
        return self.random.choice(some)

    def lead(self) -> None:
        world = self.world
        fate = self.random.random()
        if fate < 0.03:
            world.settings = self.random.choice(SETTINGS)  # the next leader may be configured otherwise
            world.fail_over()
            self.reconfigured = True  # new limits may be narrower than what is handed out
            self.twin = None
        elif fate < 0.08:
            world.checkpoint()
        if fate > 0.9:
            self.restore()
        before = len(world.turns)
        world.lead()
        self.look(before)

    def look(self, before: int) -> None:
        world = self.world
        assert bookings_differ(world.engine) == []
        assert standings_differ(world.engine) == []
        assert conserves_work(world.engine) == []
        assert self.reconfigured or limits_exceeded(world.engine) == []
        assert resources_differ(world.engine) == []
        if not world.under_way:
            assert views_differ(world.engine, world.shard, world.cursors) == []
        if self.twin is not None:
            for blob in world.turns[before:]:
                turn = decode_turn(blob)
                assert self.twin.handle(turn.events, turn.at_ns) == turn.effects
            assert self.twin.digest() == world.engine.digest()
            assert snapshot.take(self.twin) == snapshot.take(world.engine)

    def restore(self) -> None:
        blob = snapshot.take(self.world.engine)
        self.twin = snapshot.restore(blob, PREDICTORS)
        assert self.twin.digest() == self.world.engine.digest()
        assert snapshot.take(self.twin) == blob

    def actor(self, *, up: bool) -> Actor | None:
        some = [actor for actor in self.world.actors if actor.up is up]
        return self.random.choice(some) if some else None

    def work(self) -> None:
        actor = self.actor(up=True)
        if actor is not None:
            self.world.work(actor, draining=self.random.random() < 0.03)

    def cancel(self) -> None:
        if self.tasks:
            self.world.cancel(self.random.choice(self.tasks[-12:]))

    def strike(self) -> None:
        actor = self.actor(up=True)
        if actor is None:
            return
        what = self.random.randrange(4)
        if what == 0:
            self.world.kill(actor)
        elif what == 1:
            self.world.leave(actor)
        elif what == 2:
            self.world.reap(actor.name)  # it is only slow: its next step is refused
        else:
            self.world.kill(actor)
            self.world.reap(actor.name)

    def come_back(self) -> None:
        actor = self.actor(up=False)
        if actor is not None:
            self.world.register(actor)

    def shell(self) -> None:
        name = self.random.choice(self.world.actors).name
        before = len(self.world.turns)
        self.world.lead([self.random.choice((WorkerSuspected, WorkerTrusted))(name)])
        self.look(before)

    def mode(self) -> None:
        self.world.command(SetMode(self.random.choice(MODES)))

    def operate(self) -> None:
        """Somebody chooses a predictor or pins an estimate, not always one that can be had."""
        pick = self.random
        kind = f"kind-{pick.randrange(3)}"
        commands: tuple[Command, ...] = (
            ChoosePredictor(pick.choice(("ema", "learned", "learned", "unknown"))),
            ShadowPredictor(pick.choice(("", "ema", "learned", "unknown"))),
            PinEstimate(kind, pick.choice((1, 300, 5_000)), "why not", "", pick.uniform(0.0, 400.0)),
            PinEstimate(kind, pick.choice((1, 300, 5_000)), "why not", factor=pick.uniform(0.01, 100.0)),
            UnpinEstimate(kind),
            Ask("me", AskEta(pick.choice(self.tasks or ["nobody"]))),
        )
        self.world.command(pick.choice(commands))

    def tend(self) -> None:
        """Somebody stops a worker, lets it go on, or asks for it; it need not be there."""
        pick = self.random
        name = pick.choice([actor.name for actor in self.world.actors] + ["nobody"])
        commands: tuple[Command, ...] = (
            CordonWorker(name, pick.random() < 0.5, "why not"),
            ResumeWorker(name, "why not"),
            ResumeWorker(name, "why not"),
            TripWorker(name, "why not"),
            EvictWorker(name, "why not"),
            Ask("me", AskWorker(name)),
        )
        self.world.command(pick.choice(commands))

    def meddle(self) -> None:
        """Somebody pauses a type or the pool, or decides about a task; it need not be one that can be decided about."""
        pick = self.random
        task_id = pick.choice(self.tasks[-12:] or ["nobody"])
        worker = pick.choice([actor.name for actor in self.world.actors] + ["nobody", ""])
        kind = pick.choice(("", *KINDS))
        commands: tuple[Command, ...] = (
            PauseTasks("why not", kind),
            *(ResumeTasks("why not", each) for each in ("", *KINDS)),
            BoostTask(task_id, pick.randrange(10), "why not"),
            BoostTask(task_id, 9, "why not"),
            ReassignTask(task_id, "why not", worker),
            ReassignTask(task_id, "why not", worker),
            RetryTask(task_id, "why not"),
        )
        self.world.command(pick.choice(commands))

    def overrule(self) -> None:
        """Somebody says where a task or a type may run, or how urgent it is, takes that back, or asks why."""
        pick = self.random
        names = [actor.name for actor in self.world.actors] + ["nobody"]
        whose = pick.choice(({"task_type": pick.choice(KINDS)}, {"task_id": pick.choice(self.tasks[-12:] or ["t0"])}))
        for_ms, target = pick.choice((1, 300, 3_000)), pick.choice(names)
        commands: tuple[Command, ...] = (
            AddOverride("pin", for_ms, "why not", target=target, **whose),
            AddOverride("avoid", for_ms, "why not", target=target, **whose),
            AddOverride("avoid", for_ms, "why not", target=target, **whose),
            AddOverride("priority", for_ms, "why not", levels=pick.choice((-9, -1, 1, 9)), **whose),
            RemoveOverride(pick.choice(("pin", "avoid", "priority")), "why not", target=target, **whose),
            Ask("me", AskWhy(pick.choice(self.tasks[-12:] or ["t0"]), pick.choice(["", *names]))),
            Ask("me", AskWorkers(pick.choice(["", *names]), 2)),
        )
        self.world.command(pick.choice(commands))
