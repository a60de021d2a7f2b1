"""What tasks of a type use, and so ask for by default: learned from what workers measured of its runs.

Laws
* Only tasks that name no resource get a default, and only of resources that some live worker offers.
* The estimate rises fast and falls slowly, so that it stays near the most that runs of the type use.
* Requests are rounded up to few different amounts, because tasks with equal needs share a queue and a mask.

Off by default (`EngineSettings.learn_requests`). Amounts: processors (`cpu`), bytes (`memory`).
"""

from __future__ import annotations

from collections.abc import Container
from math import ceil, frexp, ldexp

from msgspec import Struct, structs

from nexus_sched.model.events import TaskFinished
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Needs

TYPES_MAX = 4_096  # the one learned longest ago is forgotten
RUNS_MIN = 3  # before a default is given
RISE, FALL = 0.5, 0.02  # share of the difference that one run moves the estimate by
RUN_MS_MIN = 1.0  # shorter runs do not tell how many processors they keep busy
CPU_STEP = 0.25
MEMORY_STEPS = 8  # to a doubling
CPU, MEMORY = "cpu", "memory"


class Usage(Struct, array_like=True):
    """What runs of a type use."""

    runs: int = 0
    cpu: float = 0.0
    memory_bytes: float = 0.0


class Requests:
    """Usage by type, the type learned longest ago first."""

    def __init__(self) -> None:
        self.usages: dict[str, Usage] = {}

    def learn(self, task_type: str, event: TaskFinished) -> None:
        """Take in what was measured of a run that succeeded; nothing, if nothing was."""
        if event.run_ms < RUN_MS_MIN or not (event.cpu_ms or event.memory_bytes):
            return
        usage = self.usages.pop(task_type, None) or Usage()
        if len(self.usages) >= TYPES_MAX:
            del self.usages[next(iter(self.usages))]
        self.usages[task_type] = usage
        usage.runs += 1
        usage.cpu = _followed(usage.cpu, event.cpu_ms / event.run_ms)
        usage.memory_bytes = _followed(usage.memory_bytes, float(event.memory_bytes))

    def completed(self, task: Task, offered: Container[str]) -> Task:
        """The task with its type's usage as its request, if it names none itself."""
        usage = self.usages.get(task.type)
        terms = task.terms
        if usage is None or usage.runs < RUNS_MIN or terms.needs.resources:
            return task
        amounts = (
            (CPU, ceil(usage.cpu / CPU_STEP) * CPU_STEP),
            (MEMORY, rounded_up(usage.memory_bytes)),
        )
        resources = tuple((name, amount) for name, amount in amounts if amount > 0.0 and name in offered)
        if not resources:
            return task
        needs = Needs(terms.needs.conditions, terms.needs.tolerates, resources)
        return structs.replace(task, asks=structs.replace(terms, needs=needs))


def rounded_up(amount: float) -> float:
    """The next of `MEMORY_STEPS` amounts to a doubling; 0 stays 0."""
    share, exponent = frexp(amount)  # amount = share * 2 ** exponent, share from 0.5 to 1
    steps = 2 * MEMORY_STEPS
    return ldexp(ceil(share * steps) / steps, exponent)


def _followed(estimate: float, measured: float) -> float:
    return estimate + (RISE if measured > estimate else FALL) * (measured - estimate)
