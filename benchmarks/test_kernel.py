"""What a decision costs in the compiled kernel, beside the speed of light and beside numpy.

The C loops are timed without Python: `LOOP_PASSES` passes are one round, so their figures are in passes, and only
their ratios have a budget.
"""

from __future__ import annotations

import ctypes
import random
from array import array
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from nexus_sched._kernel.digest import digest64
from nexus_sched._kernel.estimator_table import EstimatorTable
from nexus_sched._kernel.scorer import Scorer
from nexus_sched._kernel.worker_table import WorkerTable

LOOP_PASSES = 1000
BLOCK_ROWS, LANES = 256, 32
CACHE_LINE_FLOATS = 16
QUESTION = (10.0, 2.0, 0.1, 2.0)  # run_ms, wait_weight, near_tie_share, near_tie_ms


class LoopColumns:
    """Aligned columns as the tables allocate them, each one cache line behind the last."""

    def __init__(self, blocks: int) -> None:
        rows = blocks * BLOCK_ROWS
        dice = random.Random(blocks)
        stride = rows + CACHE_LINE_FLOATS
        self.blocks = blocks
        self.memory = np.zeros(8 * stride + CACHE_LINE_FLOATS, np.float32)
        skip = -self.memory.ctypes.data // 4 % CACHE_LINE_FLOATS
        starts = [skip + index * stride for index in range(8)]
        for start, scale in zip(starts[:3], (100.0, 1.0, 5.0), strict=True):
            self.memory[start : start + rows] = [dice.random() * scale for _ in range(rows)]
        self.memory[starts[4] + rows - 1] = -1.0  # the least load is in the last row: the worst case of a selection
        address = self.memory.ctypes.data
        self.pointers = (ctypes.c_void_p * 8)(*(address + 4 * start for start in starts))

    def arguments(self) -> tuple[Any, ...]:
        return self.pointers, ctypes.c_ssize_t(self.blocks), ctypes.c_ssize_t(LOOP_PASSES)


@pytest.mark.parametrize("blocks", [4, 16], ids=["1000_workers", "4000_workers"])
def test_loop_read(benchmark: BenchmarkFixture, loops: ctypes.CDLL, blocks: int):
    columns = LoopColumns(blocks)
    benchmark.pedantic(loops.repeat_read, columns.arguments(), rounds=200, warmup_rounds=20)


@pytest.mark.parametrize("blocks", [4, 16], ids=["1000_workers", "4000_workers"])
def test_loop_score(benchmark: BenchmarkFixture, loops: ctypes.CDLL, blocks: int):
    columns = LoopColumns(blocks)
    benchmark.pedantic(loops.repeat_score, columns.arguments(), rounds=200, warmup_rounds=20)


@pytest.mark.parametrize("classes", [4, 1000], ids=["4_classes", "1000_classes"])
@pytest.mark.parametrize("blocks", [4, 16], ids=["1000_workers", "4000_workers"])
def test_loop_score_all(benchmark: BenchmarkFixture, loops: ctypes.CDLL, blocks: int, classes: int):
    """With a mean for each class, balance and an extra column."""
    columns = LoopColumns(blocks)
    dice = random.Random(classes)
    index = array("i", (dice.randrange(classes) for _ in range(blocks * BLOCK_ROWS)))
    means = array("f", (dice.lognormvariate(4, 1) for _ in range(classes)))
    by_class = (
        ctypes.c_void_p(index.buffer_info()[0]),
        ctypes.c_void_p(means.buffer_info()[0]),
        ctypes.c_ssize_t(classes),
    )
    benchmark.pedantic(loops.repeat_score_all, (*columns.arguments(), *by_class), rounds=200, warmup_rounds=20)


@pytest.mark.parametrize("blocks", [4, 16], ids=["1000_workers", "4000_workers"])
def test_loop_select_all_tie(benchmark: BenchmarkFixture, loops: ctypes.CDLL, blocks: int):
    columns = LoopColumns(blocks)
    loops.repeat_score(*columns.arguments())
    arguments = (*columns.arguments(), ctypes.c_float(1e9))
    row = benchmark.pedantic(loops.repeat_select, arguments, rounds=200, warmup_rounds=20)
    assert row == (blocks * BLOCK_ROWS - 1) * LOOP_PASSES


def fleet(workers: int, alike: bool) -> WorkerTable:
    dice = random.Random(workers)
    table = WorkerTable()
    for index in range(workers):
        row = table.join(f"worker-{index}", 4, 5, 0.0)
        if not alike:
            table.set_factor(row, dice.lognormvariate(0, 0.35))
            for _ in range(dice.randrange(5)):
                table.book(row, dice.lognormvariate(3, 1))
    return table


class NumpyScorer:
    """The same decision with numpy: preallocated columns, few temporaries, the same answer."""

    def __init__(self, table: WorkerTable) -> None:
        names = ("wait_ms", "factor", "bias_ms", "closed", "load")
        self.wait_ms, self.factor, self.bias_ms, self.closed, self.load = (table.column(name) for name in names)
        self.scores, self.scratch = np.empty_like(self.wait_ms), np.empty_like(self.wait_ms)

    def choose(self, run_ms: float, wait_weight: float, share: float, near_tie_ms: float, rotation: int) -> int:
        np.multiply(self.wait_ms, np.float32(wait_weight), out=self.scores)
        np.multiply(self.factor, np.float32(run_ms), out=self.scratch)
        np.add(self.scores, self.scratch, out=self.scores)
        np.add(self.scores, self.bias_ms, out=self.scores)
        np.add(self.scores, self.closed, out=self.scores)
        margin = max(np.float32(share) * np.float32(run_ms), np.float32(near_tie_ms))
        near_ties = np.flatnonzero(self.scores <= self.scores.min() + margin)
        loads = self.load[near_ties]
        best = near_ties[loads == loads.min()]
        return int(best[np.searchsorted(best, rotation) % len(best)])


@pytest.mark.parametrize("alike", [False, True], ids=["few_tie", "all_tie"])
@pytest.mark.parametrize("workers", [1000, 4000])
def test_choose(benchmark: BenchmarkFixture, workers: int, alike: bool):
    table = fleet(workers, alike)
    row = benchmark(Scorer(table).choose, *QUESTION, workers // 2)
    assert row == NumpyScorer(table).choose(*QUESTION, workers // 2)


@pytest.mark.parametrize("alike", [False, True], ids=["few_tie", "all_tie"])
def test_choose_numpy(benchmark: BenchmarkFixture, alike: bool):
    table = fleet(1000, alike)
    row = benchmark(NumpyScorer(table).choose, *QUESTION, 500)
    assert row == Scorer(table).choose(*QUESTION, 500)


def test_choose_single_calls(benchmark: BenchmarkFixture):
    scorer = Scorer(fleet(1000, alike=False))
    benchmark.pedantic(scorer.choose, (*QUESTION, 500), rounds=20_000, warmup_rounds=1000)


def test_book_and_settle(benchmark: BenchmarkFixture):
    table = fleet(1000, alike=True)

    def book_and_settle() -> None:
        table.book(500, 12.5)
        table.settle(500, 12.5)

    benchmark(book_and_settle)
    assert table.in_flight(500) == 0


def trained() -> EstimatorTable:
    table = EstimatorTable()
    for index in range(1000):
        table.learn(f"type-{index}", 10.0 + index)
    return table


def test_learn(benchmark: BenchmarkFixture):
    table = trained()
    benchmark(table.learn, "type-500", 12.5)
    assert len(table) == 1000


def test_estimate(benchmark: BenchmarkFixture):
    estimate = benchmark(trained().estimate, "type-500")
    assert estimate is not None
    assert estimate.mean_ms == 510.0


def test_mean_ms(benchmark: BenchmarkFixture):
    assert benchmark(trained().mean_ms, "type-500") == 510.0


def test_table_digest(benchmark: BenchmarkFixture):
    table = fleet(1000, alike=False)
    assert benchmark(table.digest) == digest64(table.snapshot())


def test_digest_of_64_kib(benchmark: BenchmarkFixture):
    data = array("Q", range(8192)).tobytes()
    assert benchmark(digest64, data) == digest64(data)
