"""Training in batches: gradient boosting on the logarithm of the service time.

Law: the same runs give the same file, to the byte except for its date: one thread, fixed seed, no sampling.

Two targets compete on the newest fifth of the runs: the time itself, and what it adds to the recent time. The one
that is within 25 % more often is trained once more on everything, with as many trees as served best there; how far
off it was on those unseen runs gives the intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from nexus_sched.errors import InvalidInput
from nexus_sched.plugins.features import CATEGORICAL, Table, Vector, schema_of, tabulate
from nexus_sched.plugins.model import ABSOLUTE, RESIDUAL, Booster, lightgbm
from nexus_sched.plugins.model_file import Header, Quantiles, pack
from nexus_sched.plugins.runs import TrainingRun

RUNS_MIN = 50
HELD_OUT_SHARE = 0.2
TREES_MAX = 300
PATIENCE_TREES = 20
RESIDUALS_MIN = 50  # of a type, before it has an interval of its own
CLEARLY_SIGMAS = 1.0  # a correction has to bring this many square roots of the runs, or it fits noise
OUTLIER_LOG2 = 3.0  # the mean does not follow runs more than eightfold off
WITHIN_25 = (float(np.log2(0.8)), float(np.log2(4.0 / 3.0)))  # log2 of actual / predicted

PARAMETERS: dict[str, object] = {
    "objective": "regression_l1",  # the median: what is within 25 % most often
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "min_data_per_group": 20,
    "cat_smooth": 10.0,
    "max_bin": 255,
    "seed": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}

Told = Callable[[str, int, int], None]  # phase, steps done, steps in all


class Contender(NamedTuple):
    """How one target did on the runs that were held out."""

    target: str
    trees: int
    within_25: float
    residuals: Vector


def train(
    runs: Sequence[TrainingRun],
    *,
    trained_at: str,
    source: str,
    told: Told = lambda *_: None,
    trees_max: int = TREES_MAX,
) -> bytes:
    """A model file. Raises `InvalidInput` if there are too few runs, `ExtraMissing` without LightGBM."""
    lightgbm()
    table = tabulate(runs, schema := schema_of(runs), lambda done: told("read", done, len(runs)))
    if len(table.types) < RUNS_MIN:
        raise InvalidInput(f"{len(table.types)} runs to learn from; at least {RUNS_MIN} are needed")
    cut = len(table.types) - max(1, round(HELD_OUT_SHARE * len(table.types)))
    contenders = [_contend(table, cut, target, told, trees_max) for target in (RESIDUAL, ABSOLUTE)]
    best = max(contenders, key=lambda contender: contender.within_25)
    booster = _boost(table, slice(None), best.target, best.trees, lambda done: told("all runs", done, best.trees))
    header = Header(
        name="boosting",
        trained_at=trained_at,
        source=source,
        rows=len(table.types),
        trees=best.trees,
        target=best.target,
        held_out_rows=len(table.types) - cut,
        held_out_within_25=best.within_25,
        recent_within_25=_share_within_25(table.actual[cut:] - table.recent[cut:]),
        schema=schema,
        residuals=_quantiles(best.residuals, table.types[cut:]),
        recent_bytes=0,
    )
    return pack(header, table.recents.state(), booster.model_to_string())


def _contend(table: Table, cut: int, target: str, told: Told, trees_max: int) -> Contender:
    """Train on the runs before `cut`, and see how the rest comes out."""
    data = _dataset(table, slice(0, cut), target)
    library = lightgbm()
    held_out = data.create_valid(table.rows[cut:], _targets(table, slice(cut, None), target))
    booster = library.train(
        PARAMETERS,
        data,
        trees_max,
        valid_sets=[held_out],
        callbacks=[
            library.early_stopping(PATIENCE_TREES, verbose=False),
            lambda state: told(f"{target} time", state.iteration + 1, trees_max),
        ],
    )
    trees = max(1, booster.best_iteration)
    predicted = booster.predict(table.rows[cut:], num_threads=1, num_iteration=trees)
    residuals = cast("Vector", _targets(table, slice(cut, None), target) - predicted)
    return Contender(target, trees, _share_within_25(residuals), residuals)


def _boost(table: Table, part: slice, target: str, trees: int, told: Callable[[int], None]) -> Booster:
    library = lightgbm()
    callbacks = [lambda state: told(state.iteration + 1)]
    return cast("Booster", library.train(PARAMETERS, _dataset(table, part, target), trees, callbacks=callbacks))


def _dataset(table: Table, part: slice, target: str) -> Any:
    return lightgbm().Dataset(
        table.rows[part], _targets(table, part, target), categorical_feature=list(CATEGORICAL), params=PARAMETERS
    )


def _targets(table: Table, part: slice, target: str) -> Vector:
    actual = table.actual[part]
    return actual - table.recent[part] if target == RESIDUAL else actual


def _share_within_25(residuals: Vector) -> float:
    low, high = WITHIN_25
    return float(np.mean((residuals >= low) & (residuals <= high)))


def _quantiles(residuals: Vector, types: Sequence[str]) -> dict[str, Quantiles]:
    by_type: dict[str, list[float]] = {}
    for task_type, residual in zip(types, residuals.tolist(), strict=True):
        by_type.setdefault(task_type, []).append(residual)
    found = {name: _of(np.array(some)) for name, some in sorted(by_type.items()) if len(some) >= RESIDUALS_MIN}
    return {"": _of(residuals), **found}


def _of(residuals: Vector) -> Quantiles:
    """Quantiles in order around the centre of the densest band."""
    centre = _densest(residuals)
    p10, p80, p90, p95 = (float(value) for value in np.quantile(residuals, (0.1, 0.8, 0.9, 0.95)))
    mean = float(np.mean(np.exp2(np.clip(residuals, -OUTLIER_LOG2, OUTLIER_LOG2))))
    p80 = max(p80, centre)
    p90 = max(p90, p80)
    return Quantiles(min(p10, centre), centre, p80, p90, max(p95, p90), mean)


def _densest(residuals: Vector) -> float:
    """The correction after which most of these runs are within 25 %; none if that is not clearly better."""
    ordered = np.sort(residuals)
    low, high = WITHIN_25
    inside = np.searchsorted(ordered, ordered + (high - low), side="right") - np.arange(len(ordered))
    best = np.flatnonzero(inside == inside.max())
    first = int(best[len(best) // 2])
    uncorrected = int(np.sum((ordered >= low) & (ordered <= high)))
    if int(inside[first]) - uncorrected < CLEARLY_SIGMAS * len(ordered) ** 0.5:
        return 0.0
    last = first + int(inside[first]) - 1
    slack = (high - low) - float(ordered[last] - ordered[first])  # the band is wider than what it holds
    return float(ordered[first]) - 0.5 * slack - low
