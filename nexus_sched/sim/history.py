"""What happened to every task of a simulation, in columns; the only thing that measures look at.

Instants and spans are milliseconds of virtual time; `UNKNOWN` stands for what did not happen or was not said.
"""

from __future__ import annotations

from nexus_sched.model.eta import Eta

UNKNOWN = -1.0


class History:
    """One policy's run of a workload. `ended` counts tasks that finished or were given up."""

    def __init__(self, tasks: int) -> None:
        self.started_ms = [UNKNOWN] * tasks  # of the run that counted
        self.finished_ms = [UNKNOWN] * tasks
        self.worker = [-1] * tasks  # index of the worker that finished it
        self.predicted_ms = [UNKNOWN] * tasks  # p50 for the worker it was last sent to
        self.etas: list[Eta | None] = [None] * tasks  # the first that was told
        self.latest_etas: list[Eta | None] = [None] * tasks  # the last that was told, if it was told again
        self.wasted: list[tuple[int, float, float]] = []  # (worker, from, until) of runs that came to nothing
        self.given_up = [False] * tasks
        self.ended = 0
        self.repeated = 0  # completions of tasks that had finished before
        self.decisions = 0
        self.turns = 0
        self.recalls = 0  # tasks taken back before they began
        self.warm = self.cold = 0  # starts of tasks with an affinity key
        self.core_ns = 0  # spent in the core, measured by the clock of the machine
        self.until_ms = 0.0  # virtual time at the end
        self.up: list[list[tuple[float, float]]] = []  # by worker: stretches in which it was there

    def tell(self, task: int, eta: Eta) -> None:
        """The submitter was told when the task will end."""
        if self.etas[task] is None:
            self.etas[task] = eta
        else:
            self.latest_etas[task] = eta

    def finish(self, task: int, worker: int, started_ms: float, now_ms: float) -> None:
        """A run ended well; the first one counts."""
        if self.finished_ms[task] >= 0.0:
            self.repeated += 1
            self.wasted.append((worker, started_ms, now_ms))
            return
        self.started_ms[task], self.finished_ms[task], self.worker[task] = started_ms, now_ms, worker
        if self.given_up[task]:
            self.given_up[task] = False
        else:
            self.ended += 1

    def give_up(self, task: int) -> None:
        """The core ended a task without a result."""
        if self.finished_ms[task] < 0.0 and not self.given_up[task]:
            self.given_up[task] = True
            self.ended += 1
