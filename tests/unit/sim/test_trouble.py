"""What the engine makes of a fleet in trouble, in virtual time: workers that die, and workers that become slow."""

from __future__ import annotations

import numpy as np
import pytest

from nexus_sched.core.engine import Engine
from nexus_sched.model.settings import EngineSettings
from nexus_sched.sim.drive import drive
from nexus_sched.sim.fleet import DEAD_MS
from nexus_sched.sim.history import History
from nexus_sched.sim.policies import PREDICTORS
from nexus_sched.sim.scenarios import Size, generate
from nexus_sched.sim.workload import Spell, Workload
from tests.unit.sim.workloads import nobody, workload

SEED = 3
WARM_SHARE = 0.2  # of the tasks, not judged


def driven(name: str, load: float) -> tuple[Workload, History, Engine]:
    work = generate(name, Size(workers=40, tasks=4_000, load=load), SEED)
    engine = Engine(PREDICTORS, EngineSettings(round_trip_ms=work.rtt_ms))
    return work, drive(work, engine, nobody), engine


def responses_ms(work: Workload, history: History) -> np.ndarray:
    return np.array(history.finished_ms) - np.array(work.arrivals_ms)


@pytest.fixture(scope="module")
def churned() -> tuple[Workload, History, Engine]:
    return driven("churn", 0.6)


def test_every_task_ends_well_though_a_fifth_of_the_workers_die(churned: tuple[Workload, History, Engine]):
    work, history, engine = churned
    assert engine.counters["workers_lost"] == len(work.workers) // 5
    assert not any(history.given_up)
    assert min(history.finished_ms) > 0.0


def test_long_responses_recover_within_two_detection_times(churned: tuple[Workload, History, Engine]):
    work, history, _ = churned
    arrivals_ms, taken_ms = np.array(work.arrivals_ms), responses_ms(work, history)
    deaths_ms = [fault.at_ms for fault in work.faults if not fault.joins]
    before = taken_ms[(arrivals_ms > WARM_SHARE * min(deaths_ms)) & (arrivals_ms < min(deaths_ms) - DEAD_MS)]
    after = taken_ms[arrivals_ms > max(deaths_ms) + 2 * DEAD_MS]
    assert np.percentile(after, 99) <= 1.5 * np.percentile(before, 99)


def test_dead_workers_do_not_eject_the_living(churned: tuple[Workload, History, Engine]):
    _, _, engine = churned
    assert engine.counters["breakers_opened"] == engine.counters["panics"] == 0


def test_slow_workers_are_noticed_and_given_little():
    count, slow = 4_500, (0, 1)
    arrivals_ms = [20.0 * number for number in range(count)]
    durations_ms = [250.0] * count
    spells = [Spell(worker, 20_000.0, 40_000.0, 5.0) for worker in slow]
    work = workload(arrivals_ms, durations_ms, slowness=[1.0] * 16, rtt_ms=1.0, spells=spells)
    engine = Engine(PREDICTORS, EngineSettings())
    history = drive(work, engine, nobody)
    started_ms, worker = np.array(history.started_ms), np.array(history.worker)
    share = [
        np.isin(worker[(started_ms >= from_ms) & (started_ms < from_ms + 10_000.0)], slow).mean()
        for from_ms in (10_000.0, 25_000.0, 75_000.0)
    ]
    assert share[0] == pytest.approx(2 / 16, rel=0.2)
    assert share[1] <= share[0] / 4.0
    assert share[2] >= share[0] / 2.0  # and they are trusted again
    assert engine.counters["pace_changes"] > 0
