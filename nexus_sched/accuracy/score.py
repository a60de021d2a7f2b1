"""What the answers of a predictor are worth, in numbers. Shares are fractions from 0 to 1.

Laws of this file: a task without a usable prediction counts as a miss in every share within 25 %, and is left out
of the errors, whose denominator are the predicted tasks (`coverage` says how many these are); what cannot be
measured is `None` and never 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nexus_sched.accuracy.drive import Answers
from nexus_sched.accuracy.tasks import TraceTasks

WITHIN = 0.25
OFF = 2.0
SETTLING_TASKS = 500  # intervals are judged after this many
TYPES_SHOWN = 10
# The half width, on the log scale, of the band that lies within 25 % of a prediction: 1 / 1.25 .. 1 / 0.75.
BAND_HALF_LN = 0.5 * math.log((1.0 + WITHIN) / (1.0 - WITHIN))
QUARTILES_APART = 1.3489795  # standard deviations between the quartiles of a normal distribution
QUANTILES = {"p10": 0.10, "p50": 0.50, "p80": 0.80, "p90": 0.90, "p95": 0.95}  # columns of a prediction

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class TypeScore(Struct, frozen=True):
    """One task type, of those that take most time."""

    task_type: str
    tasks: int
    time_share: float  # of the durations of all tasks
    coverage: float
    within_25: float
    residual_sigma: float | None  # of ln actual - ln p50
    ceiling: float | None  # share within 25 % that log-normal noise of this sigma leaves to the best prediction
    core_sigma: float | None  # the same by the quartiles, where rare outliers do not count
    core_ceiling: float | None


class Score(Struct, frozen=True):
    """All tasks of a trace. Times in nanoseconds, everything else without a unit."""

    tasks: int
    coverage: float  # share of tasks with a usable prediction
    within_25: float
    median_ape: float | None  # absolute error relative to the actual duration; 0.1 is 10 %
    off_2x: float | None  # share off by more than a factor of two, either way
    mean_abs_ln: float | None  # |ln(predicted / actual)|
    mean_min_max: float | None  # smaller of predicted and actual over the larger
    interval_80_coverage: float | None  # share within p10..p90, after the first 500 tasks
    interval_80_width: float | None  # median of p90 / p10
    interval_80_tasks: int
    quantile_coverage: dict[str, float]  # share at or below p10, p50, ...: as the name says if all is honest
    second_half_within_25: float
    predict_ns: float
    learn_ns: float
    notices: int
    digest: str  # of everything learned, hexadecimal
    types: list[TypeScore]


class Columns(Struct, frozen=True):
    """A predictor's answers beside the truth; not a number where there was no answer."""

    actual_ms: Floats
    quantiles_ms: dict[str, Floats]
    usable: Flags
    hit: Flags  # within 25 %

    @property
    def predicted_ms(self) -> Floats:
        """The medians, which are what is scored."""
        return self.quantiles_ms["p50"]


def columns(trace: TraceTasks, answers: Answers) -> Columns:
    """Answers and truth side by side."""
    actual = np.array(trace.run_ms)
    quantiles = {
        name: np.array([math.nan if told is None else getattr(told, f"{name}_ms") for told in answers.predictions])
        for name in QUANTILES
    }
    predicted = quantiles["p50"]
    usable = np.isfinite(predicted) & (predicted > 0.0)
    hit = usable & (np.abs(predicted - actual) <= WITHIN * actual)
    return Columns(actual_ms=actual, quantiles_ms=quantiles, usable=usable, hit=hit)


def score(trace: TraceTasks, answers: Answers, beside: Columns) -> Score:
    """The score of one predictor; `beside` is what `columns` gave."""
    actual, predicted = beside.actual_ms[beside.usable], beside.predicted_ms[beside.usable]
    ratio = predicted / actual
    smaller_share = np.minimum(ratio, 1.0 / ratio)
    judged = _judged(beside)
    low, high = beside.quantiles_ms["p10"][judged], beside.quantiles_ms["p90"][judged]
    truth = beside.actual_ms[judged]
    width = np.where(low > 0.0, high / np.where(low > 0.0, low, 1.0), np.inf)
    return Score(
        tasks=len(trace),
        coverage=float(np.mean(beside.usable)),
        within_25=float(np.mean(beside.hit)),
        median_ape=_middle(np.abs(ratio - 1.0)),
        off_2x=_mean(smaller_share < 1.0 / OFF),
        mean_abs_ln=_mean(np.abs(np.log(ratio))),
        mean_min_max=_mean(smaller_share),
        interval_80_coverage=_mean((low <= truth) & (truth <= high)),
        interval_80_width=_middle(width),
        interval_80_tasks=int(np.sum(judged)),
        quantile_coverage=_quantile_coverage(beside, judged),
        second_half_within_25=float(np.mean(beside.hit[len(trace) // 2 :])),
        predict_ns=answers.predict_ns,
        learn_ns=answers.learn_ns,
        notices=len(answers.notices),
        digest=f"{answers.digest:016x}",
        types=_types(trace, beside),
    )


def ceiling(sigma: float) -> float:
    """Share within 25 % of the best prediction for a log-normal duration with this sigma."""
    return math.erf(BAND_HALF_LN / (sigma * math.sqrt(2.0))) if sigma > 0.0 else 1.0


def _judged(beside: Columns) -> Flags:
    """Tasks whose interval is judged: those after the first ones that were given one."""
    high = beside.quantiles_ms["p90"]
    judged: Flags = beside.usable & (high > 0.0) & (np.arange(len(high)) >= SETTLING_TASKS)
    return judged


def _quantile_coverage(beside: Columns, judged: Flags) -> dict[str, float]:
    if not judged.any():
        return {}
    truth = beside.actual_ms[judged]
    return {name: float(np.mean(truth <= told[judged])) for name, told in beside.quantiles_ms.items()}


def _types(trace: TraceTasks, beside: Columns) -> list[TypeScore]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for index, task in enumerate(trace.tasks):
        places[task.type].append(index)
    actual = beside.actual_ms
    time_ms = {name: float(actual[found].sum()) for name, found in places.items()}
    costliest = sorted(places, key=lambda name: (-time_ms[name], name))[:TYPES_SHOWN]
    whole_ms = float(actual.sum())
    return [_type(name, places[name], time_ms[name] / whole_ms, beside) for name in costliest]


def _type(name: str, places: Sequence[int], time_share: float, beside: Columns) -> TypeScore:
    usable = beside.usable[places]
    residual = np.log(beside.actual_ms[places][usable]) - np.log(beside.predicted_ms[places][usable])
    sigma = float(np.std(residual)) if len(residual) > 1 else None
    core_sigma = (
        float(np.subtract(*np.quantile(residual, (0.75, 0.25)))) / QUARTILES_APART if len(residual) > 1 else None
    )
    return TypeScore(
        task_type=name,
        tasks=len(places),
        time_share=time_share,
        coverage=float(np.mean(usable)),
        within_25=float(np.mean(beside.hit[places])),
        residual_sigma=sigma,
        ceiling=None if sigma is None else ceiling(sigma),
        core_sigma=core_sigma,
        core_ceiling=None if core_sigma is None else ceiling(core_sigma),
    )


def _mean(values: Floats | Flags) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _middle(values: Floats) -> float | None:
    middle = float(np.median(values)) if len(values) else math.nan
    return middle if math.isfinite(middle) else None
