"""The simulations that the goals need: one job for each run, seed and policy, on all processors at once.

What the clock measures (the cost of a decision) is measured first, while nothing else of this runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from msgspec import Struct

from benchmarks.quality.cost import decision_us
from benchmarks.quality.goals import DECISION_COST, Quality, Run
from nexus_sched.model.settings import EngineSettings
from nexus_sched.sim.compare import ProgressSink
from nexus_sched.sim.drive import drive
from nexus_sched.sim.history import History
from nexus_sched.sim.measure import measure
from nexus_sched.sim.policies import make_core
from nexus_sched.sim.recovery import recovery_s, undisturbed
from nexus_sched.sim.workload import Workload

US_PER_S = 1_000_000
COST_WORKERS = (1_000, 4_000)

Figures = dict[str, float | None]


class Job(Struct, frozen=True):
    """One simulation."""

    run: Run
    seed: int
    policy: str
    root: Path
    recovery: bool  # whether the same without its faults is wanted as well


class Results(Struct):
    """Figures by run and policy, one set a seed; and the runs whose file is not there."""

    measured: dict[str, dict[str, list[Figures]]]
    left_out: list[str]


def run_all(quality: Quality, root: Path, progress: ProgressSink, processes: int | None = None) -> Results:
    """Everything the goals look at. Raises `SimulationStuck` and `InvalidInput`."""
    needed = {run for goal in quality.goals for run in (goal.run, goal.reference[0])}
    left_out = [run.name for run in quality.runs if run.matrix is not None and not (root / run.matrix).is_file()]
    jobs = _jobs(quality, [run for run in quality.runs if run.name in needed and run.name not in left_out], root)
    measured: dict[str, dict[str, list[Figures]]] = {}
    if DECISION_COST in needed:
        measured[DECISION_COST] = _costs(progress)
    progress.begin("simulations", len(jobs))
    found: dict[tuple[str, str, int], Figures] = {}
    count = processes or min(len(jobs), os.cpu_count() or 1)
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(simulate, job): job for job in jobs}
        for done, future in enumerate(as_completed(waiting), start=1):
            job = waiting[future]
            found[job.run.name, job.policy, job.seed] = future.result()
            progress.update(done, f"{job.run.name}, {job.policy}, seed {job.seed}")
    progress.end(f"{len(jobs)} of {len({job.run.name for job in jobs})} scenarios, in {count} processes")
    for name, policy, seed in sorted(found, key=lambda each: each[2]):
        measured.setdefault(name, {}).setdefault(policy, []).append(found[name, policy, seed])
    return Results(measured, left_out)


def _costs(progress: ProgressSink) -> dict[str, list[Figures]]:
    progress.begin("cost of a decision", len(COST_WORKERS))
    found: dict[str, list[Figures]] = {}
    for done, workers in enumerate(COST_WORKERS, start=1):
        found[f"{workers} workers"] = [{"decision_us": decision_us(workers)}]
        progress.update(done, f"{workers} workers")
    progress.end("done")
    return found


def _jobs(quality: Quality, runs: Sequence[Run], root: Path) -> list[Job]:
    """The longest first, so that the last ones end together."""
    recovering = {(goal.run, goal.policy) for goal in quality.goals if goal.measure == "recovery_s"}
    jobs = [
        Job(run, seed, policy, root, (run.name, policy) in recovering)
        for run in runs
        for seed, policy in product(range(1, run.seeds + 1), run.policies)
    ]
    return sorted(jobs, key=lambda job: -job.run.tasks * (1 + job.recovery))


def simulate(job: Job) -> Figures:
    """All figures of one job."""
    options = job.run.options(job.root)
    workload = options.source()(job.seed)

    def ran(load: Workload) -> History:
        return drive(load, make_core(job.policy, load, job.seed, EngineSettings(), options.owners), lambda _: None)

    history = ran(workload)
    figures = measure(workload, history)
    decisions_per_s = figures.get("decisions_per_s")
    figures["engine_us"] = US_PER_S / decisions_per_s if decisions_per_s else None
    if job.recovery:
        figures["recovery_s"] = recovery_s(workload, history, ran(undisturbed(workload)))
    return figures
