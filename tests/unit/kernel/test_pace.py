"""Paces are learned as their plain twin does it, to the bit; a worker that has changed is noticed within a few runs."""

from __future__ import annotations

import math
from random import Random

import pytest

from nexus_sched._kernel.pace import DEVIATION_MAX, FACTOR_MAX, Paces, WorkerPace, deviation
from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.errors import KernelError
from nexus_sched.testing import oracle_pace
from nexus_sched.testing.oracle import float32_of
from nexus_sched.testing.oracle_pace import PlainPace, PlainRun

RUNS = 400


class Bench:
    """A table with one worker."""

    def __init__(self) -> None:
        self.table = WorkerTable()
        self.row = self.table.join("w", 1, 1, 0.0)
        self.paces = Paces(self.table)
        self.worker = WorkerPace()

    def observe(self, run: PlainRun) -> float:
        return self.paces.observe(self.worker, run.run_ms, run.class_ms, run.p50_ms, run.p95_ms)

    def told(self, run: PlainRun) -> tuple[WorkerPace, int, float, float, float, float, float, float, float, float]:
        return (
            *(self.worker, self.row, run.run_ms, run.class_ms, run.told_pace, run.p50_ms, run.mean_ms, run.p95_ms),
            *(run.p10_ms, run.p90_ms),
        )


def run_of(run_ms: float, p50_ms: float = 100.0, p95_ms: float = 140.0, class_ms: float = 100.0) -> PlainRun:
    return PlainRun(run_ms, class_ms, 1.0, p50_ms, p50_ms, p95_ms, 0.0, 0.0)


def any_run(dice: Random) -> PlainRun:
    """A run as they come, and now and then one as they should not."""
    p50_ms = dice.choice((0.0, 1e-6, 1e9, dice.lognormvariate(4, 1)))
    sigma = dice.choice((0.05, 0.4, 1.5))
    run_ms = dice.choice((0.0, p50_ms, p50_ms * dice.lognormvariate(0, sigma), dice.lognormvariate(4, 3)))
    p10_ms, p90_ms = dice.choice(((0.0, 0.0), (p50_ms * (1 - 0.5 * min(sigma, 1)), p50_ms * (1 + sigma))))
    p95_ms = p50_ms * (1 + 1.6 * sigma)
    class_ms, told_pace = dice.choice((0.0, p50_ms, 50.0)), dice.choice((1.0, 1.3))
    return PlainRun(run_ms, class_ms, told_pace, p50_ms, p50_ms * dice.choice((0.0, 1.0, 1.2)), p95_ms, p10_ms, p90_ms)


def state_of(pace: WorkerPace | PlainPace) -> tuple[object, ...]:
    return pace.factor, pace.doubt, pace.pace, pace.samples, pace.pace_samples, pace.sums


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_taken_in_as_the_twin_does_it(seed: int):
    dice, bench, plain, typical = Random(seed), Bench(), PlainPace(), 1.0
    for _ in range(RUNS):
        run = any_run(dice)
        changed = bench.paces.take(*bench.told(run))
        assert changed == plain.observe(run), f"seed {seed}"
        if changed:
            plain.sums = bench.worker.sums = None
            bench.paces.restart(bench.worker, bench.row, changed, 3)
            plain.samples, plain.pace_samples, plain.pace, plain.doubt = 3, 0, 1.0, 0.09 / 4.0
            plain.factor = min(max(changed, 0.05), 20.0)
            bench.paces.learn(*bench.told(run))
        typical = plain.learn(typical, run)
        assert state_of(bench.worker) == state_of(plain), f"seed {seed}"
        assert bench.paces.typical == typical, f"seed {seed}"
        assert bench.table.factor(bench.row) == float32_of(plain.significant), f"seed {seed}"


def test_deviation_is_the_twin_s():
    dice = Random(1)
    for _ in range(RUNS):
        numbers = dice.lognormvariate(4, 3), dice.lognormvariate(4, 1), dice.lognormvariate(4.5, 1)
        assert deviation(*numbers) == oracle_pace.deviation(*numbers)


def test_sums_survive_being_written_down():
    bench, other = Bench(), Bench()
    assert bench.worker.sums is None
    bench.observe(run_of(500.0))
    other.worker.sums = bench.worker.sums
    assert other.worker.sums == bench.worker.sums == (3.0, 0.0, 1, 500.0, 100.0, 1.0)
    assert other.observe(run_of(600.0)) == bench.observe(run_of(600.0)) == 5.5


def test_more_of_the_last_run_counts_only_while_there_is_one():
    bench = Bench()
    bench.worker.make_good(50.0)
    assert bench.worker.sums is None
    bench.observe(run_of(400.0))
    bench.worker.make_good(50.0)
    bench.worker.make_good(-9.0)
    assert bench.worker.sums is not None
    assert bench.worker.sums[3] == 450.0


def test_row_that_is_not_live_takes_nothing():
    bench = Bench()
    bench.table.leave(bench.row)
    for call in (bench.paces.learn, bench.paces.take):
        with pytest.raises(KernelError, match="not live"):
            call(*bench.told(run_of(500.0)))
    with pytest.raises(KernelError, match="not live"):
        bench.paces.set_factor(bench.worker, bench.row, 2.0)
    assert bench.worker.samples == 0


def test_factor_is_kept_within_its_bounds_and_never_becomes_no_number():
    bench = Bench()
    bench.paces.set_factor(bench.worker, bench.row, 1e9)
    assert bench.worker.factor == FACTOR_MAX
    with pytest.raises(KernelError, match="factor"):
        bench.paces.set_factor(bench.worker, bench.row, float("nan"))
    with pytest.raises(KernelError, match="deviation"):
        deviation(0.0, 100.0, 100.0)


@pytest.mark.parametrize("absurd", [float("inf"), float("nan"), 1e300])
def test_absurd_spread_of_a_prediction_leaves_all_numbers_finite(absurd: float):
    bench = Bench()
    for _ in range(3):
        bench.paces.take(bench.worker, bench.row, 300.0, 100.0, 1.0, 100.0, 100.0, absurd, 0.0, absurd)
    assert all(math.isfinite(each) for each in (bench.worker.factor, bench.worker.doubt, bench.worker.pace))
    assert 0.5 <= bench.paces.typical <= 2.0


def runs_until_alarm(times: float, sigma: float = 0.0, seed: int = 0, runs_max: int = 100) -> int:
    """How many runs of `times` the prediction it takes; `runs_max` if there is no alarm."""
    dice, bench = Random(seed), Bench()
    p95_ms = 100.0 * 2.718281828 ** (1.645 * sigma)
    for number in range(1, runs_max):
        if bench.observe(run_of(100.0 * times * dice.lognormvariate(0.0, sigma), p95_ms=p95_ms)):
            return number
    return runs_max


@pytest.mark.parametrize("times", [5.0, 3.0, 0.2, 1 / 3])
def test_large_change_takes_few_runs(times: float):
    assert 2 <= runs_until_alarm(times) <= 3


@pytest.mark.parametrize("times", [1.6, 0.6])
def test_smaller_change_takes_more_but_is_noticed(times: float):
    assert 3 <= runs_until_alarm(times) <= 10


def test_five_times_slower_is_noticed_under_noise():
    assert max(runs_until_alarm(5.0, 0.35, seed) for seed in range(50)) <= 4


@pytest.mark.parametrize("sigma", [0.1, 0.35, 0.8])
def test_noise_alone_is_rarely_an_alarm(sigma: float):
    quiet = sum(runs_until_alarm(1.0, sigma, seed, runs_max=200) == 200 for seed in range(60))
    assert quiet >= 48


def test_one_wild_run_is_no_alarm():
    bench = Bench()
    assert bench.observe(run_of(1e9)) == 0.0
    for _ in range(4):
        assert bench.observe(run_of(100.0)) == 0.0
    assert bench.worker.sums is None


def test_alarm_tells_the_ratio_of_the_runs_since_the_change():
    bench = Bench()
    for run_ms in (100.0, 110.0, 95.0):
        bench.observe(run_of(run_ms, class_ms=50.0))
    assert bench.worker.sums is None
    assert bench.observe(run_of(500.0, class_ms=50.0)) == 0.0
    assert bench.observe(run_of(600.0, class_ms=50.0)) == pytest.approx(11.0)


@pytest.mark.parametrize(("run_ms", "sign"), [(100.0, 0), (150.0, 1), (70.0, -1), (1e12, 1), (1e-9, -1)])
def test_deviation_is_signed_and_bounded(run_ms: float, sign: int):
    away = deviation(run_ms, 100.0, 140.0)
    assert (away > 0) - (away < 0) == sign
    assert abs(away) <= DEVIATION_MAX
