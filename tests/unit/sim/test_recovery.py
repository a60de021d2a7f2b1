"""How long a disturbance is felt, on histories by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nexus_sched.sim.history import History
from nexus_sched.sim.recovery import WINDOW_MS, last_blow_ms, recovery_s, undisturbed
from nexus_sched.sim.workload import Fault, Spell, Workload
from tests.unit.sim.workloads import workload

COUNT = 8_000
LAST_DEATH_MS = 20_000.0


def disturbed() -> Workload:
    """A task every 10 ms for 80 s; workers die at 10 and 20 s, one comes back much later."""
    arrivals_ms = [10.0 * number for number in range(COUNT)]
    faults = [Fault(10_000.0, 0), Fault(LAST_DEATH_MS, 1), Fault(60_000.0, 1, joins=True)]
    spells = [Spell(0, 0.0, 1e9, 5.0)]
    return workload(arrivals_ms, [1.0] * COUNT, slowness=(1.0, 1.0, 1.0), faults=faults, spells=spells)


def taking(took_ms: np.ndarray) -> History:
    made = History(COUNT)
    made.finished_ms = (10.0 * np.arange(COUNT) + took_ms).tolist()
    return made


def test_recovery_is_the_end_of_the_last_window_in_which_responses_are_long():
    slow = np.full(COUNT, 10.0)
    slow[1_000:4_500] = 100.0  # from 10 s to 45 s
    assert recovery_s(disturbed(), taking(slow), taking(np.full(COUNT, 10.0))) == 3 * WINDOW_MS / 1_000.0


def test_tasks_that_are_long_without_the_disturbance_too_do_not_count():
    slow = np.full(COUNT, 10.0)
    slow[3_000:] = 100.0
    assert recovery_s(disturbed(), taking(slow), taking(slow)) == 0.0


def test_what_never_recovers_takes_all_the_time_there_was():
    slow = np.full(COUNT, 100.0)
    found = recovery_s(disturbed(), taking(slow), taking(np.full(COUNT, 10.0)))
    assert found == pytest.approx(50.0, abs=10.0)  # in whole windows, of the 60 s that were left


def test_task_that_never_finished_is_never_back():
    lost = taking(np.full(COUNT, 10.0))
    lost.finished_ms[3_000:3_050] = [-1.0] * 50
    assert recovery_s(disturbed(), lost, taking(np.full(COUNT, 10.0))) == 2 * WINDOW_MS / 1_000.0


def test_undisturbed_has_the_same_tasks_and_neither_deaths_nor_spells():
    before = disturbed()
    calm = undisturbed(before)
    assert last_blow_ms(before) == LAST_DEATH_MS
    assert calm.faults == ()
    assert (before.truth.run_ms(0, 0, 5.0), calm.truth.run_ms(0, 0, 5.0)) == (5.0, 1.0)
    assert calm.tasks is before.tasks
