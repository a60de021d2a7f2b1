"""Medians over the repeats, how far these lie apart, and whether the goals are reached."""

from __future__ import annotations

import os
import platform
from statistics import median
from typing import Any

from benchmarks.throughput.level import Measured
from benchmarks.throughput.options import SATURATION, Options

# The goals of the foundation: everything on two shared cores (issue "Speed and memory").
SATURATED_TASKS_PER_S_MIN = 8_000.0
START_P99_MS_MAX = 5.0
START_RATE = 1_000.0
PROCESSES = ("redis", "scheduler", "fleet", "producer")


def report(
    measured: dict[float, list[Measured]], idle: dict[str, float], server: str, options: Options
) -> dict[str, Any]:
    """One JSON object: the headline, then a level for each rate."""
    levels = {name_of(rate): level(runs) for rate, runs in measured.items()}
    highest = levels[name_of(SATURATION if SATURATION in measured else max(measured))]
    paced = levels[name_of(START_RATE if START_RATE in measured else min(measured))]
    goals = {}
    if SATURATION in measured:
        goals["saturated_tasks_per_s"] = highest["tasks_per_s"] >= SATURATED_TASKS_PER_S_MIN
    if START_RATE in measured:
        goals["submit_to_start_p99_at_1000"] = paced["submit_to_start_ms"]["p99"] < START_P99_MS_MAX
    return {
        "tasks_per_s": highest["tasks_per_s"],
        "submit_to_start_ms": paced["submit_to_start_ms"],
        "redis_us_per_task": highest["redis_us_per_task"],
        "scheduler_us_per_task": highest["scheduler_us_per_task"],
        "levels": levels,
        "goals_reached": goals,
        "idle": idle,
        "setting": {
            "server": server,
            "appendfsync": options.fsync,
            "workers": options.workers,
            "slots": options.slots,
            "outstanding_at_saturation": options.outstanding,
            "duration_s": options.duration_s,
            "repeats": options.repeats,
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
    }


def level(runs: list[Measured]) -> dict[str, Any]:
    """One rate: the median of every figure, and lowest and highest beside it."""

    def middle(name: str) -> float:
        return rounded(median(getattr(run, name) for run in runs))

    def extent(name: str) -> list[float]:
        values = [getattr(run, name) for run in runs]
        return [rounded(min(values)), rounded(max(values))]

    return {
        "tasks_per_s": middle("tasks_per_s"),
        "submit_to_start_ms": {"p50": middle("submit_to_start_p50_ms"), "p99": middle("submit_to_start_p99_ms")},
        "redis_us_per_task": middle("redis_us_per_task"),
        "scheduler_us_per_task": middle("scheduler_us_per_task"),
        "fleet_us_per_task": middle("fleet_us_per_task"),
        "producer_us_per_task": middle("producer_us_per_task"),
        "cpu_us_per_task": rounded(sum(middle(f"{who}_us_per_task") for who in PROCESSES)),
        "tasks": sum(run.tasks for run in runs),
        "others_cores": extent("others_cores"),
        "load_1min": extent("load_1min"),
        "lowest_and_highest": {
            name: extent(name)
            for name in (
                "tasks_per_s",
                "submit_to_start_p50_ms",
                "submit_to_start_p99_ms",
                "redis_us_per_task",
                "scheduler_us_per_task",
            )
        },
    }


def name_of(rate: float) -> str:
    """How a rate is called in the report."""
    return "saturation" if rate == SATURATION else f"{rate:g}"


def rounded(value: float) -> float:
    """Three digits behind the point, none where they mean nothing."""
    return round(value, 3 if abs(value) < 100 else 1)


def table(body: dict[str, Any]) -> str:
    """The levels for people."""
    head = ("rate", "tasks/s", "start p50", "p99 ms", "redis us", "sched. us", "fleet us", "all us", "others")
    rows = [head] + [
        (
            name,
            f"{figures['tasks_per_s']:.0f}",
            f"{figures['submit_to_start_ms']['p50']:.2f}",
            f"{figures['submit_to_start_ms']['p99']:.2f}",
            f"{figures['redis_us_per_task']:.1f}",
            f"{figures['scheduler_us_per_task']:.1f}",
            f"{figures['fleet_us_per_task']:.1f}",
            f"{figures['cpu_us_per_task']:.1f}",
            f"{figures['others_cores'][0]:.2f}-{figures['others_cores'][1]:.2f}",
        )
        for name, figures in body["levels"].items()
    ]
    return "\n".join("".join(f"{cell:>12}" for cell in row) for row in rows)
