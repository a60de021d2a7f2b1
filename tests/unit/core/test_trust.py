"""Workers that report wrong times: flagged, without weight on others, and believed again once honest.

The stories: a liar that is slow or fast by a hundred, rare or with most of the runs; a change of regime that hits
everybody, which is no lie; a payload of a rare size, which is no lie either.
"""

from __future__ import annotations

import random

import pytest

from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.core.predictors.trust import STRIKES_MAX, WORKERS_MAX, Trust
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task

HONEST = [f"w{index}" for index in range(6)]


class Pool:
    """Workers of unequal speed, and the predictor that hears of their runs."""

    def __init__(self, seed: int, noise: float, sized: bool = False) -> None:
        self.dice = random.Random(seed)
        self.noise, self.sized = noise, sized
        self.predictor = LearnedPredictor(EngineSettings())
        self.pace = {worker: self.dice.lognormvariate(0, 0.3) for worker in [*HONEST, "liar"]}
        self.notes: list[str] = []

    def run(self, worker: str, factor: float = 1.0) -> None:
        payload = int(2 ** self.dice.uniform(0, 16)) if self.sized else 0
        of = Task("id", "t", 5, payload, 0)
        told = self.predictor.predict(of, worker, "c")
        law = 0.01 + payload / 1000 if self.sized else 1.0
        true_ms = self.dice.lognormvariate(5, self.noise) * self.pace[worker] * law
        note = self.predictor.learn(CompletedRun(of, worker, "c", true_ms * factor, 0, told))
        if note is not None:
            self.notes.append(note)

    def honest_runs(self, runs: int, share: float) -> None:
        for _ in range(runs):
            self.run("liar" if self.dice.random() < share else self.dice.choice(HONEST))

    def p50_ms(self) -> list[float]:
        asked = [(worker, size) for worker in HONEST for size in ((20, 500, 9000) if self.sized else (0,))]
        told = [self.predictor.predict(Task("id", "t", 5, size, 0), worker, "c") for worker, size in asked]
        return [prediction.p50_ms for prediction in told if prediction is not None]


@pytest.mark.parametrize("noise", [0.15, 0.3])
@pytest.mark.parametrize("sized", [False, True], ids=["plain", "sized"])
@pytest.mark.parametrize("share", [0.1, 0.8], ids=["rare", "most"])
@pytest.mark.parametrize("factor", [100.0, 0.01], ids=["slow", "fast"])
def test_liar_is_flagged_and_most_estimates_of_the_others_stay_within_2_percent(
    factor: float, share: float, sized: bool, noise: float
):
    moved, flagged, pools = [], 0, 8
    for seed in range(pools):
        pool = Pool(seed, noise, sized)
        pool.honest_runs(400, share)
        before = pool.p50_ms()
        for _ in range(60):
            pool.run("liar", factor)
        after = pool.p50_ms()
        flagged += any(note.startswith("distrust: worker liar ") for note in pool.notes)
        assert not any(note.startswith("distrust: worker w") for note in pool.notes), f"seed {seed}"
        moved += [abs(new / old - 1.0) for new, old in zip(after, before, strict=True)]
    assert flagged == pools
    moved.sort()
    # Sixty runs also age what came before; where sizes scatter, that alone moves one estimate in ten by a little.
    assert moved[int((0.8 if sized else 0.9) * len(moved))] < 0.02, moved[-8:]


def test_liar_that_turns_honest_is_believed_again():
    pool = Pool(3, 0.15)
    pool.honest_runs(300, 0.2)
    for _ in range(40):
        pool.run("liar", 100.0)
    assert not pool.predictor._trust.believes("liar")
    for _ in range(10):
        pool.run("liar")
    assert pool.predictor._trust.believes("liar")
    for _ in range(20):
        pool.run("liar")
    assert pool.predictor._trust.strikes == {}


@pytest.mark.parametrize("factor", [100.0, 0.01])
@pytest.mark.parametrize("workers", [1, 2, 3, 10, 100])
def test_change_of_regime_is_learned_and_not_distrusted(workers: int, factor: float):
    dice = random.Random(workers)
    predictor = LearnedPredictor(EngineSettings())
    told = None
    for step in range(700):
        of = Task("id", "t", 5, 0, 0)
        worker = f"w{dice.randrange(workers)}"
        told = predictor.predict(of, worker, "c")
        run_ms = dice.lognormvariate(5, 0.15) * (factor if step >= 400 else 1.0)
        predictor.learn(CompletedRun(of, worker, "c", run_ms, 0, told))
        if step > 450:
            assert told is not None
            assert told.p50_ms == pytest.approx(148.4 * factor, rel=0.35), f"step {step}"
    assert all(predictor._trust.believes(f"w{worker}") for worker in range(workers))


def test_slow_machine_is_not_a_liar():
    pool = Pool(5, 0.3)
    pool.pace["liar"] = 15.0
    pool.honest_runs(2000, 0.2)
    assert not any(note.startswith("distrust") for note in pool.notes)


def test_rare_sizes_are_no_lies():
    pool = Pool(6, 0.3, sized=True)
    pool.honest_runs(3000, 0.1)
    assert not any(note.startswith("distrust") for note in pool.notes)


def test_fifth_strike_ends_the_belief_and_says_so_once():
    trust = Trust()
    said = [trust.strike("w") for _ in range(20)]
    assert [index for index, note in enumerate(said) if note] == [int(STRIKES_MAX) - 1]
    assert not trust.believes("w")
    assert trust.believes("other")
    honest = 0
    while not trust.believes("w"):
        trust.redeem("w")
        honest += 1
    assert honest == 3
    for _ in range(30):
        trust.redeem("w")
    assert trust.strikes == {}


def test_worker_struck_longest_ago_is_forgotten_first():
    trust = Trust()
    for index in range(WORKERS_MAX + 10):
        trust.strike(f"w{index}")
        trust.strike("steady")
    assert len(trust.strikes) <= WORKERS_MAX
    assert "w0" not in trust.strikes
    assert not trust.believes("steady")
