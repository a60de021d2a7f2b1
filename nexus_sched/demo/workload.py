"""The tasks of one half, planned in full before it begins: both halves get the very same plan.

A planned task has its arrival, priority and nominal duration; run-to-run noise is part of the nominal
duration, so it too is the same in both halves. `scaled` brings any plan to the wished load of a fleet.

The generator draws from the task types of `GENERATED_TYPES`. How differently machine classes treat them
is measured: medians per benchmark and class of the Azure vm-noise-data set (215,215 runs on 9,535
virtual machines; CC-BY-4.0, cite TUNA, EuroSys 2025), divided by their geometric mean over the classes.
Durations and shares are chosen: from milliseconds to seconds, the short ones frequent.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from nexus_sched.demo.fleet import WorkerProfile, make_fleet, mean_factors
from nexus_sched.demo.options import DemoOptions

CLASSES = ("east-burstable", "east-steady", "west-burstable", "west-steady")
NOISE_SIGMA = 0.1  # of the logarithm, run to run; the measured classes have 0.03 to 0.15 within a worker
BURST_SHARE = 0.3  # the rate swings by this much around its mean
BURST_PERIOD_S = 10.0
LONGEST_SHARE = 0.15  # of the duration of a half: no nominal duration above it, or the half could not drain
PRIORITY_SHARES = ((5, 0.8), (2, 0.1), (8, 0.1))


class GeneratedType(Struct, frozen=True):
    """One kind of task of the generator."""

    name: str
    source: str  # the benchmark whose class factors it has
    median_ms: float
    share: float  # of all tasks
    class_factors: tuple[float, float, float, float]  # in the order of CLASSES


GENERATED_TYPES = (
    GeneratedType("cache.get", "Redis GET, 50 connections", 20.0, 0.30, (1.21, 0.77, 1.37, 0.78)),
    GeneratedType("cache.pop", "Redis LPOP, 50 connections", 30.0, 0.20, (0.78, 1.17, 0.92, 1.18)),
    GeneratedType("memory.probe", "Memory Latency Checker, idle latency", 45.0, 0.15, (0.76, 1.25, 0.81, 1.29)),
    GeneratedType("memory.fill", "perf-bench memset 1 MB", 80.0, 0.12, (1.37, 0.72, 1.40, 0.72)),
    GeneratedType("kernel.call", "perf-bench syscall basic", 120.0, 0.08, (2.52, 0.39, 2.64, 0.39)),
    GeneratedType("disk.read", "FIO random read, 8 KB, remote disk", 300.0, 0.07, (1.30, 1.25, 1.30, 0.47)),
    GeneratedType("database.read", "PostgreSQL scale 2500, 1 client, read only", 700.0, 0.05, (1.01, 0.82, 1.48, 0.82)),
    GeneratedType("report.render", "Stress-NG CPU", 2000.0, 0.03, (1.00, 1.00, 1.00, 1.00)),
)


class PlannedTask(Struct, frozen=True, gc=False):
    """One task to come. `number` counts from 0 in the order of arrival."""

    number: int
    task_type: str
    priority: int
    arrival_ms: float  # after the half began
    duration_ms: float  # nominal: on a worker whose factor for the type is 1


class Workload(Struct, frozen=True):
    """What both halves run: the plan and the fleet it was scaled for."""

    source: str  # "generated", or the name of the trace file
    tasks: list[PlannedTask]
    fleet: list[WorkerProfile]


def generated_workload(options: DemoOptions) -> Workload:
    """The generator's workload; the same options give the same workload on every machine."""
    class_factors = {
        name: {kind.name: kind.class_factors[place] for kind in GENERATED_TYPES} for place, name in enumerate(CLASSES)
    }
    fleet = make_fleet(options.workers, class_factors, options.seed)
    random_types = random.Random(f"{options.seed}:types")
    random_noise = random.Random(f"{options.seed}:noise")
    kinds = random_types.choices(GENERATED_TYPES, weights=[kind.share for kind in GENERATED_TYPES], k=options.tasks)
    drawn = zip(arrivals_ms(options), priorities(options), kinds, strict=True)
    tasks = [
        PlannedTask(
            number=number,
            task_type=kind.name,
            priority=priority,
            arrival_ms=arrival_ms,
            duration_ms=kind.median_ms * math.exp(random_noise.gauss(0.0, NOISE_SIGMA)),
        )
        for number, (arrival_ms, priority, kind) in enumerate(drawn)
    ]
    return Workload("generated", scaled(tasks, fleet, options), fleet)


def arrivals_ms(options: DemoOptions) -> list[float]:
    """Sorted arrival times of `options.tasks` tasks: Poisson, with a slow swing of the rate.

    A Poisson process of known count is that many independent draws from its rate; the swing is drawn by
    rejection.
    """
    draw = random.Random(f"{options.seed}:arrivals").random
    arrivals: list[float] = []
    while len(arrivals) < options.tasks:
        at_s = draw() * options.duration_s
        level = 1.0 + BURST_SHARE * math.sin(2.0 * math.pi * at_s / BURST_PERIOD_S)
        if draw() * (1.0 + BURST_SHARE) < level:
            arrivals.append(at_s * 1_000.0)
    arrivals.sort()
    return arrivals


def priorities(options: DemoOptions) -> list[int]:
    """The priority of each task, in the mix of PRIORITY_SHARES."""
    values = [priority for priority, _ in PRIORITY_SHARES]
    weights = [share for _, share in PRIORITY_SHARES]
    return random.Random(f"{options.seed}:priorities").choices(values, weights=weights, k=options.tasks)


def offered_load(
    tasks: Sequence[PlannedTask], factors: Mapping[str, float], slots_total: int, duration_s: float
) -> float:
    """Share of all slot time that the tasks need at the given mean factor of each type."""
    work_ms = math.fsum(task.duration_ms * factors[task.task_type] for task in tasks)
    return work_ms / (slots_total * duration_s * 1_000.0)


def scaled(tasks: Sequence[PlannedTask], fleet: Sequence[WorkerProfile], options: DemoOptions) -> list[PlannedTask]:
    """`tasks` with durations multiplied so that the fleet's load is `options.load`.

    The longest are cut at LONGEST_SHARE of a half, and the others make up for it where they can.
    """
    longest_ms = LONGEST_SHARE * options.duration_s * 1_000.0
    factors = mean_factors(fleet)
    slots_total = options.workers * options.slots
    current = list(tasks)
    for _ in range(8):  # each round cuts fewer tasks; the load is within a percent long before
        load = offered_load(current, factors, slots_total, options.duration_s)
        if load <= 0.0 or abs(load / options.load - 1.0) < 0.001:
            break
        scale = options.load / load
        current = [replace(task, duration_ms=min(longest_ms, task.duration_ms * scale)) for task in current]
    return current
