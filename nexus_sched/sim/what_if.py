"""What would have been: a recorded hour again, with other workers, weights, order or predictor.

Three histories are compared: what happened, the same hour simulated as it was, and with the changes. How far the second
is from the first is the model's own error; what the changes bring is the third against the second.

Law: the durations of tasks on workers that did not run them are made up: the measured one times the pace of the other
worker over that of its own (`sim.pace`). Everything else is as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from msgspec import Struct, structs

from nexus_sched.core.engine import Engine
from nexus_sched.core.forecasts import ForecastState
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.errors import InvalidInput
from nexus_sched.model.settings import EngineSettings
from nexus_sched.sim.drive import drive
from nexus_sched.sim.history import History
from nexus_sched.sim.hour import Hour
from nexus_sched.sim.measure import measure
from nexus_sched.sim.options import WORKERS_MAX
from nexus_sched.sim.pace import paces
from nexus_sched.sim.task_types import PREDICTABLE_SIGMA_MAX
from nexus_sched.sim.workload import FleetWorker, Truth, Workload

HAPPENED, SIMULATED, WHAT_IF = "happened", "simulated as it was", "what if"

Predictors = Mapping[str, PredictorFactory]


class Changes(Struct, frozen=True):
    """What is to be different."""

    workers: int = 0  # more of them, or fewer
    settings: dict[str, object] = {}  # fields of `EngineSettings`

    def __bool__(self) -> bool:
        return bool(self.workers or self.settings)


class Answer(Struct, frozen=True):
    """Figures by case, and what they rest on."""

    figures: dict[str, dict[str, float | None]]
    tasks: int
    workers: int
    workers_then: int  # with the changes
    notes: list[str]


def what_if(hour: Hour, changes: Changes, predictors: Predictors, progress: Callable[[str, int], None]) -> Answer:
    """Simulate the hour as it was and with the changes. Raises `InvalidInput` and `SimulationStuck`."""
    if not hour.tasks:
        raise InvalidInput("no task ended in this span: there is nothing to simulate")
    as_it_was = recorded(hour)
    changed = with_workers(as_it_was, changes.workers) if changes.workers else as_it_was
    settings: EngineSettings = structs.replace(hour.settings, **changes.settings)
    cases = {SIMULATED: (as_it_was, hour.settings), WHAT_IF: (changed, settings)}
    if not changes:
        del cases[WHAT_IF]
    figures = {HAPPENED: measure(as_it_was, happened(hour, as_it_was))}
    for name, (workload, chosen) in cases.items():
        engine = _engine(predictors, chosen, hour)
        figures[name] = measure(workload, drive(workload, engine, partial(progress, name)))
    return Answer(figures, len(hour.tasks), len(as_it_was.workers), len(changed.workers), _notes(hour, settings))


def recorded(hour: Hour) -> Workload:
    """The hour as a workload: every task takes on its own worker what it took."""
    runs = [(done.task.type, done.worker, done.run_ms) for done in hour.tasks]
    pace = paces(runs, [worker.worker_class for worker in hour.workers])
    types = list(dict.fromkeys(kind for kind, _, _ in runs))
    places = {kind: place for place, kind in enumerate(types)}
    scales = np.array([run_ms / pace[worker] for _, worker, run_ms in runs])
    type_of = [places[kind] for kind, _, _ in runs]
    workers = [structs.replace(worker, slowness=pace[index]) for index, worker in enumerate(hour.workers)]
    return Workload(
        scenario="recorded",
        tasks=[structs.replace(done.task, id=str(number)) for number, done in enumerate(hour.tasks)],
        arrivals_ms=[done.arrived_ms for done in hour.tasks],
        types=types,
        type_of=type_of,
        predictable=_predictable(scales, type_of, len(types)),
        workers=workers,
        truth=_truth(scales, workers),
        faults=hour.faults,
        rtt_ms=hour.settings.round_trip_ms,
        epoch_ms=hour.from_ms,
    )


def with_workers(workload: Workload, more: int) -> Workload:
    """With more workers, or fewer: copies of some that never went away, there from the start, or without some of these.

    They are taken evenly from the fastest to the slowest. Raises `InvalidInput` if too few or too many are left.
    """
    went = {fault.worker for fault in workload.faults if not fault.joins}
    steady = [index for index in range(len(workload.workers)) if index not in went]
    steady.sort(key=lambda index: workload.workers[index].slowness)
    if not steady or -more >= len(steady):
        raise InvalidInput(f"{len(steady)} workers stayed to the end: {more:+d} cannot be done")
    if len(workload.workers) + more > WORKERS_MAX:
        raise InvalidInput(f"at most {WORKERS_MAX} workers can be simulated")
    chosen = [steady[(2 * place + 1) * len(steady) // (2 * abs(more))] for place in range(abs(more))]
    if more > 0:
        copies = [_copy(workload.workers[index], number) for number, index in enumerate(chosen, start=1)]
        return _on(workload, [*workload.workers, *copies])
    return _on(workload, [each for index, each in enumerate(workload.workers) if index not in set(chosen)])


def happened(hour: Hour, workload: Workload) -> History:
    """What the journal says, as the history of a simulation."""
    history = History(len(hour.tasks))
    for number, done in enumerate(hour.tasks):
        history.predicted_ms[number] = done.predicted_ms
        history.decisions += 1
        if done.eta is not None:
            history.tell(number, structs.replace(done.eta, at_ms=done.eta.at_ms - hour.from_ms))
        history.finish(number, done.worker, done.started_ms, done.finished_ms)
    history.until_ms = float(hour.until_ms - hour.from_ms)
    history.up = _presence(workload, history.until_ms)
    return history


def _presence(workload: Workload, until_ms: float) -> list[list[tuple[float, float]]]:
    since: list[float | None] = [None if worker.late else 0.0 for worker in workload.workers]
    found: list[list[tuple[float, float]]] = [[] for _ in workload.workers]
    for fault in sorted(workload.faults, key=lambda each: each.at_ms):
        began_ms = since[fault.worker]
        if fault.joins:
            since[fault.worker] = fault.at_ms if began_ms is None else began_ms
        elif began_ms is not None:
            found[fault.worker].append((began_ms, fault.at_ms))
            since[fault.worker] = None
    for index, began_ms in enumerate(since):
        if began_ms is not None:
            found[index].append((began_ms, until_ms))
    return found


def _on(workload: Workload, workers: list[FleetWorker]) -> Workload:
    indexes = {worker.name: index for index, worker in enumerate(workers)}
    names = [workload.workers[fault.worker].name for fault in workload.faults]
    faults = [
        structs.replace(fault, worker=indexes[name])
        for fault, name in zip(workload.faults, names, strict=True)
        if name in indexes
    ]
    return structs.replace(workload, workers=workers, faults=faults, truth=workload.truth.on(workers))


def _copy(worker: FleetWorker, number: int) -> FleetWorker:
    return structs.replace(worker, name=f"{worker.name}+{number}", late=False)


def _truth(scales: np.ndarray[tuple[int], np.dtype[np.float64]], workers: list[FleetWorker]) -> Truth:
    return Truth(np.ones((1, 1)), np.zeros(len(scales), dtype=np.int64), scales, workers)


def _predictable(scales: np.ndarray[tuple[int], np.dtype[np.float64]], type_of: list[int], types: int) -> list[bool]:
    """By type, whatever the payload."""
    logs, kinds = np.log(scales), np.array(type_of)
    return [float(logs[kinds == kind].std()) <= PREDICTABLE_SIGMA_MAX for kind in range(types)]


def _engine(predictors: Predictors, settings: EngineSettings, hour: Hour) -> Engine:
    """An engine that knows what the real one had learned when the hour began."""
    engine = Engine(predictors, settings)
    fresh = engine.forecasts.snapshot()
    engine.forecasts.restore(
        structs.replace(
            fresh,
            active=_learned(hour.knowledge, settings.predictor) or fresh.active,
            baseline=hour.knowledge.baseline,
            pins=hour.knowledge.pins,
        )
    )
    return engine


def _learned(knowledge: ForecastState, name: str) -> tuple[str, bytes] | None:
    """What a predictor had learned, whoever it was then; `None` if it was not there."""
    for known, blob in (knowledge.active, knowledge.shadow, knowledge.baseline):
        if known == name:
            return known, blob
    return None


def _notes(hour: Hour, settings: EngineSettings) -> list[str]:
    notes = [
        "Durations on workers that did not run a task are its own, times that worker's measured pace over the pace of "
        "the one that ran it.",
        "What waited or ran when the span began arrives at its first instant. The first fifth of the tasks is not "
        "counted.",
        "Cordons, time limits and failures are not simulated: a run that failed counts as one of its length.",
    ]
    notes += [f"Left out: {count} tasks that {why}." for why, count in hour.left_out.items()]
    if _learned(hour.knowledge, settings.predictor) is None:
        notes.append(f"The predictor {settings.predictor} was not learning then: here it begins without knowledge.")
    return notes
