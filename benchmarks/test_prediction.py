"""What a prediction and a lesson cost: 200 types, 1000 workers in five classes, sizes that matter for half the types.

Each round walks through CALLS different (type, worker, size) in random order, so that nothing is warm by luck: 200
histories of 4 KiB are more than a first-level cache. The figures are of the whole walk; divide by CALLS for one call.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from nexus_sched._kernel.history_table import HistoryTable
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task

TYPES, WORKERS, CALLS = 200, 1000, 1000
RUNS_PER_TYPE = 500  # every ring is full

Like = tuple[str, float, str, str]


def traffic(seed: int, calls: int) -> list[tuple[Like, float]]:
    """Random runs: half of the types scale with size, classes differ by 1.5, the noise is a tenth."""
    dice = random.Random(seed)
    runs = []
    for _ in range(calls):
        number, worker = dice.randrange(TYPES), dice.randrange(WORKERS)
        payload = float(int(2.0 ** dice.uniform(8, 18))) if number % 2 else 0.0
        run_ms = 1.5 ** (worker % 5) * (50.0 + number + payload / 100.0) * dice.lognormvariate(0, 0.1)
        runs.append(((f"type-{number}", payload, f"class-{worker % 5}", f"worker-{worker}"), run_ms))
    return runs


@pytest.fixture(scope="module")
def table() -> HistoryTable:
    taught = HistoryTable()
    for step, (like, run_ms) in enumerate(traffic(1, TYPES * RUNS_PER_TYPE)):
        told = taught.predict(*like) if step % 4 == 0 else None
        if told is None:
            taught.push(*like, run_ms)
        else:
            taught.learn(*like, run_ms, told.p10_ms, told.p90_ms, told.samples, told.p50_ms)
    return taught


@pytest.fixture(scope="module")
def predictor() -> LearnedPredictor:
    taught = LearnedPredictor(EngineSettings())
    for like, run_ms in traffic(1, TYPES * RUNS_PER_TYPE):
        task = Task("id", like[0], 5, int(like[1]), 0)
        told = taught.predict(task, like[3], like[2])
        taught.learn(CompletedRun(task, like[3], like[2], run_ms, 0, told))
    return taught


def walk(act: Any, arguments: list[tuple[Any, ...]]) -> None:
    for argument in arguments:
        act(*argument)


def test_predict_1000_from_histories(benchmark: BenchmarkFixture, table: HistoryTable):
    benchmark.pedantic(walk, (table.predict, [like for like, _ in traffic(2, CALLS)]), rounds=60, warmup_rounds=5)
    assert len(table) == TYPES


def test_learn_1000_into_histories(benchmark: BenchmarkFixture, table: HistoryTable):
    lessons: list[tuple[Any, ...]] = []
    for like, run_ms in traffic(3, CALLS):
        told = table.predict(*like)
        assert told is not None
        lessons.append((*like, run_ms, told.p10_ms, told.p90_ms, -1, told.p50_ms))
    benchmark.pedantic(walk, (table.learn, lessons), rounds=60, warmup_rounds=5)
    assert len(table) == TYPES


def test_predict_1000_learned(benchmark: BenchmarkFixture, predictor: LearnedPredictor):
    asked = [(Task("id", like[0], 5, int(like[1]), 0), like[3], like[2]) for like, _ in traffic(2, CALLS)]
    benchmark.pedantic(walk, (predictor.predict, asked), rounds=60, warmup_rounds=5)


def test_learn_1000_learned(benchmark: BenchmarkFixture, predictor: LearnedPredictor):
    lessons = []
    for like, run_ms in traffic(3, CALLS):
        task = Task("id", like[0], 5, int(like[1]), 0)
        told = predictor.predict(task, like[3], like[2])
        lessons.append((CompletedRun(task, like[3], like[2], run_ms, 0, told),))
    benchmark.pedantic(walk, (predictor.learn, lessons), rounds=60, warmup_rounds=5)
