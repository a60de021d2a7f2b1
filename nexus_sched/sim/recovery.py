"""How long a disturbance is felt: response times over time, beside those of the same tasks without it.

Tasks are put into windows by their arrival, and in each window the p99 of the disturbed run is held against that of
the undisturbed one. Both windows hold the very same tasks, so what differs is what the disturbance did to them.
"""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from nexus_sched.sim.history import History
from nexus_sched.sim.workload import Truth, Workload
from nexus_sched.units import MS_PER_S

WINDOW_MS = 10_000.0
RECOVERED_RATIO = 1.5  # of p99 with to p99 without: a fifth of the workers is still missing
WINDOW_TASKS_MIN = 100  # fewer have no p99


def undisturbed(workload: Workload) -> Workload:
    """The same tasks on the same fleet, and nothing happens to it."""
    calm: Truth = workload.truth.without_spells()
    return structs.replace(workload, faults=(), truth=calm)


def last_blow_ms(workload: Workload) -> float:
    """When the last worker died. Raises `ValueError` if none does."""
    return max(fault.at_ms for fault in workload.faults if not fault.joins)


def recovery_s(workload: Workload, disturbed: History, calm: History) -> float:
    """From the last death until p99 is back for good, in whole windows.

    For good means until the last arrival: if it is not back by then, the time until then is given.
    """
    from_ms = last_blow_ms(workload)
    arrivals_ms = np.array(workload.arrivals_ms)
    edges_ms = np.arange(from_ms, arrivals_ms[-1], WINDOW_MS)
    ratios = _p99_ms(arrivals_ms, disturbed, edges_ms) / _p99_ms(arrivals_ms, calm, edges_ms)
    above = np.flatnonzero(ratios > RECOVERED_RATIO)
    return (float(above[-1]) + 1.0) * WINDOW_MS / MS_PER_S if len(above) else 0.0


def _p99_ms(arrivals_ms: NDArray[np.float64], history: History, edges_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """By window; not a number where there are too few tasks. A task that never finished is never back."""
    finished_ms = np.array(history.finished_ms)
    taken_ms = np.where(finished_ms >= 0.0, finished_ms - arrivals_ms, np.inf)
    places = np.searchsorted(edges_ms, arrivals_ms, side="right") - 1
    found = np.full(max(0, len(edges_ms) - 1), np.nan)
    for window in range(len(found)):
        inside = taken_ms[places == window]
        if len(inside) >= WINDOW_TASKS_MIN:
            found[window] = np.quantile(inside, 0.99, method="higher")  # an endless one is no number to average
    return found
