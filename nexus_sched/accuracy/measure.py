"""Several predictors on one trace. All of them see the same tasks in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from nexus_sched.accuracy.candidates import make
from nexus_sched.accuracy.drive import drive
from nexus_sched.accuracy.schedule import Feedback, turns
from nexus_sched.accuracy.score import Columns, Score, columns, score
from nexus_sched.accuracy.tasks import Moment, TraceTasks, read_tasks


class ProgressSink(Protocol):
    """Whoever shows how far a measurement is."""

    def begin(self, phase: str, total: int) -> None:
        """A new phase of `total` steps."""

    def update(self, done: int, state: str) -> None:
        """`done` steps of the phase are done."""

    def end(self, state: str) -> None:
        """The phase is over."""


class Measurement(Struct, frozen=True):
    """One trace: what was predicted, and what that is worth, by name of the predictor."""

    trace: TraceTasks
    scores: Mapping[str, Score]
    columns: Mapping[str, Columns]

    def as_json(self) -> dict[str, object]:
        """The object that the command prints."""
        return {"trace": str(self.trace.path), "tasks": len(self.trace), "predictors": dict(self.scores)}


def measure(
    path: Path,
    predictors: Sequence[str],
    progress: ProgressSink,
    at: Moment = "submit",
    feedback: Feedback = "delayed",
    payload_column: str = "payload_size",
) -> Measurement:
    """Predict, then learn, all of a trace with each predictor in turn.

    Raises `InvalidInput` for a trace that cannot be read, `PredictorUnavailable` and `PredictorFailed`.
    """
    made = {name: make(name) for name in predictors}
    progress.begin(f"reading {path.name}", 1)
    trace = read_tasks(path, at, payload_column)
    schedule = turns(trace.moments_s, trace.ends_s, feedback)
    progress.end(f"{len(trace)} tasks" + (f", {trace.dropped} rows dropped" if trace.dropped else ""))
    scores: dict[str, Score] = {}
    beside: dict[str, Columns] = {}
    for name, predictor in made.items():
        progress.begin(name, len(trace))
        answers = drive(predictor, trace, schedule, lambda done: progress.update(done, f"{done} tasks"))
        beside[name] = columns(trace, answers)
        scores[name] = score(trace, answers, beside[name])
        progress.end(f"{scores[name].within_25 * 100.0:.1f} % within 25 %")
    return Measurement(trace=trace, scores=scores, columns=beside)
