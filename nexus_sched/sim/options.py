"""What a simulation is asked to run, the bounds of it, and the workloads it stands for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct, structs

from nexus_sched.errors import InvalidInput
from nexus_sched.model.worker import SLOTS_MAX
from nexus_sched.sim.matrix import matrix_workload, read_matrix
from nexus_sched.sim.recorded import read_recording, recorded_workload
from nexus_sched.sim.scenarios import RTT_MS, SCENARIOS, Size, generate
from nexus_sched.sim.summary_matrix import draw_matrix, is_summary
from nexus_sched.sim.workload import Workload

WORKERS_MAX = 20_000
TASKS_MAX = 5_000_000  # all of their records are kept in memory
TASKS_PER_WORKER = 100  # if nothing is said
RTT_MS_MAX = 60_000.0
LOAD_MAX = 10.0
SEEDS_MAX = 1_000


class SimulationOptions(Struct, frozen=True, kw_only=True):
    """Where tasks come from, and how many. Raises `InvalidInput` when a bound is broken."""

    synthetic: str | None = None  # a name of `SCENARIOS`
    trace: Path | None = None
    matrix: Path | None = None  # measured, or a summary
    workers: int = 100
    workers_per_class: int = 10  # of a matrix, instead of `workers`
    slots: int = 1
    tasks: int | None = None  # 100 for each worker if not given, at most those of a trace
    load: float = 0.85
    seeds: int = 3
    owners: int = 1  # schedulers among whom workers and tasks are dealt out
    rtt_ms: float | None = None  # the scenario's own if not given

    def __post_init__(self) -> None:
        within: tuple[tuple[str, float | None, float, float], ...] = (
            ("workers", self.workers, 1, WORKERS_MAX),
            ("workers per class", self.workers_per_class, 1, WORKERS_MAX),
            ("slots", self.slots, 1, SLOTS_MAX),
            ("tasks", self.tasks, 1, TASKS_MAX),
            ("load", self.load, 0.01, LOAD_MAX),
            ("seeds", self.seeds, 1, SEEDS_MAX),
            ("owners", self.owners, 1, self.workers if self.matrix is None else self.workers_per_class),
            ("round trip time", self.rtt_ms, 0.0, RTT_MS_MAX),
        )
        for name, value, lowest, highest in within:
            if value is not None and not lowest <= value <= highest:  # also true for NaN
                raise InvalidInput(f"{name} is {value}, it must be from {lowest} to {highest}")
        if sum(source is not None for source in (self.synthetic, self.trace, self.matrix)) != 1:
            raise InvalidInput("name one of --synthetic, --trace and --matrix")
        if self.synthetic is not None and self.synthetic not in SCENARIOS:
            raise InvalidInput(f"no scenario is called {self.synthetic!r}; known are {', '.join(SCENARIOS)}")

    def command(self, policies: Sequence[str]) -> str:
        """The command line that asks for this."""
        words = ["nexus-sched", "simulate", "--policies", ",".join(policies)]
        for name, value in structs.asdict(self).items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(words)

    def source(self) -> Callable[[int], Workload]:
        """From a seed to a workload; files are read once, now. Raises `InvalidInput`."""
        if self.trace is not None:
            return self._recorded(self.trace)
        if self.matrix is not None:
            return self._measured(self.matrix)
        name, rtt_ms = self.synthetic or "", self.rtt_ms
        size = Size(workers=self.workers, tasks=self._tasks(self.workers), load=self.load, slots=self.slots)

        def draw(seed: int) -> Workload:
            workload = generate(name, size, seed)
            return workload if rtt_ms is None else structs.replace(workload, rtt_ms=rtt_ms)

        return draw

    def _tasks(self, workers: int) -> int:
        return self.tasks if self.tasks is not None else min(TASKS_MAX, TASKS_PER_WORKER * workers)

    def _recorded(self, path: Path) -> Callable[[int], Workload]:
        recording = read_recording(path, self._tasks(self.workers))
        rtt_ms = RTT_MS if self.rtt_ms is None else self.rtt_ms
        return lambda seed: recorded_workload(
            recording, workers=self.workers, slots=self.slots, load=self.load, rtt_ms=rtt_ms, seed=seed
        )

    def _measured(self, path: Path) -> Callable[[int], Workload]:
        measured = None if is_summary(path) else read_matrix(path)
        rtt_ms = RTT_MS if self.rtt_ms is None else self.rtt_ms

        def draw(seed: int) -> Workload:
            matrix = draw_matrix(path, seed) if measured is None else measured
            return matrix_workload(
                matrix,
                workers_per_class=self.workers_per_class,
                tasks=self._tasks(self.workers_per_class * len(matrix.classes)),
                load=self.load,
                rtt_ms=rtt_ms,
                seed=seed,
            )

        return draw
