"""Nothing starves: under a load that never ends, every task is placed within the bound of its order key."""

from __future__ import annotations

from random import Random

import pytest

from nexus_sched.model.effects import Dispatch
from nexus_sched.model.settings import EngineSettings
from nexus_sched.testing.builders import Bench, finished, joined, submitted, task

HINT_MS_MAX = 500.0
STEP_MS = 100
SETTINGS = EngineSettings(prefetch=0, priority_credit_ms=1_000.0)


@pytest.mark.parametrize("seed", range(5))
def test_task_of_any_priority_and_length_is_placed_within_the_ageing_bound(seed: int):
    print("seed", seed)
    random, bench = Random(seed), Bench(SETTINGS)
    bench.turn(joined("w1"))
    bench.turn(submitted(task("now", "other")))
    # long, idle and early: everything that comes later is shorter and more urgent
    bench.turn(submitted(task("last", "long", priority=0, hint_ms=HINT_MS_MAX)))
    bound_ms = 9 * SETTINGS.priority_credit_ms + HINT_MS_MAX
    running, placed_at_ms, number = "now", None, 0
    while placed_at_ms is None:
        assert bench.now_ms <= bound_ms + STEP_MS, "it starves"
        effects = bench.turn(
            # an arrival rate of one and an end rate of one: the queue never runs empty
            submitted(
                task(f"t{number}", "short", priority=random.randint(5, 9), arrived_at_ms=bench.now_ms, hint_ms=1.0)
            ),
            finished(running, run_ms=float(STEP_MS)),
            after_ms=STEP_MS,
        )
        (dispatch,) = [each for each in effects if isinstance(each, Dispatch)]
        running, number = dispatch.decision.task_id, number + 1
        if running == "last":
            placed_at_ms = bench.now_ms
    assert number > 10  # it was overtaken before, as it should be
