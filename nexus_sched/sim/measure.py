"""What one simulation is worth: figures from the columns of its history.

The warm-up is cut: the first fifth of the tasks is run and not counted, nor is the time in which they arrived.
Utilisation is counted until the last arrival; after it every policy only empties its queues.

Response is the time from a task's arrival at the scheduler to the end of its run; slowdown is response over the
service time on the fastest worker of the fleet, alone.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nexus_sched.sim.history import History
from nexus_sched.sim.workload import Workload
from nexus_sched.units import MS_PER_S

WARM_UP_SHARE = 0.2  # of the tasks
WITHIN = 0.25
STARVED_FACTOR = 10.0  # a task starves if it waits this many times the mean wait
NS_PER_S = 1_000_000_000

Column = NDArray[np.float64]


def measure(workload: Workload, history: History) -> dict[str, float | None]:
    """All figures but `gap_closed`, which takes other policies to know."""
    count = len(workload.tasks)
    cut = int(WARM_UP_SHARE * count)
    arrived, started = np.array(workload.arrivals_ms), np.array(history.started_ms)
    finished = np.array(history.finished_ms)
    counted = judged(history)
    response_ms = (finished - arrived)[counted]
    wait_ms = (started - arrived)[counted]
    figures: dict[str, float | None] = {
        "unfinished": float(sum(history.given_up)),
        "repeated": float(history.repeated),
        "recalls": float(history.recalls),
        "warm": history.warm / (history.warm + history.cold) if history.warm + history.cold else None,
        "decisions_per_s": history.decisions * NS_PER_S / history.core_ns if history.core_ns else None,
    }
    if not counted.any():
        return figures
    slowdown = response_ms / np.array(workload.truth.fastest_ms)[counted]
    types = np.array(workload.type_of)[counted]
    figures |= {
        "response_s.mean": float(response_ms.mean()) / MS_PER_S,
        "response_s.p50": float(np.quantile(response_ms, 0.5)) / MS_PER_S,
        "response_s.p99": float(np.quantile(response_ms, 0.99)) / MS_PER_S,
        "slowdown.mean": float(slowdown.mean()),
        "slowdown.p99": float(np.quantile(slowdown, 0.99)),
        "type_cv": variation_by_type(response_ms, types),
        "wait_max_s": float(wait_ms.max()) / MS_PER_S,
        "starved": float((wait_ms > STARVED_FACTOR * wait_ms.mean()).mean()),
        "prediction_within_25": _within(np.array(history.predicted_ms)[counted], (finished - started)[counted]),
    }
    figures |= _utilisation(workload, history, float(arrived[cut]), float(arrived[-1]))
    figures |= _etas(workload, history, counted)
    figures |= _tenants(workload, slowdown, counted)
    return figures


def judged(history: History) -> NDArray[np.bool_]:
    """Which tasks count: those that finished, but for the first fifth."""
    finished = np.array(history.finished_ms)
    counts: NDArray[np.bool_] = (np.arange(len(finished)) >= int(WARM_UP_SHARE * len(finished))) & (finished >= 0.0)
    return counts


def variation_by_type(response_ms: Column, types: NDArray[np.int64]) -> float | None:
    """Mean over types, weighted by their tasks, of the coefficient of variation of their response times."""
    total, tasks = 0.0, 0
    for kind in np.unique(types):
        of_kind = response_ms[types == kind]
        if len(of_kind) > 1:
            total += len(of_kind) * float(of_kind.std() / of_kind.mean())
            tasks += len(of_kind)
    return total / tasks if tasks else None


def busy_ms(workload: Workload, history: History, edges_ms: Column) -> Column:
    """Slot time in use, workers x stretches: `edges_ms` are the instants between which it is counted."""
    runs = [
        (worker, from_ms, until_ms)
        for worker, from_ms, until_ms in zip(history.worker, history.started_ms, history.finished_ms, strict=True)
        if worker >= 0
    ]
    return _overlap(len(workload.workers), runs + history.wasted, edges_ms)


def up_ms(workload: Workload, history: History, edges_ms: Column) -> Column:
    """Slot time that was there, workers x stretches."""
    stretches = [(worker, *stretch) for worker, found in enumerate(history.up) for stretch in found]
    slots = np.array([worker.slots for worker in workload.workers], dtype=float)
    there: Column = _overlap(len(workload.workers), stretches, edges_ms) * slots[:, None]
    return there


def _overlap(workers: int, stretches: list[tuple[int, float, float]], edges_ms: Column) -> Column:
    total = np.zeros((workers, len(edges_ms) - 1))
    if not stretches:
        return total
    columns = np.array(stretches)
    rows = columns[:, 0].astype(np.int64)
    for place, (low, high) in enumerate(pairwise(edges_ms.tolist())):
        spans = np.minimum(columns[:, 2], high) - np.maximum(columns[:, 1], low)
        np.add.at(total[:, place], rows, np.maximum(spans, 0.0))
    return total


def _utilisation(workload: Workload, history: History, from_ms: float, until_ms: float) -> dict[str, float | None]:
    """Over the workers that were there for most of the time."""
    if until_ms <= from_ms:
        return {}
    edges = np.array([from_ms, until_ms])
    there = up_ms(workload, history, edges)[:, 0]
    slots = np.array([worker.slots for worker in workload.workers])
    mostly = there > 0.5 * slots * (until_ms - from_ms)
    if not mostly.any():
        return {}
    used = busy_ms(workload, history, edges)[mostly, 0] / there[mostly]
    mean = float(used.mean())
    return {
        "utilisation.mean": mean,
        "utilisation.cv": float(used.std()) / mean if mean else None,
        "utilisation.spread": float(used.max() - used.min()),
    }


def _etas(workload: Workload, history: History, counted: NDArray[np.bool_]) -> dict[str, float | None]:
    """How right the first estimate was that the engine gave for each task."""
    told = [(number, eta) for number, eta in enumerate(history.etas) if eta is not None and counted[number]]
    told = [(number, eta) for number, eta in told if eta.finish_p50_ms >= 0.0]
    figures: dict[str, float | None] = {"eta_coverage": len(told) / int(counted.sum()) if told else None}
    if not told:
        return figures
    numbers = np.array([number for number, _ in told])
    actual = np.array(history.finished_ms)[numbers] - np.array([float(eta.at_ms) for _, eta in told])
    p50 = np.array([eta.finish_p50_ms for _, eta in told])
    p80 = np.array([eta.finish_p80_ms for _, eta in told])
    predictable = np.array(workload.predictable)[np.array(workload.type_of)[numbers]]
    by_p80 = actual <= p80
    return figures | {
        "eta_within_25": _within(p50, actual),
        "eta_within_25_predictable": _within(p50[predictable], actual[predictable]),
        "eta_p80_coverage": float(by_p80.mean()),
        "eta_p80_coverage_predictable": float(by_p80[predictable].mean()) if predictable.any() else None,
        "eta_refreshed": _refreshed(history, numbers, np.abs(p50 - actual) > WITHIN * actual),
    }


def _refreshed(history: History, numbers: NDArray[np.int64], wrong: NDArray[np.bool_]) -> float | None:
    """Share told again, before their end, of the tasks whose first estimate was too early by more than 25 %.

    A task that ends earlier than it was told leaves no time to say so.
    """
    late = [
        number
        for number in numbers[wrong].tolist()
        if (eta := history.etas[number]) and history.finished_ms[number] > eta.at_ms + eta.finish_p50_ms
    ]
    return sum(history.latest_etas[number] is not None for number in late) / len(late) if late else None


def _tenants(workload: Workload, slowdown: Column, counted: NDArray[np.bool_]) -> dict[str, float | None]:
    """Mean slowdown of tenants that bring more work than an equal share, and of those that do not."""
    names = [task.terms.tenant for task, counts in zip(workload.tasks, counted.tolist(), strict=True) if counts]
    tenants = sorted(set(names))
    if len(tenants) < 2:
        return {}
    work_ms = np.array(workload.truth.mean_ms)[counted]
    members = {tenant: np.array([name == tenant for name in names]) for tenant in tenants}
    heavy = [tenant for tenant in tenants if work_ms[members[tenant]].sum() > work_ms.sum() / len(tenants)]
    is_heavy = np.logical_or.reduce([members[tenant] for tenant in heavy])
    return {
        "tenants.modest_slowdown": float(slowdown[~is_heavy].mean()) if not is_heavy.all() else None,
        "tenants.heavy_slowdown": float(slowdown[is_heavy].mean()),
    }


def _within(predicted: Column, actual: Column) -> float | None:
    """Share within 25 % of those that were predicted."""
    there = predicted >= 0.0
    if not there.any():
        return None
    return float((np.abs(predicted - actual)[there] <= WITHIN * actual[there]).mean())
