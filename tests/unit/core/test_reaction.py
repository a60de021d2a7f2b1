"""Runs that are not as predicted: stragglers are told, paces learned anew, and what waits behind is moved."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest

from nexus_sched.core import snapshot
from nexus_sched.model.effects import AnyEffect, Noticed, Retract
from nexus_sched.model.events import AnyEvent, CancelRequested
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import EngineSettings, Reaction
from nexus_sched.model.task import Task
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    finished,
    joined,
    placements,
    prediction,
    reclaimed,
    submitted,
    task,
)
from nexus_sched.testing.checks import bookings_differ


def bench(mean_ms: float = 1_000.0, *, prefetch: int = 1, **reaction: object) -> Bench:
    told = ToldPredictor(lambda _: prediction(mean_ms))
    return Bench(
        EngineSettings(predictor="told", prefetch=prefetch, prefetch_reach=1e6, reaction=Reaction(**reaction)), told
    )


def crowded(**reaction: object) -> Bench:
    """`w1` runs t1 and has t2 in its inbox; then a second worker comes."""
    here = bench(**reaction)
    here.turn(joined("w1"), submitted("t1"), submitted("t2"))
    here.turn(joined("w2"))
    return here


def retracted(effects: list[AnyEffect]) -> list[str]:
    return [each.task_id for each in effects if isinstance(each, Retract)]


def wait(here: Bench, until_ms: int, *events: AnyEvent) -> list[AnyEffect]:
    """Take the turns that are due until then, and one at that instant."""
    effects: list[AnyEffect] = []
    while (due_ms := here.engine.next_due_ms) is not None and due_ms < until_ms:
        effects += here.turn(after_ms=max(0, due_ms - here.now_ms))
    return effects + here.turn(*events, after_ms=until_ms - here.now_ms)


# -- moving ----------------------------------------------------------------------------------------------


def test_task_behind_an_overdue_one_moves_to_a_free_worker():
    here = crowded()
    assert retracted(wait(here, 1_000)) == []
    assert retracted(wait(here, 3_000)) == ["t2"]
    assert here.engine.counters["moves"] == 1
    effects = here.turn(reclaimed("t2", "w1", reason=Reason.RETRACTED, started=False))
    assert placements(effects) == [("t2", "w2")]
    assert bookings_differ(here.engine) == []


class ByClass(ToldPredictor):
    """A thousand milliseconds on the class `quick`, sixty times that elsewhere."""

    def predict_classes(self, _task: Task, classes: tuple[str, ...], means_ms: Sequence[float]) -> bool:
        means_ms[:] = array("f", [1_000.0 if name == "quick" else 60_000.0 for name in classes])
        return True


def test_worker_is_kept_from_what_it_moves_and_not_those_whose_name_is_part_of_its_own():
    told = ByClass(lambda _: prediction(1_000.0))
    here = Bench(EngineSettings(predictor="told", prefetch=1, prefetch_reach=1e6), told)
    here.turn(joined("12", worker_class="quick"), submitted("t1"), submitted("t2"))
    here.turn(joined("1", worker_class="quick"), joined("3", worker_class="slow"))
    assert retracted(wait(here, 3_000)) == ["t2"]


def test_it_is_asked_for_once():
    here = crowded()
    assert retracted(wait(here, 20_000)) == ["t2"]


def test_nobody_is_free_nothing_moves():
    here = bench()
    here.turn(joined("w1"), joined("w2"), *(submitted(f"t{number}") for number in range(4)))
    assert retracted(wait(here, 20_000)) == []


def test_free_worker_that_is_much_slower_is_no_gain():
    here = crowded()
    roster = here.engine.roster
    roster.paces.restart(roster.by_name["w2"], roster.by_name["w2"].row, 20.0, 100)
    assert retracted(wait(here, 2_000)) == []


def test_gain_below_the_least_is_not_worth_it():
    here = crowded(gain_ms_min=1e6)
    assert retracted(wait(here, 20_000)) == []


def test_moving_can_be_switched_off():
    here = crowded(move=False)
    assert retracted(wait(here, 20_000)) == []
    assert here.engine.late == {}


def test_looks_keep_their_distance():
    here = crowded(pause_ms=5_000, gain_ms_min=1_900.0)
    wait(here, 1_001)
    first_ms = here.engine.next_look_ms
    assert first_ms == 6_001
    assert retracted(wait(here, 6_000)) == []
    assert retracted(wait(here, 6_001)) == ["t2"]


def test_task_moves_at_most_so_often():
    here = bench()
    here.turn(joined("w1"), submitted("t1"), submitted("t2"))
    moves = 0
    for number in range(2, 8):
        here.turn(joined(f"w{number}"))
        effects = wait(here, here.now_ms + 30_000)
        if retracted(effects):
            moves += 1
            record = here.engine.tasks["t2"]
            filler = [submitted(task(f"f{number}", arrived_at_ms=-(10**6)))]
            here.turn(
                *filler, reclaimed("t2", record.worker, attempt=record.attempt, reason=Reason.RETRACTED, started=False)
            )
    assert moves == here.engine.tasks["t2"].past.moves
    assert moves <= 2


def test_two_tasks_of_one_look_do_not_count_on_the_same_slot():
    here = bench()
    here.turn(joined("w1"), joined("w2"), *(submitted(f"t{number}") for number in range(4)))
    assert retracted(here.turn(joined("w3"), after_ms=5_000)) == ["t2"]
    assert len(here.engine.late) == 2
    assert bookings_differ(here.engine) == []


def test_cancelled_task_is_not_moved():
    here = crowded()
    here.turn(CancelRequested("t2"))
    assert retracted(wait(here, 10_000)) == []


def test_idle_engine_wants_no_turns():
    here = bench()
    here.turn(joined("w1"), submitted("t1"))
    here.turn(finished("t1", run_ms=900.0), after_ms=900)
    assert here.engine.next_due_ms is None


def test_long_overdue_task_wants_turns_ever_more_rarely():
    here = crowded(gain_ms_min=1e9)
    turns = 0
    while here.now_ms < 3_600_000:
        due_ms = here.engine.next_due_ms
        assert due_ms is not None
        here.turn(after_ms=max(1, due_ms - here.now_ms))
        turns += 1
    assert turns <= 60


# -- stragglers ------------------------------------------------------------------------------------------


def notices(effects: list[AnyEffect], kind: str) -> list[str]:
    return [each.detail for each in effects if isinstance(each, Noticed) and each.kind == kind]


def test_straggler_is_told_once():
    here = bench()
    here.turn(joined("w1"), submitted("t1"))
    (told,) = notices(wait(here, 60_000), "straggler")
    assert "t1" in told
    assert "w1" in told
    assert here.engine.counters["stragglers"] == 1


def test_task_that_waits_behind_a_straggler_is_none():
    here = bench(prefetch=3)
    here.turn(joined("w1"), *(submitted(f"t{number}") for number in range(3)))
    wait(here, 100_000)
    assert here.engine.counters["stragglers"] == 1


def test_many_stragglers_are_one_notice_a_second():
    here = bench()
    here.turn(*(joined(f"w{number}") for number in range(30)), *(submitted(f"t{number}") for number in range(30)))
    effects = wait(here, 2_900)
    assert here.engine.counters["stragglers"] == 30
    assert len(notices(effects, "straggler")) == 1


# -- pace ------------------------------------------------------------------------------------------------


def run(here: Bench, worker: str, run_ms: float, times: int) -> list[AnyEffect]:
    """Runs on a fleet of one, each as long as told."""
    effects: list[AnyEffect] = []
    for number in range(times):
        name = f"{here.engine.seq}-{number}"
        here.turn(submitted(task(name, arrived_at_ms=here.now_ms)))
        effects += here.turn(finished(name, worker, run_ms=run_ms), after_ms=1)
    return effects


@pytest.mark.parametrize(("times", "runs"), [(5.0, 3), (0.2, 3), (2.0, 4)])
def test_worker_that_changes_its_pace_is_noticed_within_a_few_runs(times: float, runs: int):
    here = bench()
    here.turn(joined("w1"))
    run(here, "w1", 1_000.0, 50)
    (told,) = notices(run(here, "w1", 1_000.0 * times, runs), "pace")
    assert here.engine.roster.by_name["w1"].factor == pytest.approx(times, rel=0.1)
    assert here.engine.counters["pace_changes"] == 1
    assert f"{times:.2f} times" in told


def test_paces_that_change_all_the_time_are_counted_and_told_once_a_second():
    here = bench()
    here.turn(joined("w1"))
    run(here, "w1", 1_000.0, 50)
    told = [each for times in (5.0, 1.0, 5.0, 1.0) for each in notices(run(here, "w1", 1_000.0 * times, 30), "pace")]
    assert here.engine.counters["pace_changes"] > 1
    assert len(told) == 1
    here.turn(after_ms=1_000)
    assert len(notices(run(here, "w1", 5_000.0, 30), "pace")) == 1


def test_without_the_alarm_the_factor_would_follow_slowly():
    here = bench()
    here.turn(joined("w1"))
    run(here, "w1", 1_000.0, 50)
    run(here, "w1", 5_000.0, 1)
    assert here.engine.roster.by_name["w1"].factor < 1.5


def test_worker_that_recovers_is_noticed_as_well():
    here = bench()
    here.turn(joined("w1"))
    run(here, "w1", 1_000.0, 50)
    run(here, "w1", 5_000.0, 20)
    assert here.engine.roster.by_name["w1"].factor == pytest.approx(5.0, rel=0.1)
    run(here, "w1", 1_000.0, 20)
    assert here.engine.roster.by_name["w1"].factor == pytest.approx(1.0, rel=0.2)


def test_one_wild_run_does_not_bend_the_factor():
    here = bench()
    here.turn(joined("w1"))
    run(here, "w1", 1_000.0, 50)
    run(here, "w1", 1e6, 1)
    run(here, "w1", 1_000.0, 3)
    assert here.engine.counters["pace_changes"] == 0
    assert here.engine.roster.by_name["w1"].factor < 1.3


def test_straggler_is_evidence_before_it_ends_and_counts_once():
    here = bench()
    here.turn(joined("w1"))
    run(here, "w1", 1_000.0, 50)
    here.turn(submitted(task("slow", arrived_at_ms=here.now_ms)))
    wait(here, here.now_ms + 4_500)
    drift = here.engine.roster.by_name["w1"].drift
    assert drift is not None
    assert drift.runs == 1
    here.turn(finished("slow", "w1", run_ms=4_600.0), after_ms=100)
    assert drift.runs == 1


def test_restored_engine_reacts_alike():
    here = crowded()
    run_after = wait(here, 2_200)
    assert run_after is not None
    told = ToldPredictor(lambda _: prediction(1_000.0))
    twin = snapshot.restore(snapshot.take(here.engine), {**PREDICTORS, "told": lambda _: told})
    for _ in range(30):
        due_ms = here.engine.next_due_ms
        assert twin.next_due_ms == due_ms
        assert twin.digest() == here.engine.digest()
        here.now_ms = here.now_ms + 100 if due_ms is None else max(here.now_ms + 1, due_ms)
        at_ns = here.now_ms * 1_000_000
        assert twin.handle([], at_ns) == here.engine.handle([], at_ns)
