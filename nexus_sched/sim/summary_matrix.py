"""A matrix drawn from a summary: for each task type and worker class a median and a coefficient of variation.

The file: a CSV with the columns `task_type`, `worker_class`, `median_s` and `cv`, such as published statistics have
them. Instances are log-normal around the median of their cell. How the same instance does on two classes no summary
says; half of the variance is taken to be the instance's own, which it shows on every class, the other half noise.
Types that were not measured on every class of the file are left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nexus_sched.errors import InvalidInput
from nexus_sched.sim.arrivals import random_stream
from nexus_sched.sim.matrix import Matrix
from nexus_sched.units import MS_PER_S

REQUIRED = ("task_type", "worker_class", "median_s", "cv")
INSTANCES = 100  # of each type
OWN_SHARE = 0.5  # of the variance that an instance has on all classes alike

Cells = dict[str, dict[str, tuple[float, float]]]  # type -> class -> median in seconds, CV


def is_summary(path: Path) -> bool:
    """Whether a file's header is that of a summary."""
    try:
        with path.open("rb") as stream:
            header = stream.readline(4_096).decode("utf-8", "replace").strip().split(",")
    except OSError:
        return False  # whoever reads it next will say why
    return set(REQUIRED) <= set(header)


def draw_matrix(path: Path, seed: int, instances: int = INSTANCES) -> Matrix:
    """`instances` of each type of a summary. Raises `InvalidInput` with file and line."""
    cells = _read(path)
    classes = list(dict.fromkeys(name for row in cells.values() for name in row))
    types = [task_type for task_type, row in cells.items() if len(row) == len(classes)]
    if not types:
        raise InvalidInput(f"{path}: no type was measured on all of {', '.join(classes) or 'its classes'}")
    random = random_stream(seed, "matrix")
    tables = []
    for task_type in types:
        medians_s = np.array([cells[task_type][name][0] for name in classes])
        sigmas = np.array([math.sqrt(math.log1p(cells[task_type][name][1] ** 2)) for name in classes])
        own = math.sqrt(OWN_SHARE) * random.standard_normal((instances, 1))
        noise = math.sqrt(1.0 - OWN_SHARE) * random.standard_normal((instances, len(classes)))
        tables.append(MS_PER_S * medians_s * np.exp(sigmas * (own + noise)))
    return Matrix(
        name=path.name,
        classes=classes,
        types=types,
        type_of=np.repeat(np.arange(len(types)), instances),
        payload_bytes=np.zeros(len(types) * instances, dtype=np.int64),
        durations_ms=np.concatenate(tables),
    )


def _read(path: Path) -> Cells:
    cells: Cells = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for line, task_type, name, median_s, cv in _cells(path, stream):
                row = cells.setdefault(task_type, {})
                if name in row:
                    raise InvalidInput(f"{path}:{line}: {task_type!r} is on {name!r} a second time")
                row[name] = (median_s, cv)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8: {error.reason}") from error
    return cells


def _cells(path: Path, stream: Iterator[str]) -> Iterator[tuple[int, str, str, float, float]]:
    rows = csv.DictReader(stream)
    for row in rows:
        texts = [row[name] for name in REQUIRED]
        if None in texts or not texts[0] or not texts[1]:
            raise InvalidInput(f"{path}:{rows.line_num}: a cell is missing")
        try:
            median_s, cv = float(texts[2]), float(texts[3])
        except ValueError:
            raise InvalidInput(f"{path}:{rows.line_num}: {texts[2]!r} or {texts[3]!r} is not a number") from None
        if not 0.0 < median_s < math.inf or not 0.0 <= cv < math.inf:
            raise InvalidInput(f"{path}:{rows.line_num}: median_s must be above zero, cv not below, both finite")
        yield rows.line_num, texts[0], texts[1], median_s, cv
