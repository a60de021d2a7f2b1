"""One predictor through a trace: it predicts and learns by the schedule, and is timed.

Laws of this file: a run hands back the very prediction that was made for it; the loop does nothing between two
readings of the clock but call the predictor, and what the readings and the loop around nothing cost is measured and
taken off. Walking the columns stays in, some 20 ns for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter_ns

from msgspec import Struct

from nexus_sched.accuracy.schedule import Turn
from nexus_sched.accuracy.tasks import TraceTasks
from nexus_sched.core.predictors.base import CompletedRun, Predictor
from nexus_sched.errors import NexusError
from nexus_sched.model.prediction import TaskPrediction

REPORT_EVERY = 1_024  # tasks between two reports of progress
EMPTY_TURNS = 2_001  # timed to know what a turn without tasks costs


class PredictorFailed(NexusError):
    """A predictor raised while it was measured."""

    code = "PREDICTOR_FAILED"


class Answers(Struct, frozen=True):
    """What a predictor answered to each task, what it said, and what it cost."""

    predictions: list[TaskPrediction | None]
    notices: list[str]  # what it wants people to hear: drift, a lying worker
    predict_ns: float  # mean of one call
    learn_ns: float
    digest: int  # of everything learned


def drive(
    predictor: Predictor, trace: TraceTasks, schedule: Sequence[Turn], progress: Callable[[int], None]
) -> Answers:
    """Predict and learn all of a trace. Raises `PredictorFailed` with the line where the predictor gave up."""
    predict, learn = predictor.predict, predictor.learn
    predictions: list[TaskPrediction | None] = []
    notices: list[str] = []
    predict_ns = learn_ns = 0
    report_at = REPORT_EVERY
    for turn in schedule:
        runs = [_run(trace, predictions, index) for index in turn.learned]
        said: list[str | None] = []
        began_ns = perf_counter_ns()
        try:
            said.extend(map(learn, runs))
        except Exception as error:  # whatever a plug-in does wrong, people must read where
            raise _failed(predictor, trace, "learning", turn.learned[len(said)], error) from error
        learn_ns += perf_counter_ns() - began_ns
        notices.extend(text for text in said if text is not None)
        part = slice(turn.first, turn.last)
        tasks, workers, classes = trace.tasks[part], trace.workers[part], trace.classes[part]
        began_ns = perf_counter_ns()
        try:
            predictions.extend(map(predict, tasks, workers, classes))
        except Exception as error:
            raise _failed(predictor, trace, "predicting", len(predictions), error) from error
        predict_ns += perf_counter_ns() - began_ns
        if turn.last >= report_at:
            report_at = turn.last + REPORT_EVERY
            progress(turn.last)
    empty_ns = _empty_turn_ns(predictor) * len(schedule)
    return Answers(
        predictions=predictions,
        notices=notices,
        predict_ns=max(0.0, predict_ns - empty_ns) / len(trace),
        learn_ns=max(0.0, learn_ns - empty_ns) / len(trace),
        digest=predictor.digest(),
    )


def _run(trace: TraceTasks, predictions: Sequence[TaskPrediction | None], index: int) -> CompletedRun:
    return CompletedRun(
        trace.tasks[index],
        trace.workers[index] or "",
        trace.classes[index],
        trace.run_ms[index],
        trace.learned_at_ms[index],
        predictions[index],
    )


def _empty_turn_ns(predictor: Predictor) -> float:
    """What two readings of the clock and the calls between them cost, with no task among them."""
    nothing: list[CompletedRun] = []
    said: list[str | None] = []
    costs_ns = []
    for _ in range(EMPTY_TURNS):
        began_ns = perf_counter_ns()
        said.extend(map(predictor.learn, nothing))
        costs_ns.append(perf_counter_ns() - began_ns)
    return median(costs_ns)


def _failed(predictor: Predictor, trace: TraceTasks, act: str, index: int, error: Exception) -> PredictorFailed:
    return PredictorFailed(f"{predictor.name} failed {act} {trace.path}:{trace.lines[index]}: {error!r}")
