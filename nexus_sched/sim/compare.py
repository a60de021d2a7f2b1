"""Policies side by side: for every seed one workload, and every policy runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from nexus_sched.model.settings import EngineSettings
from nexus_sched.sim.drive import drive
from nexus_sched.sim.figures import nested
from nexus_sched.sim.history import History
from nexus_sched.sim.measure import measure
from nexus_sched.sim.policies import make_core
from nexus_sched.sim.summary import half_widths, means, with_gaps
from nexus_sched.sim.workload import Workload


class ProgressSink(Protocol):
    """Whoever shows how far a comparison is."""

    def begin(self, phase: str, total: int) -> None:
        """A new phase of `total` steps."""

    def update(self, done: int, state: str) -> None:
        """`done` steps of the phase are done."""

    def end(self, state: str) -> None:
        """The phase is over."""


class Comparison(Struct, frozen=True):
    """What was measured: figures by policy, one set a seed; and all of the first seed, for pictures."""

    scenario: str
    seeds: int
    tasks: int
    workers: int
    figures: dict[str, list[dict[str, float | None]]]
    workload: Workload  # of the first seed
    histories: dict[str, History]  # of the first seed

    def as_json(self) -> dict[str, object]:
        """The object that the command prints. `ci95` holds half-widths of confidence intervals, by the same names."""
        return {
            "scenario": self.scenario,
            "seeds": self.seeds,
            "tasks": self.tasks,
            "workers": self.workers,
            "policies": {
                name: nested(means(runs)) | {"ci95": nested(half_widths(runs))} for name, runs in self.figures.items()
            },
        }


def compare(
    draw: Callable[[int], Workload],
    policies: Sequence[str],
    seeds: int,
    progress: ProgressSink,
    settings: EngineSettings | None = None,
    owners: int = 1,
) -> Comparison:
    """Run `policies` on the workloads of the seeds 1 to `seeds`. Raises `SimulationStuck`."""
    chosen = settings or EngineSettings()
    figures: dict[str, list[dict[str, float | None]]] = {name: [] for name in policies}
    shown: tuple[Workload, dict[str, History]] | None = None
    for seed in range(1, seeds + 1):
        workload = draw(seed)
        count = len(workload.tasks)
        progress.begin(f"seed {seed}", count * len(policies))
        histories: dict[str, History] = {}
        by_policy: dict[str, dict[str, float | None]] = {}
        for place, name in enumerate(policies):
            core = make_core(name, workload, seed, chosen, owners)
            report = _reporter(progress, name, place * count)
            histories[name] = drive(workload, core, report)
            by_policy[name] = measure(workload, histories[name])
        with_gaps(by_policy)
        for name, found in by_policy.items():
            figures[name].append(found)
        shown = shown or (workload, histories)
        progress.end(f"{count} tasks on {len(workload.workers)} workers, {len(policies)} policies")
    assert shown is not None, "there is at least one seed"
    workload, histories = shown
    return Comparison(
        scenario=workload.scenario,
        seeds=seeds,
        tasks=len(workload.tasks),
        workers=len(workload.workers),
        figures=figures,
        workload=workload,
        histories=histories,
    )


def _reporter(progress: ProgressSink, name: str, before: int) -> Callable[[int], None]:
    return lambda done: progress.update(before + done, name)
