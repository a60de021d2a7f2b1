"""The central queue, by random histories of a fleet in virtual time: whose turn it is, and what may not happen."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from math import inf
from random import Random

import pytest

from nexus_sched.core.delays import JITTER
from nexus_sched.core.records import WorkerRecord
from nexus_sched.model.events import CancelRequested, WorkerJoined
from nexus_sched.model.settings import PREDICTABLE, EngineSettings, Limit
from nexus_sched.model.task import PRIORITY_MAX, Retry, Task
from nexus_sched.model.terms import Condition, Needs, Operator, Terms
from nexus_sched.testing.builders import joined, task
from nexus_sched.testing.checks import bookings_differ, within_reach
from nexus_sched.testing.fleet import Fleet, Handed, Job

CREDIT_MS = 400.0


def settings_of(random: Random, **changes: object) -> EngineSettings:
    told: dict[str, object] = {
        "predictor": "told",
        "priority_credit_ms": CREDIT_MS,
        "prefetch": random.choice((0, 1, 1, 2)),
        "order_weight": random.choice((0.0, 1.0, 1.0)),
        "order": random.choice(("fast", PREDICTABLE)),
        "reserve_after_ms": random.choice((50.0, 5_000.0)),
        "backoff_ms": 100.0,
        "backoff_ms_max": 300.0,
    }
    return EngineSettings(**{**told, **changes})


def crew(random: Random, workers: int) -> list[WorkerJoined]:
    """Workers that differ in slots and zone; the first can run whatever there is."""
    some = [WorkerJoined("w0", 1, random.randint(1, 3), "", {"zone": "a"}, (), {"memory": 8.0})]
    for number in range(1, workers):
        taints = random.choice(((), (), ("spot",)))
        offer = random.choice(({}, {"memory": 4.0}, {"memory": 8.0}))
        zone = {"zone": random.choice(("a", "b"))}
        some.append(WorkerJoined(f"w{number}", 1, random.randint(1, 3), "", zone, taints, offer))
    return some


ASKED = (
    Needs(),
    Needs(),
    Needs((Condition("zone", Operator.IN, ("a",)),)),
    Needs(tolerates=("spot",)),
    Needs(resources=(("memory", 2.0),)),
    Needs((Condition("zone", Operator.NOT_IN, ("b",)),), resources=(("memory", 7.0),)),
)


def could_take(worker: WorkerRecord, needs: Needs) -> bool:
    """Whether a worker can be given such a task now, once more from what is said of both."""
    if not worker.accepting or worker.in_flight >= worker.credit or set(worker.taints) - set(needs.tolerates):
        return False
    for condition in needs.conditions:
        if (worker.labels["zone"] in condition.values) != (condition.operator is Operator.IN):
            return False
    for name, amount in needs.resources:
        taken = sum(dict(record.task.terms.needs.resources).get(name, 0.0) for record in worker.placed.values())
        if worker.resources.get(name, 0.0) - taken < amount:
            return False
    return True


def weight_of(settings: EngineSettings) -> float:
    return min(settings.order_weight, 0.2) if settings.order == PREDICTABLE else settings.order_weight


def key_of(job: Task, settings: EngineSettings) -> float:
    """K once more, from its definition."""
    start_ms = max(job.arrived_at_ms, job.terms.not_before_ms)
    key = start_ms - CREDIT_MS * (job.priority - 5) + weight_of(settings) * (job.hint_ms or 0.0)
    if job.terms.deadline_at_ms:
        key = min(key, job.terms.deadline_at_ms - (job.hint_ms or 0.0) - settings.round_trip_ms)
    return key


class Story:
    """A random load with everything in it, and what must hold after every turn."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        tenants = random.choice((1, 1, 2, 4))
        self.settings = settings_of(random, limits=self.rules(), tenant_weights={"tenant-1": 3.0})
        self.fleet = Fleet(self.settings, crew(random, random.randint(1, 5)))
        self.fleet.look = self.look
        self.held: dict[tuple[str, str], int] = {}
        at_ms = 0
        for number in range(random.randint(20, 90)):
            at_ms += random.choice((0, 0, 1, 5, 40))
            job = self.job(f"t{number}", at_ms, tenants)
            self.fleet.submit(job)
            if random.random() < 0.05:
                self.fleet.at(at_ms + random.choice((0, 10, 200)), CancelRequested(job.task.id))

    def rules(self) -> tuple[Limit, ...]:
        random = self.random
        if random.random() < 0.4:
            return ()
        kinds = (
            ("type", "kind-1"),
            ("type", "*"),
            ("tenant", "*"),
            ("tenant", "tenant-1"),
            ("key", "*"),
            ("key", "k1"),
        )
        return tuple(
            Limit(
                scope,
                name,
                random.choice((0.0, 2.0, 20.0, 300.0)),
                random.choice((1.0, 2.0, 5.5)),
                random.choice((0, 0, 1, 3)),
            )
            for scope, name in random.sample(kinds, random.randint(1, 3))
        )

    def job(self, task_id: str, at_ms: int, tenants: int) -> Job:
        random = self.random
        run_ms = random.choice((1, 5, 20, 100))
        asks = None
        if tenants > 1 or random.random() < 0.3:
            due = random.random()
            asks = Terms(
                needs=random.choice(ASKED),
                tenant=f"tenant-{random.randrange(tenants)}" if tenants > 1 else "",
                key=random.choice(("", "", "k1", "k2")),
                not_before_ms=at_ms + random.choice((0, 0, 0, 30, 500)),
                deadline_at_ms=at_ms + random.choice((1, 50, 400)) if due < 0.2 else 0,
                deadline_strict=due < 0.1,
                backoff_ms=random.choice((None, 10.0)),
            )
        hint_ms = random.choice((None, float(run_ms), run_ms * random.uniform(0.3, 3.0)))
        failures = random.choice((0, 0, 0, 0, 1, 2))
        priority = random.choice((5, 5, random.randint(0, PRIORITY_MAX)))
        described = task(
            task_id,
            f"kind-{random.randrange(3)}",
            priority=priority,
            arrived_at_ms=at_ms,
            hint_ms=hint_ms,
            retry=Retry.ANY,
            asks=asks,
        )
        return Job(described, run_ms, failures)

    def look(self) -> None:
        if self.random.random() < 0.1:
            assert bookings_differ(self.fleet.engine) == []
        if self.fleet.twin is None and self.random.random() < 0.05:
            self.fleet.fork(turns=20)
        assert self.idle_hands() == []

    def idle_hands(self) -> list[str]:
        """Ready tasks that no limit keeps, while a worker is open to them."""
        engine = self.fleet.engine
        if engine.ready or not engine.roster.table.open_count:
            return []
        held: dict[tuple[int, str], int] = defaultdict(int)
        for record in engine.tasks.values():
            if not record.waiting:
                for name in self.counted(record.task):
                    held[name] += 1
        free = []
        for record in engine.tasks.values():
            if record.waiting and record.past.not_before_ms <= engine.now_ms:
                names = self.counted(record.task)
                full = any(0 < self.settings.limits[rule].concurrency <= held[rule, name] for rule, name in names)
                paced = any(self.tokens(rule, name) < 1.0 for rule, name in names)
                needs = record.task.terms.needs
                if not (full or paced) and any(
                    could_take(worker, needs) and within_reach(engine, worker) for worker in engine.roster.ring
                ):
                    free.append(record.task.id)
        return free

    def counted(self, job: Task) -> list[tuple[int, str]]:
        names = {"type": job.type, "tenant": job.terms.tenant, "key": job.terms.key}
        return [
            (index, names[limit.scope])
            for index, limit in enumerate(self.settings.limits)
            if limit.name in ("*", names[limit.scope]) and (limit.scope != "key" or names["key"])
        ]

    def tokens(self, rule: int, name: str) -> float:
        """What is in the bucket now, from the record of all starts."""
        limit = self.settings.limits[rule]
        if not limit.rate_per_s:
            return inf
        tokens, before_ms = limit.burst, 0
        for run in self.fleet.handed:
            if (rule, name) in self.counted(run.task):
                tokens = min(limit.burst, tokens + (run.at_ms - before_ms) * limit.rate_per_s / 1_000.0) - 1.0
                before_ms = run.at_ms
        now_ms = self.fleet.now_ms
        # a rounding of the last bit may postpone a start by a millisecond
        return min(limit.burst, tokens + (now_ms - before_ms) * limit.rate_per_s / 1_000.0) - 1e-9


@pytest.fixture(scope="module", params=range(100))
def told(request: pytest.FixtureRequest) -> Story:
    print("seed", request.param)
    story = Story(request.param)
    story.fleet.run()
    return story


def test_every_task_ends_once_and_nothing_is_left(told: Story):
    fleet = told.fleet
    assert set(fleet.ended) == set(fleet.jobs)
    backlog = fleet.engine.backlog
    assert (fleet.engine.tasks, len(backlog), backlog.next_due_ms, backlog.predicted_ms) == ({}, 0, None, 0.0)


def test_no_task_is_early(told: Story):
    runs: dict[str, list[Handed]] = defaultdict(list)
    for run in told.fleet.handed:
        runs[run.task.id].append(run)
    for task_id, some in runs.items():
        job = told.fleet.jobs[task_id]
        assert some[0].at_ms >= job.task.terms.not_before_ms
        assert [run.attempt for run in some] == list(range(1, len(some) + 1))
        first_ms = told.settings.backoff_ms if job.task.terms.backoff_ms is None else job.task.terms.backoff_ms
        for retry, (run, again) in enumerate(pairwise(some)):
            pause_ms = min(first_ms * 2.0**retry, told.settings.backoff_ms_max)
            assert again.at_ms - run.at_ms >= job.run_ms + int(pause_ms * (1.0 - JITTER))


def test_limits_are_never_exceeded(told: Story):
    starts: dict[tuple[int, str], list[int]] = defaultdict(list)
    for run in told.fleet.handed:
        for name in told.counted(run.task):
            starts[name].append(run.at_ms)
    for (rule, _), times in starts.items():
        limit = told.settings.limits[rule]
        if limit.rate_per_s:
            for first in range(len(times)):
                for last in range(first, len(times)):
                    allowed = limit.burst + (times[last] - times[first]) * limit.rate_per_s / 1_000.0
                    assert last - first + 1 <= allowed + 1e-6


def test_strict_tasks_end_at_their_deadline_if_they_still_wait(told: Story):
    for task_id, how in told.fleet.ended.items():
        terms = told.fleet.jobs[task_id].task.terms
        assert how != "deadline" or terms.deadline_strict
    for run in told.fleet.handed:
        terms = run.task.terms
        assert not terms.deadline_strict or not terms.deadline_at_ms or run.at_ms < terms.deadline_at_ms


# -- whose turn it is


def lone(settings: EngineSettings, *, slots: int = 1, workers: int = 1) -> Fleet:
    return Fleet(settings, [joined(f"w{number}", slots=slots) for number in range(workers)])


@pytest.mark.parametrize("seed", range(20))
def test_one_tenant_is_served_by_the_key_whatever_its_tasks_need_or_are_limited_by(seed: int):
    print("seed", seed)
    random = Random(seed)
    settings = settings_of(random, limits=(Limit("key", "*", concurrency=100),))
    fleet = lone(settings, slots=2, workers=2)
    at_ms = 0
    for number in range(120):
        at_ms += random.choice((0, 0, 3, 20))
        run_ms = random.choice((5, 30, 90))
        asks = random.choice((None, Terms(key=f"k{number % 5}"), Terms(deadline_at_ms=at_ms + random.randint(1, 900))))
        described = task(
            f"t{number}",
            priority=random.randint(3, 7),
            arrived_at_ms=at_ms,
            hint_ms=float(run_ms),
            asks=asks,
        )
        fleet.submit(Job(described, run_ms))
    fleet.run()
    waiting = {run.task.id: run for run in fleet.handed}
    for run in fleet.handed:
        del waiting[run.task.id]
        came = [other.task for other in waiting.values() if other.task.arrived_at_ms <= run.at_ms]
        assert all(key_of(run.task, settings) <= key_of(other, settings) for other in came)


@pytest.mark.parametrize("seed", range(12))
def test_no_task_starves(seed: int):
    """A task of any level and tenant, while more urgent work than the fleet can do never ends."""
    print("seed", seed)
    random = Random(seed)
    tenants = random.choice((1, 2, 3))
    settings = settings_of(random, prefetch=0, tenant_weights={"t1": 2.0})
    fleet = lone(settings, slots=2)
    victim = task("victim", priority=random.randint(0, 4), arrived_at_ms=300, hint_ms=10.0, asks=Terms(tenant="t0"))
    fleet.submit(Job(victim, 10))
    for number in range(3_000):
        priority = random.choice((9, 9, 8, victim.priority))
        asks = Terms(tenant=f"t{random.randrange(tenants)}")
        described = task(f"t{number}", priority=priority, arrived_at_ms=number * 9 // 2, hint_ms=10.0, asks=asks)
        fleet.submit(Job(described, 10))
    fleet.run(until_ms=12_000)
    (run,) = [each for each in fleet.handed if each.task.id == "victim"]
    assert fleet.handed.index(run) < len(fleet.handed) - 100, "the load must go on long after it"
    if tenants == 1:
        overtaking = [each.task.arrived_at_ms for each in fleet.handed if each.at_ms < run.at_ms]
        own_ms = settings.order_weight * 10.0
        assert max(overtaking) <= victim.arrived_at_ms + CREDIT_MS * (9 - victim.priority) + own_ms


def crowded_out(settings: EngineSettings) -> int | None:
    """When a task that needs a whole worker is placed, while small ones that fit beside each other never end."""
    some = [WorkerJoined(f"w{number}", 1, 4, "", {}, (), {"memory": 4.0}) for number in range(3)]
    fleet = Fleet(settings, some)
    large = task("large", arrived_at_ms=100, hint_ms=50.0, asks=Terms(needs=Needs(resources=(("memory", 4.0),))))
    fleet.submit(Job(large, 50))
    small = Terms(needs=Needs(resources=(("memory", 1.0),)))
    for number in range(1_500):
        run_ms = 20 + 7 * number % 40
        fleet.submit(Job(task(f"t{number}", arrived_at_ms=2 * number, hint_ms=float(run_ms), asks=small), run_ms))
    closed = []
    fleet.look = lambda: closed.append(len(fleet.engine.reservations))
    fleet.run(until_ms=2_900)
    assert max(closed) <= 1, "a tenth of three workers, and at least one"
    assert closed[-1] == 0 or "large" in fleet.engine.tasks
    return next((run.at_ms for run in fleet.handed if run.task.id == "large"), None)


def test_task_that_others_crowd_out_is_placed_by_a_reservation():
    settings = EngineSettings(predictor="told", reserve_after_ms=300.0)
    placed_ms = crowded_out(settings)
    assert placed_ms is not None
    # it is patient until then; after that one worker has to end what it holds
    assert 100 + 300 + 50 <= placed_ms <= 100 + 300 + 50 + 2 * 60
    assert crowded_out(EngineSettings(predictor="told", reserve_after_ms=1e9)) is None


def jain(shares: list[float]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def used_under_saturation(seed: int, weights: dict[str, float], tenants: int, mixed: bool) -> list[float]:
    """What each tenant gets if all ask for too much, each by tasks of its own length, mispredicted in its own way.

    In worker-milliseconds, from when all of them have work that waits.
    """
    random = Random(seed)
    fleet = lone(settings_of(random, tenant_weights=weights), slots=2, workers=3)
    for tenant in range(tenants):
        run_ms = random.choice((10, 25, 60))
        error = random.choice((0.3, 1.0, 1.0, 3.0, None))
        demand = random.uniform(1.0, 3.0)  # of the whole fleet
        for number in range(round(demand * 6 * 9_000 / run_ms)):
            at_ms = round(number * run_ms / (6 * demand))
            described = task(
                f"{tenant}-{number}",
                f"kind-{tenant}",
                priority=random.choice((5, 6)) if mixed else 5,
                arrived_at_ms=at_ms,
                hint_ms=None if error is None else run_ms * error,
                asks=Terms(tenant=f"tenant-{tenant}"),
            )
            fleet.submit(Job(described, run_ms))
    fleet.run(until_ms=1_000)
    before = dict(fleet.used_ms)
    fleet.run(until_ms=9_000)
    return [fleet.used_ms[f"tenant-{tenant}"] - before[f"tenant-{tenant}"] for tenant in range(tenants)]


@pytest.mark.parametrize("seed", range(4))
def test_equal_weights_give_equal_shares_under_saturation(seed: int):
    print("seed", seed)
    assert jain(used_under_saturation(seed, {}, tenants=4, mixed=seed % 2 == 1)) >= 0.98


@pytest.mark.parametrize("seed", range(3))
def test_shares_follow_weights(seed: int):
    print("seed", seed)
    used = used_under_saturation(seed, {"tenant-0": 3.0, "tenant-1": 2.0}, tenants=3, mixed=False)
    for part, weight in zip(used, (3.0, 2.0, 1.0), strict=True):
        assert part / sum(used) == pytest.approx(weight / 6.0, abs=0.03)
