"""Every policy on every scenario: nothing is lost or run twice, no worker does two things at once, and it repeats."""

from __future__ import annotations

import pytest

from nexus_sched.model.settings import EngineSettings
from nexus_sched.sim.compare import compare
from nexus_sched.sim.drive import drive
from nexus_sched.sim.early import BoundWorker, PowerOfTwo
from nexus_sched.sim.policies import POLICIES
from nexus_sched.sim.scenarios import SCENARIOS, Size, generate
from tests.unit.sim.workloads import nobody

SMALL = Size(workers=8, tasks=240, load=0.9, slots=2)


class Silence:
    def begin(self, phase: str, total: int) -> None: ...

    def update(self, done: int, state: str) -> None: ...

    def end(self, state: str) -> None: ...


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_task_ends_once_and_no_slot_does_two_things_at_once(scenario: str, policy: str):
    workload = generate(scenario, SMALL, 3)
    history = drive(workload, POLICIES[policy](workload, 3, EngineSettings()), nobody)
    assert history.given_up == [False] * len(workload.tasks)
    assert history.repeated == 0
    for number, arrived_ms in enumerate(workload.arrivals_ms):
        worker = workload.workers[history.worker[number]]
        started_ms, ran_ms = history.started_ms[number], history.finished_ms[number] - history.started_ms[number]
        assert started_ms >= arrived_ms + workload.rtt_ms / 2.0
        cold_ms = 0.0 if workload.warmth is None else workload.warmth.cold_ms
        truth_ms = workload.truth.run_ms(number, history.worker[number], started_ms)
        assert ran_ms == pytest.approx(truth_ms) or ran_ms == pytest.approx(truth_ms + cold_ms), worker.name
    runs = [*zip(history.worker, history.started_ms, history.finished_ms, strict=True), *history.wasted]
    for index, worker in enumerate(workload.workers):
        edges = sorted(edge for who, start, end in runs if who == index for edge in ((start, 1), (end, -1)))
        held = 0
        for _, step in edges:
            held += step
            assert 0 <= held <= worker.slots
    lost = scenario == "churn"
    assert bool(history.wasted) == lost


@pytest.mark.parametrize("policy", POLICIES)
def test_equal_seeds_give_equal_figures_and_other_seeds_others(policy: str):
    def figures(first_seed: int) -> dict[str, float | None]:
        compared = compare(lambda seed: generate("hetero", SMALL, seed + first_seed), [policy], 1, Silence())
        (found,) = compared.figures[policy]
        del found["decisions_per_s"]
        return found

    assert figures(0) == figures(0)
    assert figures(0) != figures(1)


def test_policies_run_on_the_same_workload_and_gaps_are_between_its_ends():
    names = ["predictive", "least-outstanding", "oracle"]
    compared = compare(lambda seed: generate("hetero", SMALL, seed), names, 2, Silence())
    assert list(compared.figures) == names
    for seed in range(2):
        assert compared.figures["least-outstanding"][seed]["gap_closed"] == 0.0
        assert compared.figures["oracle"][seed]["gap_closed"] == 1.0
        assert compared.figures["predictive"][seed]["gap_closed"] is not None
    alone = compare(lambda seed: generate("hetero", SMALL, seed), ["predictive"], 2, Silence())
    assert "gap_closed" not in alone.figures["predictive"][0]
    assert alone.figures["predictive"][0]["response_s.mean"] == compared.figures["predictive"][0]["response_s.mean"]


def test_power_of_two_takes_the_less_loaded_of_two_and_never_a_closed_one():
    ring = [BoundWorker(f"w{index}", 1, in_flight=index) for index in range(3)]
    policy = PowerOfTwo(1)
    chosen = [policy.choose(ring) for _ in range(3_000)]
    assert chosen.count(0) / 3_000 == pytest.approx(5 / 9, abs=0.04)  # at least one of two draws
    assert chosen.count(2) / 3_000 == pytest.approx(1 / 9, abs=0.03)  # both draws
    for worker in ring[:2]:
        worker.accepting = False
    assert {policy.choose(ring) for _ in range(100)} == {2}
    ring[2].accepting = False
    assert policy.choose(ring) == policy.choose([]) == -1
