"""Workers that report wrong times: flagged, without weight on others, and believed again once honest.

The stories: a liar that is slow or fast by a hundred, rare or with most of the runs, that starts late or has never told
the truth; a change of regime that hits everybody, which is no lie; a payload of a rare size, which is no lie either.

What a lie has moved is told by a control: the same pool and the same runs, but for the lies. Not the lies told
honestly: true runs of the liar would teach something about the type and age the rings, and so move estimates by
what is true.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.core.predictors.quarantine import HELD_BY_WORKER_MAX, HELD_MAX, WAIT_RUNS_MAX, HeldRun, Quarantine
from nexus_sched.core.predictors.quarantine import TYPES_MAX as HELD_TYPES_MAX
from nexus_sched.core.predictors.trust import STRIKES_MAX, WORKERS_MAX, Trust
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task

HONEST = [f"w{index}" for index in range(6)]
POOLS = 12


class Run(NamedTuple):
    """One run of a story."""

    worker: str
    payload_bytes: int
    run_ms: float
    lie: bool


class Pool:
    """Workers of unequal speed; what they run is the same for every predictor that hears of it."""

    def __init__(self, seed: int, noise: float, sized: bool = False, pace: dict[str, float] | None = None) -> None:
        self.dice = random.Random(seed)
        self.noise, self.sized = noise, sized
        self.pace = {worker: self.dice.lognormvariate(0, 0.3) for worker in [*HONEST, "liar"]} | (pace or {})

    def run(self, worker: str, factor: float = 1.0) -> Run:
        payload = int(2 ** self.dice.uniform(0, 16)) if self.sized else 0
        law = 0.01 + payload / 1000 if self.sized else 1.0
        true_ms = self.dice.lognormvariate(5, self.noise) * self.pace[worker] * law
        return Run(worker, payload, true_ms * factor, factor != 1.0)

    def runs(self, count: int, share: float, factor: float = 1.0) -> list[Run]:
        """`share` of them the liar's, `factor` times out of the truth; the others' are honest."""
        return [
            self.run("liar", factor) if self.dice.random() < share else self.run(self.dice.choice(HONEST))
            for _ in range(count)
        ]


class Listener:
    """A predictor that hears of runs, each predicted first."""

    def __init__(self) -> None:
        self.predictor = LearnedPredictor(EngineSettings())
        self.notes: list[str] = []

    def hear(self, *runs: Run, worker_class: str = "c") -> None:
        for run in runs:
            of = Task("id", "t", 5, run.payload_bytes, 0)
            told = self.predictor.predict(of, run.worker, worker_class)
            note = self.predictor.learn(CompletedRun(of, run.worker, worker_class, run.run_ms, 0, told))
            if note is not None:
                self.notes.append(note)

    def distrusted(self) -> set[str]:
        return {note.split()[2] for note in self.notes if note.startswith("distrust: worker ")}

    def p50_ms(self, sized: bool) -> dict[tuple[str, str, int], float]:
        """Of every honest worker and one that is new, for this type and for one that is known by its family only."""
        told = {}
        for task_type in ("t", "new"):
            for worker in [*HONEST, "new"]:
                for size in (20, 500, 9000) if sized else (0,):
                    prediction = self.predictor.predict(Task("id", task_type, 5, size, 0), worker, "c")
                    assert prediction is not None
                    told[task_type, worker, size] = prediction.p50_ms
        return told


def moved_by_lies(runs: list[Run], sized: bool) -> tuple[float, Listener]:
    """The largest share by which the lies have moved an estimate of anybody else's; and who has heard them."""
    lied, control = Listener(), Listener()
    lied.hear(*runs)
    control.hear(*(run for run in runs if not run.lie))
    truth = control.p50_ms(sized)
    return max(abs(told / truth[asked] - 1.0) for asked, told in lied.p50_ms(sized).items()), lied


def late(pool: Pool, share: float, factor: float) -> list[Run]:
    """Honest for long; then lies alone, and among honest runs."""
    alone = pool.runs(400, share), [pool.run("liar", factor) for _ in range(30)]
    return [*alone[0], *alone[1], *pool.runs(60, share, factor)]


def from_the_first(pool: Pool, share: float, factor: float) -> list[Run]:
    """Never told the truth, and was there first: nobody to compare with."""
    return [pool.run("liar", factor), *pool.runs(400, share, factor)]


@pytest.mark.parametrize("noise", [0.15, 0.3])
@pytest.mark.parametrize("sized", [False, True], ids=["plain", "sized"])
@pytest.mark.parametrize("share", [0.1, 0.8], ids=["rare", "most"])
@pytest.mark.parametrize("factor", [100.0, 0.01], ids=["slow", "fast"])
@pytest.mark.parametrize("story", [late, from_the_first])
def test_liar_is_flagged_and_every_estimate_of_the_others_stays_within_2_percent(
    story, factor: float, share: float, sized: bool, noise: float
):
    for seed in range(POOLS):
        moved, lied = moved_by_lies(story(Pool(seed, noise, sized), share, factor), sized)
        assert lied.distrusted() == {"liar"}, f"seed {seed}"
        assert moved < 0.02, f"seed {seed}"


@pytest.mark.parametrize("factor", [100.0, 0.01], ids=["slow", "fast"])
def test_late_liar_beside_a_slow_machine_moves_nobody(factor: float):
    for seed in range(POOLS):
        runs = late(Pool(seed, 0.15, pace={"w5": 15.0}), 0.1, factor)
        moved, lied = moved_by_lies(runs, sized=False)
        assert lied.distrusted() == {"liar"}, f"seed {seed}"
        assert moved < 0.02, f"seed {seed}"


@pytest.mark.parametrize("honest", [2, 3])
def test_liar_that_was_alone_is_convicted_once_two_others_contradict(honest: int):
    pool, listener = Pool(1, 0.15), Listener()
    listener.hear(*(pool.run("liar", 100.0) for _ in range(400)))
    assert listener.distrusted() == set(), "nobody can tell"
    for _ in range(20):
        listener.hear(*(pool.run(worker) for worker in HONEST[:honest]), pool.run("liar", 100.0))
    assert listener.distrusted() == {"liar"}
    assert listener.predictor._types.types_of("liar") == []
    assert listener.predictor._families.types_of("liar") == []


def test_between_two_workers_nobody_can_tell_who_lies():
    pool, listener = Pool(2, 0.15), Listener()
    for _ in range(200):
        listener.hear(pool.run("w0"), pool.run("liar", 100.0))
    assert listener.distrusted() == set()
    assert listener.predictor._quarantine.held == {}


def test_lies_in_another_type_are_struck_out_when_others_run_it():
    pool, listener = Pool(3, 0.15), Listener()
    listener.hear(*pool.runs(300, 0.1))
    for _ in range(40):  # only the liar runs this type: nobody can tell
        listener.predictor.learn(CompletedRun(Task("id", "other", 5, 0, 0), "liar", "c", 9e5, 0))
    listener.hear(*(pool.run("liar", 100.0) for _ in range(10)))
    assert listener.distrusted() == {"liar"}
    assert "other" in listener.predictor._stained
    for step in range(40):
        listener.predictor.learn(CompletedRun(Task("id", "other", 5, 0, 0), HONEST[step % 6], "c", 100.0 + step, 0))
    assert listener.predictor._stained == {}
    told = listener.predictor.predict(Task("id", "other", 5, 0, 0), "new", "c")
    assert told is not None
    assert told.p50_ms == pytest.approx(120.0, rel=0.2)


def test_liar_that_turns_honest_is_believed_again():
    pool, listener = Pool(3, 0.15), Listener()
    trust = listener.predictor._trust
    listener.hear(*pool.runs(300, 0.2), *(pool.run("liar", 100.0) for _ in range(40)))
    assert not trust.believes("liar")
    listener.hear(*(pool.run("liar") for _ in range(10)))
    assert trust.believes("liar")
    listener.hear(*(pool.run("liar") for _ in range(20)))
    assert trust.strikes == {}


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
    pool, listener = Pool(5, 0.3, pace={"liar": 20.0}), Listener()
    listener.hear(*pool.runs(2000, 0.2))
    assert listener.distrusted() == set()
    known = listener.predictor.predict(Task("id", "t", 5, 0, 0), "liar", "c")
    assert known is not None
    assert known.p50_ms == pytest.approx(20.0 * 148.4, rel=0.25)


def test_rare_sizes_are_no_lies():
    pool, listener = Pool(6, 0.3, sized=True), Listener()
    listener.hear(*pool.runs(3000, 0.1))
    assert listener.distrusted() == set()


def test_slow_mode_that_several_workers_see_is_taught_after_all():
    """One run in ten takes a hundred times as long, whoever runs it: what four workers have seen is no lie."""
    pool, listener = Pool(7, 0.15), Listener()
    for _ in range(1500):
        listener.hear(pool.run(pool.dice.choice(HONEST), 100.0 if pool.dice.random() < 0.1 else 1.0))
    assert listener.distrusted() == set()
    told = listener.predictor.predict(Task("id", "t", 5, 0, 0), "w0", "c")
    assert told is not None
    assert told.p50_ms < 1000.0 < told.p95_ms


def test_runs_that_wait_are_taught_in_order_once_confirmed_and_their_workers_acquitted():
    pool, listener = Pool(8, 0.15), Listener()
    listener.hear(*pool.runs(300, 0.1))
    samples = listener.predictor._types.samples("t")
    for worker in HONEST[:3]:
        listener.hear(pool.run(worker, 100.0))
    assert [each.worker for each in listener.predictor._quarantine.held["t"]] == HONEST[:3]
    assert listener.predictor._types.samples("t") == samples
    listener.hear(pool.run(HONEST[3], 100.0))
    assert listener.predictor._quarantine.held == {}
    assert listener.predictor._types.samples("t") == samples + 4
    assert listener.predictor._trust.strikes == {}


def test_snapshot_amid_doubts_goes_on_bit_for_bit():
    pool = Pool(9, 0.3, sized=True)
    runs = from_the_first(pool, 0.5, 100.0) + late(pool, 0.3, 0.01)
    steady, restored = Listener(), Listener()
    held = 0
    for run in runs:
        steady.hear(run)
        restored.hear(run)
        blob = restored.predictor.snapshot()
        restored.predictor = LearnedPredictor(EngineSettings())
        restored.predictor.restore(blob)
        held += bool(restored.predictor._quarantine.held)
    assert held > 100
    assert restored.predictor.snapshot() == steady.predictor.snapshot()
    assert restored.predictor.digest() == steady.predictor.digest()
    assert restored.notes == steady.notes


def held_run(worker: str, samples: int = 0) -> HeldRun:
    return HeldRun(0, "c", worker, 5.0, samples)


def test_quarantine_is_bounded_by_worker_by_type_and_by_age():
    quarantine = Quarantine()
    quarantine.hold("t", held_run("early"))
    for index in range(50):
        quarantine.hold("t", held_run("liar", index))
    waiting = quarantine.held["t"]
    assert [each.worker for each in waiting] == ["early"] + ["liar"] * HELD_BY_WORKER_MAX
    assert waiting[-1].samples == 49
    for index in range(50):
        quarantine.hold("t", held_run(f"w{index}", 1000))
    assert len(quarantine.held["t"]) == HELD_MAX
    assert len(quarantine.fresh("t", 1000 + WAIT_RUNS_MAX)) == HELD_MAX
    assert quarantine.fresh("t", 1001 + WAIT_RUNS_MAX) == []
    for index in range(HELD_TYPES_MAX):
        quarantine.hold(f"type-{index}", held_run("w"))
    assert (len(quarantine.held), "t" in quarantine.held) == (HELD_TYPES_MAX, False)


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
