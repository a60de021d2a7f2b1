"""The loop around a predictor: what it hands over, in which order, and how it is timed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nexus_sched.accuracy.drive import REPORT_EVERY, PredictorFailed, drive
from nexus_sched.accuracy.schedule import turns
from nexus_sched.accuracy.tasks import TraceTasks
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.task import Task
from tests.unit.accuracy.traces import row, tasks

PREDICT_S = 0.002


class Witness:
    """Answers the number of runs that it has learned, remembers all calls, and fails on command."""

    name = "witness"
    version = 1
    knows_workers = True

    def __init__(self, fail_at: int = -1) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.runs: list[CompletedRun] = []
        self._fail_at = fail_at

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        if len(self.calls) == self._fail_at:
            raise ValueError("on purpose")
        self.calls.append((task.id, worker, worker_class))
        learned = float(len(self.runs))
        return TaskPrediction(learned, learned, learned, learned, 1.0, "witness", len(self.runs), self.name, 1)

    def learn(self, run: CompletedRun) -> str | None:
        self.runs.append(run)
        return "second" if len(self.runs) == 2 else None

    def snapshot(self) -> bytes:
        return b""

    def restore(self, blob: bytes) -> None: ...

    def digest(self) -> int:
        return len(self.runs)


class Slow(Witness):
    """Takes its time to predict, and none to learn."""

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        time.sleep(PREDICT_S)
        return super().predict(task, worker, worker_class)


def driven(predictor: Witness, trace: TraceTasks):
    return drive(predictor, trace, turns(trace.moments_s, trace.ends_s, "delayed"), lambda done: None)


def test_drive_predicts_for_the_worker_that_ran_it_from_what_was_known(tmp_path: Path):
    witness = Witness()
    rows = [row(0, 0, 10), row(5, 5, 1), row(6, 6, 1), row(30, 30, 1)]
    answers = driven(witness, tasks(tmp_path, rows))
    assert witness.calls == [(str(line), "w-1", "c-1") for line in (2, 3, 4, 5)]
    assert [told.p50_ms for told in answers.predictions if told] == [0.0, 0.0, 1.0, 3.0]


def test_drive_run_carries_the_very_prediction_made_for_it(tmp_path: Path):
    witness = Witness()
    answers = driven(witness, tasks(tmp_path, [row(0, 0, 10), row(5, 5, 1), row(30, 30, 2)]))
    assert [run.task.id for run in witness.runs] == ["3", "2", "4"]  # by end
    assert [run.run_ms for run in witness.runs] == [1_000.0, 10_000.0, 2_000.0]
    assert [run.at_ms for run in witness.runs] == [6_000, 10_000, 32_000]
    told = {line: answers.predictions[index] for index, line in enumerate(("2", "3", "4"))}
    assert all(run.prediction is told[run.task.id] for run in witness.runs)
    assert (witness.runs[0].worker, witness.runs[0].worker_class) == ("w-1", "c-1")


def test_drive_learns_everything_in_the_end_and_hands_on_what_was_said(tmp_path: Path):
    answers = driven(Witness(), tasks(tmp_path, [row(number, number, 100) for number in range(4)]))
    assert (answers.digest, answers.notices) == (4, ["second"])


def test_drive_costs_are_means_of_one_call(tmp_path: Path):
    answers = driven(Slow(), tasks(tmp_path, [row(number, number, 0.5) for number in range(10)]))
    assert answers.predict_ns >= PREDICT_S * 1e9 * 0.9
    assert answers.learn_ns < answers.predict_ns


def test_drive_that_fails_names_predictor_and_line(tmp_path: Path):
    trace = tasks(tmp_path, [row(number, number, 0.5) for number in range(10)])
    with pytest.raises(PredictorFailed, match=r"witness failed predicting .*trace.csv:5: ValueError\('on purpose'\)"):
        driven(Witness(fail_at=3), trace)


def test_drive_reports_its_progress(tmp_path: Path):
    count = 3 * REPORT_EVERY
    trace = tasks(tmp_path, [row(number, number, 0.5) for number in range(count)])
    told: list[int] = []
    drive(Witness(), trace, turns(trace.moments_s, trace.ends_s, "delayed"), told.append)
    assert len(told) == 3
    assert told == sorted(told)
    assert told[-1] == count
