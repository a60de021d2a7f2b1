"""A recorded trace as workload: its types, classes and arrivals, brought to the time and load of a half.

Rows are sampled evenly over the whole file (reservoir, seeded), so memory is bounded by the size of a half.
What a class costs each type is taken out of the durations by its median and given back by the fleet.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from nexus_sched.demo.fleet import make_fleet
from nexus_sched.demo.options import DemoOptions
from nexus_sched.demo.workload import PlannedTask, Workload, scaled
from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import TASK_TYPE_LENGTH_MAX, WORKER_CLASS_LENGTH_MAX
from nexus_sched.model.task import PRIORITY_DEFAULT
from nexus_sched.traces import TraceRow, read_trace

TYPES_MAX = 200  # the most frequent ones; the others become OTHER_TYPE
CLASSES_MAX = 8
CELL_ROWS_MIN = 3  # rows of a type on a class before their median says anything of the class
FACTOR_MAX = 10.0  # and its inverse: a class is not believed to differ by more
OTHER_TYPE = "other"
ONE_CLASS = "all"

_OUTSIDE_ALPHABET = re.compile(r"[^A-Za-z0-9._:/-]")


def trace_workload(path: Path, options: DemoOptions) -> Workload:
    """The workload of the trace in `path`. Raises `InvalidInput` if it cannot be read or has no task."""
    rows = sample((row for row in read_trace(path) if row.duration_s > 0.0), options.tasks, options.seed)
    if not rows:
        raise InvalidInput(f"{path}: no row has a duration above zero")
    types = frequent((task_type_of(row) for row in rows), TYPES_MAX)
    classes = sorted(frequent((class_of(row) for row in rows), CLASSES_MAX))
    class_factors = measured_factors(rows, types, classes)
    fleet = make_fleet(options.workers, class_factors, options.seed)
    tasks = []
    for number, (row, arrival_ms) in enumerate(zip(rows, trace_arrivals_ms(rows, options.duration_s), strict=True)):
        task_type = task_type_of(row) if task_type_of(row) in types else OTHER_TYPE
        factor = class_factors.get(class_of(row), {}).get(task_type, 1.0)
        tasks.append(PlannedTask(number, task_type, PRIORITY_DEFAULT, arrival_ms, row.duration_s * 1_000.0 / factor))
    return Workload(path.name, scaled(tasks, fleet, options), fleet)


def sample(rows: Iterable[TraceRow], count: int, seed: int) -> list[TraceRow]:
    """`count` rows in the order of the file, every row with the same chance; repeated if there are fewer."""
    draw = random.Random(f"{seed}:trace")
    kept: list[TraceRow] = []
    for index, row in enumerate(rows):
        if len(kept) < count:
            kept.append(row)
        elif (place := draw.randrange(index + 1)) < count:
            kept[place] = row
    if kept and len(kept) < count:
        kept += draw.choices(kept, k=count - len(kept))
    return sorted(kept, key=lambda row: row.line)


def trace_arrivals_ms(rows: Sequence[TraceRow], duration_s: float) -> list[float]:
    """The rows' submit times stretched or shrunk to `duration_s`; evenly spaced if the trace has none."""
    known = [row.submit_s for row in rows if row.submit_s is not None]
    first_s, last_s = (min(known), max(known)) if len(known) == len(rows) else (0.0, 0.0)
    if last_s <= first_s:
        return [1_000.0 * duration_s * index / len(rows) for index in range(len(rows))]
    return sorted(1_000.0 * duration_s * (submit_s - first_s) / (last_s - first_s) for submit_s in known)


def measured_factors(
    rows: Sequence[TraceRow], types: frozenset[str], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Class -> type -> median of the type on that class over the geometric mean of its class medians."""
    cells: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        cells[task_type_of(row), class_of(row)].append(row.duration_s)
    factors: dict[str, dict[str, float]] = {name: {OTHER_TYPE: 1.0} for name in classes}
    for task_type in types:
        medians = {
            name: median(cells[task_type, name])
            for name in classes
            if len(cells.get((task_type, name), ())) >= CELL_ROWS_MIN
        }
        for name, factor in relative(medians).items():
            factors[name][task_type] = factor
        for name in classes:
            factors[name].setdefault(task_type, 1.0)
    return factors


def relative(medians: Mapping[str, float]) -> dict[str, float]:
    """Each value over the geometric mean of all, within FACTOR_MAX; empty for fewer than two."""
    if len(medians) < 2:
        return {}
    middle = math.exp(math.fsum(math.log(value) for value in medians.values()) / len(medians))
    return {name: min(FACTOR_MAX, max(1.0 / FACTOR_MAX, value / middle)) for name, value in medians.items()}


def frequent(names: Iterable[str], count: int) -> frozenset[str]:
    """The `count` most frequent names; the first of equals stays."""
    return frozenset(name for name, _ in Counter(names).most_common(count))


def task_type_of(row: TraceRow) -> str:
    """The row's type in the alphabet of task types."""
    return _OUTSIDE_ALPHABET.sub("_", row.task_type)[:TASK_TYPE_LENGTH_MAX]


def class_of(row: TraceRow) -> str:
    """The row's worker class in the alphabet of worker classes."""
    return _OUTSIDE_ALPHABET.sub("_", row.worker_class)[:WORKER_CLASS_LENGTH_MAX] or ONE_CLASS
