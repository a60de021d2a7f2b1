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
| `affinity` | tasks of one key run faster where the key was used before |

Law: equal seeds draw equal workloads; every part has a random stream of its own, so that one more draw here changes
nothing there. The speeds and shares are those of placement.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nexus_sched.model.task import PRIORITY_DEFAULT, Task
from nexus_sched.sim.arrivals import STEADY, poisson_ms, random_stream
from nexus_sched.sim.task_types import MIX, SHORT, DrawnTasks, TaskType, draw_tasks
from nexus_sched.sim.workload import Fault, FleetWorker, Spell, Truth, Workload, capacity_per_ms

SPEED_SIGMA = 0.35  # of ln slowness
BURST_LEVELS = (1.5, 0.5)  # times the load, in turns
BURST_TURNS = 10
DEAD_SHARE, BACK_SHARE = 0.2, 0.5  # of the workers; of those that died
DIE_FROM, DIE_UNTIL, BACK_AFTER = 0.3, 0.5, 0.3  # shares of the time in which tasks arrive
SLOW_SHARE, SLOW_FACTOR = 0.05, 5.0
SHORT_RTT_MS = 4.0
RTT_MS = 1.0


class Size(Struct, frozen=True, kw_only=True):
    """How large a generated workload is."""

    workers: int
    tasks: int
    load: float
    slots: int = 1


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
    levels: tuple[float, ...] = STEADY,
    rtt_ms: float = RTT_MS,
    slow_share: float = 0.0,
    dead_share: float = 0.0,
) -> Workload:
    workers = _fleet(size, random_stream(seed, "fleet"), speed_sigma)
    drawn = draw_tasks(mix, size.tasks, random_stream(seed, "tasks"))
    table = np.ones((len(mix), 1))
    rate = size.load * capacity_per_ms(table, drawn.types, drawn.durations_ms, workers)
    arrivals_ms = poisson_ms(size.tasks, rate, random_stream(seed, "arrivals"), levels)
    until_ms = float(arrivals_ms[-1])
    spells = _spells(size.workers, slow_share, until_ms, random_stream(seed, "spells"))
    return Workload(
        scenario=name,
        tasks=_tasks(drawn, mix, arrivals_ms),
        arrivals_ms=arrivals_ms.tolist(),
        types=[kind.name for kind in mix],
        type_of=drawn.types.tolist(),
        predictable=[kind.predictable for kind in mix],
        workers=workers,
        truth=Truth(table, drawn.types, drawn.durations_ms, workers, spells),
        faults=_faults(size.workers, dead_share, until_ms, random_stream(seed, "faults")),
        rtt_ms=rtt_ms,
    )


SCENARIOS: dict[str, Callable[[str, Size, int], Workload]] = {
    "hetero": _plain,
    "identical": partial(_plain, speed_sigma=0.0),
    "burst": partial(_plain, levels=BURST_LEVELS * (BURST_TURNS // len(BURST_LEVELS))),
    "churn": partial(_plain, dead_share=DEAD_SHARE),
    "slow": partial(_plain, slow_share=SLOW_SHARE),
    "short": partial(_plain, mix=SHORT, rtt_ms=SHORT_RTT_MS),
}


def _fleet(size: Size, random: np.random.Generator, speed_sigma: float) -> list[FleetWorker]:
    slowness = np.exp(speed_sigma * random.standard_normal(size.workers)).tolist()
    return [FleetWorker(f"w-{index:04d}", size.slots, slowness=each) for index, each in enumerate(slowness)]


def _tasks(drawn: DrawnTasks, mix: tuple[TaskType, ...], arrivals_ms: NDArray[np.float64]) -> list[Task]:
    columns = zip(drawn.types.tolist(), drawn.payload_bytes.tolist(), arrivals_ms.tolist(), strict=True)
    return [
        Task(str(number), mix[kind].name, PRIORITY_DEFAULT, payload_bytes, int(arrived_ms))
        for number, (kind, payload_bytes, arrived_ms) in enumerate(columns)
    ]


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
