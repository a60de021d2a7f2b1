"""Generated workloads by name, each a way in which fleets and loads differ from the ideal.

| name | what is special |
|---|---|
| `hetero` | workers of log-normal speed, steady arrivals |
| `identical` | all workers alike |
| `burst` | arrivals at 1.5 and 0.5 times the load in turns, ten of them |
| `churn` | a fifth of the workers die without a word, half of these come back |
| `slow` | one worker of twenty is five times slower for the middle third |
| `short` | tasks of 22 ms, a round trip of 4 ms |
| `tenants` | one of four tenants sends most tasks, and in bursts |
| `affinity` | half of the tasks have a key, and start sooner where it was used lately |

Law: equal seeds draw equal workloads; every part has a random stream of its own, so that one more draw here changes
nothing there. The speeds and shares are those of placement.md; what it does not say is chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nexus_sched.model.terms import Terms
from nexus_sched.sim.arrivals import STEADY, poisson_ms, random_stream
from nexus_sched.sim.task_types import MIX, SHORT, DrawnTasks, TaskType, draw_tasks
from nexus_sched.sim.workload import (
    ASKS,
    Fault,
    FleetWorker,
    Spell,
    Truth,
    Warmth,
    Workload,
    capacity_per_ms,
    make_tasks,
)

SPEED_SIGMA = 0.35  # of ln slowness
BURST_LEVELS = (1.5, 0.5) * 5  # times the load, in turns
DEAD_SHARE, BACK_SHARE = 0.2, 0.5  # of the workers; of those that died
DIE_FROM, DIE_UNTIL, BACK_AFTER = 0.3, 0.5, 0.3  # shares of the time in which tasks arrive
SLOW_SHARE, SLOW_FACTOR = 0.05, 5.0
SHORT_RTT_MS = 4.0
RTT_MS = 1.0
HEAVY_TENANT, MODEST_TENANTS = "heavy", ("modest-a", "modest-b", "modest-c")
HEAVY_SHARE = 0.7  # of the tasks
HEAVY_LEVELS = (1.9, 0.1) * 5  # times its rate
KEYED_SHARE = 0.5  # of the tasks have an affinity key
KEYS_PER_WORKER = 2  # different keys there are
WARM_KEYS = 4  # a worker remembers
COLD_SHARE = 1.0  # what starting cold costs, of the mean service time


class Size(Struct, frozen=True, kw_only=True):
    """How large a generated workload is."""

    workers: int
    tasks: int
    load: float
    slots: int = 1


class _Draft(Struct, frozen=True):
    """Fleet and tasks, and how many tasks arrive in a millisecond; not yet when, nor what they ask for."""

    name: str
    seed: int
    mix: tuple[TaskType, ...]
    workers: list[FleetWorker]
    drawn: DrawnTasks
    rate_per_ms: float

    def random(self, part: str) -> np.random.Generator:
        return random_stream(self.seed, part)


def generate(name: str, size: Size, seed: int) -> Workload:
    """The workload of this name. Raises `KeyError` for one that is not in `SCENARIOS`."""
    return SCENARIOS[name](name, size, seed)


def _plain(
    name: str,
    size: Size,
    seed: int,
    *,
    mix: tuple[TaskType, ...] = MIX,
    speed_sigma: float = SPEED_SIGMA,
    levels: Sequence[float] = STEADY,
    rtt_ms: float = RTT_MS,
    slow_share: float = 0.0,
    dead_share: float = 0.0,
) -> Workload:
    draft = _draft(name, size, seed, mix, speed_sigma)
    arrivals_ms = poisson_ms(size.tasks, draft.rate_per_ms, draft.random("arrivals"), levels)
    until_ms = float(arrivals_ms[-1])
    spells = _spells(size.workers, slow_share, until_ms, draft.random("spells"))
    faults = _faults(size.workers, dead_share, until_ms, draft.random("faults"))
    return _finished(draft, arrivals_ms, spells=spells, faults=faults, rtt_ms=rtt_ms)


def _tenants(name: str, size: Size, seed: int) -> Workload:
    """The heavy tenant's tasks arrive in bursts, all others steadily."""
    draft = _draft(name, size, seed)
    heavy_count = round(HEAVY_SHARE * size.tasks)
    heavy_ms = poisson_ms(heavy_count, HEAVY_SHARE * draft.rate_per_ms, draft.random("heavy"), HEAVY_LEVELS)
    modest_rate = (1.0 - HEAVY_SHARE) * draft.rate_per_ms
    modest_ms = poisson_ms(size.tasks - heavy_count, modest_rate, draft.random("modest"))
    whose = draft.random("tenants").integers(len(MODEST_TENANTS), size=len(modest_ms))
    names = [HEAVY_TENANT] * heavy_count + [MODEST_TENANTS[place] for place in whose.tolist()]
    arrivals_ms = np.concatenate([heavy_ms, modest_ms])
    order = np.argsort(arrivals_ms, kind="stable")
    asks = [Terms(tenant=names[place], eta=True) for place in order.tolist()]
    return _finished(draft, arrivals_ms[order], asks=asks)


def _affinity(name: str, size: Size, seed: int) -> Workload:
    """Keys of very different use; the load counts every start as a cold one, so warm starts lower it."""
    draft = _draft(name, size, seed, cold_share=KEYED_SHARE * COLD_SHARE)
    arrivals_ms = poisson_ms(size.tasks, draft.rate_per_ms, draft.random("arrivals"))
    ranks = np.arange(1, KEYS_PER_WORKER * size.workers + 1)
    shares = (1.0 / ranks) / (1.0 / ranks).sum()
    random = draft.random("keys")
    keys = random.choice(len(ranks), size=size.tasks, p=shares)
    keyed = random.random(size.tasks) < KEYED_SHARE
    cold_ms = COLD_SHARE * float(draft.drawn.durations_ms.mean())
    asks = [
        Terms(affinity=f"key-{key}", affinity_ms=cold_ms, eta=True) if has_key else ASKS
        for key, has_key in zip(keys.tolist(), keyed.tolist(), strict=True)
    ]
    return _finished(draft, arrivals_ms, asks=asks, warmth=Warmth(cold_ms, WARM_KEYS))


SCENARIOS: dict[str, Callable[[str, Size, int], Workload]] = {
    "hetero": _plain,
    "identical": partial(_plain, speed_sigma=0.0),
    "burst": partial(_plain, levels=BURST_LEVELS),
    "churn": partial(_plain, dead_share=DEAD_SHARE),
    "slow": partial(_plain, slow_share=SLOW_SHARE),
    "short": partial(_plain, mix=SHORT, rtt_ms=SHORT_RTT_MS),
    "tenants": _tenants,
    "affinity": _affinity,
}


def _draft(
    name: str,
    size: Size,
    seed: int,
    mix: tuple[TaskType, ...] = MIX,
    speed_sigma: float = SPEED_SIGMA,
    cold_share: float = 0.0,
) -> _Draft:
    """`cold_share` is work that the load has to count besides the tasks' own, as a share of it."""
    slowness = np.exp(speed_sigma * random_stream(seed, "fleet").standard_normal(size.workers)).tolist()
    workers = [FleetWorker(f"w-{index:04d}", size.slots, slowness=each) for index, each in enumerate(slowness)]
    drawn = draw_tasks(mix, size.tasks, random_stream(seed, "tasks"))
    capacity = capacity_per_ms(_table(mix), drawn.types, drawn.durations_ms, workers)
    return _Draft(name, seed, mix, workers, drawn, size.load * capacity / (1.0 + cold_share))


def _table(mix: tuple[TaskType, ...]) -> NDArray[np.float64]:
    """Of the truth: workers are of one class, only their own slowness tells them apart."""
    return np.ones((len(mix), 1))


def _finished(
    draft: _Draft,
    arrivals_ms: NDArray[np.float64],
    *,
    asks: Sequence[Terms] | None = None,
    spells: Sequence[Spell] = (),
    faults: Sequence[Fault] = (),
    warmth: Warmth | None = None,
    rtt_ms: float = RTT_MS,
) -> Workload:
    drawn, mix = draft.drawn, draft.mix
    types, type_of, at_ms = [kind.name for kind in mix], drawn.types.tolist(), arrivals_ms.tolist()
    return Workload(
        scenario=draft.name,
        tasks=make_tasks(types, type_of, drawn.payload_bytes.tolist(), at_ms, asks),
        arrivals_ms=at_ms,
        types=types,
        type_of=type_of,
        predictable=[kind.predictable for kind in mix],
        workers=draft.workers,
        truth=Truth(_table(mix), drawn.types, drawn.durations_ms, draft.workers, spells),
        faults=faults,
        warmth=warmth,
        rtt_ms=rtt_ms,
    )


def _spells(workers: int, share: float, until_ms: float, random: np.random.Generator) -> list[Spell]:
    slow = random.permutation(workers)[: round(share * workers)]
    return [Spell(worker, until_ms / 3.0, until_ms * 2.0 / 3.0, SLOW_FACTOR) for worker in sorted(slow.tolist())]


def _faults(workers: int, share: float, until_ms: float, random: np.random.Generator) -> list[Fault]:
    dying = random.permutation(workers)[: round(share * workers)].tolist()
    faults = []
    for place, worker in enumerate(dying):
        at_ms = until_ms * float(random.uniform(DIE_FROM, DIE_UNTIL))
        faults.append(Fault(at_ms, worker))
        if place < BACK_SHARE * len(dying):
            faults.append(Fault(at_ms + until_ms * BACK_AFTER, worker, joins=True))
    return faults
