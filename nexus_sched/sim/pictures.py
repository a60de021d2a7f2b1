"""The pictures of a comparison: response times, how busy workers were, and predictions beside what happened.

All show the first seed, after the same warm-up as the figures; utilisation is shown from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nexus_sched.sim.history import History
from nexus_sched.sim.measure import WITHIN, Column, busy_ms, judged, up_ms
from nexus_sched.sim.plot import Axis, Picture, Point, decades, shares, times
from nexus_sched.sim.workload import Workload

STRETCHES = 80  # of time in which utilisation is counted
DOTS_MAX = 1_500
TAIL_LEAST = 0.001  # the share of tasks down to which the tail is drawn
STEPS = 160  # points of a line
LOW_SHARE, HIGH_SHARE = 0.1, 0.9  # of the workers: the band of utilisation

Columns = tuple[Column, Column]


def responses(workload: Workload, histories: Mapping[str, History], styles: Mapping[str, str]) -> tuple[str, str]:
    """Share of tasks that have ended within a time, and the share that takes longer, on a logarithmic scale."""
    taken = {name: _responses_ms(workload, history) for name, history in histories.items()}
    low_ms = min(float(np.quantile(each, 0.005)) for each in taken.values())
    high_ms = max(float(each[-1]) for each in taken.values())
    across = decades("response time", low_ms, high_ms)
    whole = Picture("share of tasks that ended within a time, by policy", across, shares("ended within it"))
    remaining = Axis(
        "takes longer", TAIL_LEAST, 1.0, ((1.0, "100 %"), (0.1, "10 %"), (0.01, "1 %"), (0.001, "0.1 %")), True
    )
    tail = Picture("share of tasks that take longer than a time, by policy", across, remaining)
    tail.rule(0.01, "p99")
    for name, each_ms in reversed(taken.items()):  # the first one lies on top
        below = np.linspace(0.0, 1.0, STEPS)
        whole.line(_pairs(np.quantile(each_ms, below), below), styles[name])
        above = np.geomspace(1.0, TAIL_LEAST, STEPS)
        tail.line(_pairs(np.quantile(each_ms, 1.0 - above), above), styles[name])
    return whole.svg(), tail.svg()


def utilisation(workload: Workload, history: History, name: str, style: str) -> str:
    """Busy share of slot time by time: the mean, and the band that four of five workers are in."""
    until_ms = max(workload.arrivals_ms[-1], 1.0)
    edges_ms = np.linspace(0.0, until_ms, STRETCHES + 1)
    there, used = up_ms(workload, history, edges_ms), busy_ms(workload, history, edges_ms)
    middles_ms = (edges_ms[1:] + edges_ms[:-1]) / 2.0
    picture = Picture(f"busy share of workers over time, {name}", times("time", until_ms), shares("busy"), 340, 220)
    of_each = np.where(there > 0.0, used / np.where(there > 0.0, there, 1.0), np.nan)
    low, high = np.nanquantile(of_each, (LOW_SHARE, HIGH_SHARE), axis=0)
    picture.area(_pairs(middles_ms, high) + _pairs(middles_ms, low)[::-1], style)
    picture.line(_pairs(middles_ms, used.sum(axis=0) / np.maximum(there.sum(axis=0), 1.0)), style)
    return picture.svg()


def service_times(history: History) -> Columns | None:
    """Predicted and actual run times of the tasks that were placed by a prediction; `None` if there are none."""
    predicted = np.array(history.predicted_ms)
    actual = np.array(history.finished_ms) - np.array(history.started_ms)
    return _usable(predicted, actual, judged(history))


def promises(history: History) -> Columns | None:
    """Time to the end as it was told first, and as it came; `None` if nobody was told."""
    told = np.array([-1.0 if eta is None else eta.finish_p50_ms for eta in history.etas])
    at_ms = np.array([0.0 if eta is None else float(eta.at_ms) for eta in history.etas])
    return _usable(told, np.array(history.finished_ms) - at_ms, judged(history))


def scatter(label: str, columns: Columns, style: str) -> str:
    """Predicted against actual on logarithmic axes, with the band within 25 %."""
    predicted, actual = columns
    places = np.unique(np.linspace(0, len(actual) - 1, min(len(actual), DOTS_MAX)).astype(int))
    low_ms = float(min(predicted.min(), actual.min())) * 0.8
    high_ms = float(max(predicted.max(), actual.max())) * 1.25
    picture = Picture(label, decades("actual", low_ms, high_ms), decades("predicted", low_ms, high_ms), 360, 340)
    above = [(low_ms, low_ms * (1.0 + WITHIN)), (high_ms, high_ms * (1.0 + WITHIN))]
    below = [(high_ms, high_ms * (1.0 - WITHIN)), (low_ms, low_ms * (1.0 - WITHIN))]
    picture.area(above + below, "within")
    picture.line([(low_ms, low_ms), (high_ms, high_ms)], "ideal")
    picture.dots(_pairs(actual[places], predicted[places]), style)
    return picture.svg()


def _responses_ms(workload: Workload, history: History) -> Column:
    taken: Column = np.sort((np.array(history.finished_ms) - np.array(workload.arrivals_ms))[judged(history)])
    return taken if len(taken) else np.array([1.0])


def _usable(predicted: Column, actual: Column, counted: NDArray[np.bool_]) -> Columns | None:
    usable = counted & (predicted > 0.0) & (actual > 0.0)
    return (predicted[usable], actual[usable]) if usable.any() else None


def _pairs(x: Column, y: Column) -> list[Point]:
    pairs: Sequence[Point] = list(zip(x.tolist(), y.tolist(), strict=True))
    return list(pairs)
