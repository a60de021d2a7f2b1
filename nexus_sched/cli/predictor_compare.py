"""`nexus-sched predictor compare`: two predictors on the same recorded tasks, and who wins by how much.

Law: both see the same tasks in the same order, learn each result when it was there (the harness of `bench predict`),
and are scored on the same last part. Gradient boosting is trained on what had ended before that part began.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from nexus_sched.accuracy.drive import Answers, drive
from nexus_sched.accuracy.schedule import Feedback, turns
from nexus_sched.accuracy.score import Columns, columns
from nexus_sched.accuracy.tasks import Moment, TraceTasks, read_tasks
from nexus_sched.cli import exit_codes
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.cli.predictor_train import progress_console, runs_of
from nexus_sched.core.predictors.base import Predictor
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.errors import InvalidInput
from nexus_sched.model.settings import EngineSettings
from nexus_sched.plugins import model_file
from nexus_sched.plugins.boosting import BoostingPredictor
from nexus_sched.plugins.catalogue import BOOSTING, Catalogue
from nexus_sched.plugins.contest import Verdict, judge
from nexus_sched.plugins.retrained import RetrainedPredictor
from nexus_sched.plugins.training import train

RETRAINED = "boosting-daily"


def compare(
    candidate: str,
    present: str,
    /,
    *,
    trace: Path,
    model: Path | None = None,
    score_from: float = 0.5,
    at: Moment = "submit",
    feedback: Feedback = "delayed",
    payload_column: str = "payload_size",
    require_better: Annotated[bool, Parameter(show_default=False)] = False,
    json: Annotated[bool, Parameter(name="--json", show_default=False)] = False,
) -> int:
    """Compare two predictors on a trace, by the share of tasks within 25 %.

    Exits with code 10 if --require-better is given and the candidate is not better beyond doubt.

    Parameters
    ----------
    candidate
        Name of a predictor, or module:factory. `boosting` is trained on the tasks before the scored part;
        `boosting-daily` trains again every day of the trace.
    present
        The predictor it has to beat.
    trace
        File in the trace format: CSV, or its gzip.
    model
        Model file for `boosting`, instead of training one. It should not have been trained on this trace.
    score_from
        Share of the tasks that are predicted and learned, but not scored.
    at
        The moment of prediction. Known by then are the results of runs that had ended.
    feedback
        immediate learns every result as soon as it was predicted, which flatters.
    payload_column
        Column that holds the size of the payload.
    require_better
        Fail unless the candidate is better, with 95 % confidence.
    json
        Print one JSON object on standard output.
    """
    if not 0.0 <= score_from < 1.0:
        raise InvalidInput("--score-from is a share from 0 to below 1")
    with ProgressDisplay(progress_console()) as progress:
        progress.begin(f"reading {trace.name}", 1)
        tasks = read_tasks(trace, at, payload_column)
        first = int(len(tasks) * score_from)
        progress.end(f"{len(tasks)} tasks, {len(tasks) - first} of them scored")
        schedule = turns(tasks.moments_s, tasks.ends_s, feedback)
        found: dict[str, tuple[Answers, Columns]] = {}
        for name in dict.fromkeys((candidate, present)):
            predictor = contender(name, tasks, first, model)
            progress.begin(name, len(tasks))
            answers = drive(predictor, tasks, schedule, lambda done: progress.update(done, f"{done} tasks"))
            found[name] = answers, columns(tasks, answers)
            progress.end("done")
    hits = {name: beside.hit[first:].tolist() for name, (_, beside) in found.items()}
    verdict = judge(candidate, present, hits[candidate], hits[present])
    sides = {name: _side(answers, beside, first) for name, (answers, beside) in found.items()}
    if json:
        print_json({"trace": str(trace), "verdict": verdict, "predictors": sides})
    else:
        _print(verdict, sides)
    if require_better and verdict.winner != candidate:
        note(f"{candidate} is not better than {present} beyond doubt: it is not to be promoted")
        return exit_codes.GATE_FAILED
    return exit_codes.OK


def contender(name: str, tasks: TraceTasks, first: int, model: Path | None) -> Predictor:
    """A predictor that has seen nothing but, if it is `boosting`, what had ended before task `first`."""
    settings = EngineSettings(predictor=name)
    if name == RETRAINED:
        return RetrainedPredictor(settings)
    if name == BOOSTING and model is None:
        return BoostingPredictor(settings, _trained_before(tasks, first))
    catalogue = Catalogue([name], model)
    return catalogue[catalogue.resolve(name)](settings)


def _trained_before(tasks: TraceTasks, first: int) -> bytes:
    """A model of the tasks before `first` whose results were there when that one was predicted.

    What ran of late is taken out of it: the harness lets every predictor learn that from the first task on.
    """
    runs = runs_of(tasks, first)
    began_s = tasks.moments_s[first]
    if began_s is not None:
        ended = [end_s is None or end_s <= began_s for end_s in tasks.ends_s[:first]]
        runs = [run for run, known in zip(runs, ended, strict=True) if known]
    file = model_file.unpack(train(runs, trained_at="", source=f"the first {first} tasks"), "the model")
    return model_file.pack(file.header, [], file.trees)


def _side(answers: Answers, beside: Columns, first: int) -> dict[str, float | None]:
    """What is told of one predictor, over the scored part."""
    usable = beside.usable[first:]
    actual, predicted = beside.actual_ms[first:][usable], beside.predicted_ms[first:][usable]
    low, high = beside.quantiles_ms["p10"][first:][usable], beside.quantiles_ms["p90"][first:][usable]
    some = bool(usable.any())
    return {
        "within_25": float(np.mean(beside.hit[first:])),
        "coverage": float(np.mean(usable)),
        "median_ape": float(np.median(np.abs(predicted / actual - 1.0))) if some else None,
        "interval_80_coverage": float(np.mean((low <= actual) & (actual <= high))) if some else None,
        "predict_ns": answers.predict_ns,
        "learn_ns": answers.learn_ns,
    }


def _print(verdict: Verdict, sides: dict[str, dict[str, float | None]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(f"{verdict.tasks} tasks")
    for name in sides:
        table.add_column(name, justify="right")
    for label, key, scale, unit in (
        ("within 25 %", "within_25", 100.0, " %"),
        ("tasks with a prediction", "coverage", 100.0, " %"),
        ("median error", "median_ape", 100.0, " %"),
        ("interval 80 % holds", "interval_80_coverage", 100.0, " %"),
        ("predict", "predict_ns", 1e-3, " us"),
        ("learn", "learn_ns", 1e-3, " us"),
    ):
        cells = [side[key] for side in sides.values()]
        table.add_row(label, *("-" if cell is None else f"{cell * scale:.1f}{unit}" for cell in cells))
    output = console()
    output.print(table)
    output.print(words(verdict), markup=False, soft_wrap=True)


def words(verdict: Verdict) -> str:
    """The verdict in a sentence."""
    points, low, high = (100.0 * value for value in (verdict.difference, verdict.low, verdict.high))
    interval = f"{points:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}"
    if not verdict.winner:
        return f"undecided between {verdict.candidate} and {verdict.present}: {interval}"
    loser = verdict.present if verdict.winner == verdict.candidate else verdict.candidate
    return f"{verdict.winner} wins over {loser}; {verdict.candidate} against {verdict.present}: {interval}"
