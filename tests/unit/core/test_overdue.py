"""Tasks that run longer than predicted weigh more and more, without being looked at more and more often."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.overdue import STALE_MAX, TRANSIT_MS_MAX
from nexus_sched.model.settings import EngineSettings
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    finished,
    joined,
    left,
    prediction,
    reclaimed,
    submitted,
    task,
)


def bench(mean_ms: float = 100.0, **settings: object) -> Bench:
    told = ToldPredictor(lambda _: prediction(mean_ms))
    return Bench(EngineSettings(predictor="told", prefetch_reach=1e6, **settings), told)


def booked_ms(bench: Bench) -> float:
    return bench.engine.roster.table.booked_ms(0)


def overdue(bench: Bench) -> int:
    return bench.engine.counters["overdue"]


def test_task_is_overdue_once_it_has_run_longer_than_booked():
    here = bench()
    here.turn(joined(), submitted("t1"))
    here.turn(after_ms=100)
    assert (booked_ms(here), overdue(here)) == (100.0, 0)
    here.turn(after_ms=1)
    assert (booked_ms(here), overdue(here)) == (101 * 1.5, 1)
    assert here.engine.tasks["t1"].booked.overdue


def test_corrections_grow_logarithmically_and_the_task_is_counted_once():
    here = bench(mean_ms=10.0)
    here.turn(joined(), submitted("t1"))
    corrections, before = 0, booked_ms(here)
    for _ in range(100_000):
        here.turn(after_ms=1)
        corrections += booked_ms(here) != before
        before = booked_ms(here)
    assert 20 <= corrections <= 25, "10 ms to 100 s in steps of a half: 23"
    assert before >= 100_000
    assert overdue(here) == 1


def test_what_is_overdue_steers_new_work_to_the_other_worker():
    here = bench(mean_ms=100.0)
    here.turn(joined("w1"), joined("w2"), submitted("t1"), submitted("t2"))
    here.turn(finished("t2", "w2", run_ms=100.0), submitted("t3"), after_ms=100)
    here.turn(after_ms=60)  # t1 on w1 has run for 160 ms, t3 on w2 for 60 ms
    assert here.dispatched(submitted("t4"), after_ms=1) == [("t4", "w2")]


@pytest.mark.parametrize("how", ["finished", "reclaimed", "left", "again"])
def test_task_that_moved_on_is_skipped(how: str):
    here = bench()
    here.turn(joined(), submitted("t1"))
    if how == "finished":
        here.turn(finished("t1", run_ms=5.0), after_ms=5)
    elif how == "reclaimed":
        here.turn(reclaimed("t1"), left(), after_ms=5)
        assert here.engine.tasks["t1"].waiting
    elif how == "left":
        here.turn(left(lost=True), after_ms=5)
    else:
        here.turn(reclaimed("t1", started=False), after_ms=50)  # it goes out again at once
        assert here.engine.tasks["t1"].attempt == 2
    here.turn(after_ms=60)
    if how != "left":
        assert overdue(here) == 0
    if how == "again":
        assert booked_ms(here) == 100.0
        here.turn(after_ms=41)
        assert overdue(here) == 1


def test_task_that_waits_in_the_inbox_is_not_overdue_while_it_waits():
    here = bench(prefetch=1)
    here.turn(joined(slots=1), submitted("t1"), submitted("t2"))
    here.turn(finished("t1", run_ms=100.0), after_ms=100)
    here.turn(after_ms=100)
    assert overdue(here) == 0, "it was expected to begin at 100 ms"
    here.turn(after_ms=1)
    assert overdue(here) == 1
    assert booked_ms(here) == 101 * 1.5


@pytest.mark.parametrize("ended_ms", [40, 130])
def test_task_that_begins_when_another_ends_is_watched_from_then_on(ended_ms: int):
    here = bench(prefetch=1)
    here.turn(joined(slots=1), submitted("t1"), submitted("t2"))
    here.turn(finished("t1", run_ms=float(ended_ms)), after_ms=ended_ms)
    before = overdue(here)
    here.turn(after_ms=100)
    assert (overdue(here), booked_ms(here)) == (before, 100.0)
    here.turn(after_ms=1)
    assert (overdue(here), booked_ms(here)) == (before + 1, 101 * 1.5)


def test_task_that_had_not_begun_is_not_overdue_any_more_when_it_begins():
    here = bench(mean_ms=100.0, prefetch=1)
    here.turn(joined(slots=1), submitted("t1"), submitted("t2"))
    here.turn(after_ms=300)
    assert here.engine.tasks["t2"].booked.overdue
    here.turn(finished("t1", run_ms=300.0))
    assert not here.engine.tasks["t2"].booked.overdue
    assert booked_ms(here) == 100.0
    assert here.engine.roster.table.wait_ms(0) == 100.0


def test_task_asked_back_from_the_inbox_lets_nobody_begin():
    here = bench(prefetch=2)
    here.turn(joined(slots=1), submitted("t1"), submitted("t2"), submitted("t3"))
    begins_ms = here.engine.tasks["t3"].booked.placed_ms
    here.turn(reclaimed("t2", started=False), left("w9"), after_ms=10)
    assert here.engine.tasks["t3"].booked.placed_ms == begins_ms


def test_without_a_prediction_nothing_is_watched():
    here = Bench(predictor=ToldPredictor(lambda _: None))
    here.turn(joined(), submitted("t1"))
    here.turn(after_ms=1_000_000)
    assert (booked_ms(here), overdue(here)) == (0.0, 0)


@pytest.mark.parametrize("at_ms", [0, 50, 101, 160, 400])
def test_restored_engine_corrects_alike(at_ms: int):
    here = bench(mean_ms=100.0, prefetch=2)
    here.turn(joined(slots=2), *(submitted(task(f"t{number}", hint_ms=50.0)) for number in range(4)))
    here.turn(after_ms=at_ms)
    twin = Bench()
    told = ToldPredictor(lambda _: prediction(100.0))
    twin.engine = snapshot.restore(snapshot.take(here.engine), {**PREDICTORS, "told": lambda _: told})
    twin.now_ms = here.now_ms
    for _ in range(200):
        assert here.turn(after_ms=7) == twin.turn(after_ms=7)
        assert booked_ms(here) == booked_ms(twin)
    assert overdue(here) == overdue(twin) == 4
    assert here.engine.digest() == twin.engine.digest()


def test_what_ended_long_before_its_due_time_does_not_pile_up():
    day = bench(mean_ms=86_400_000.0)
    day.turn(joined(), submitted("slow"))
    day.turn(joined("w2"))
    for number in range(3 * STALE_MAX):
        day.turn(submitted(f"t{number}"))
        day.turn(finished(f"t{number}", "w2", run_ms=1.0), after_ms=1)
    assert len(day.engine.overdue._heap) <= STALE_MAX + 8
    day.turn(after_ms=86_400_000)
    assert overdue(day) == 1, "the one that still runs is watched all the same"


def away(here: Bench, trips_ms: list[int], run_ms: float = 1.0) -> None:
    """Tasks that each took `run_ms`, and whose messages were on their way for as long as told."""
    for number, trip_ms in enumerate(trips_ms):
        here.turn(submitted(f"away{number}"))
        here.turn(finished(f"away{number}", run_ms=run_ms), after_ms=trip_ms + round(run_ms))


def test_run_is_not_late_while_its_messages_may_still_be_on_their_way():
    here = bench(mean_ms=1.0)
    here.turn(joined())
    away(here, [50] * 200)
    late = overdue(here)
    assert 45.0 < here.engine.overdue.transit_ms < 60.0
    here.turn(submitted("t1"))
    here.turn(after_ms=40)
    assert (overdue(here), booked_ms(here)) == (late, 1.0)
    here.turn(after_ms=30)
    assert overdue(here) == late + 1


def test_transit_is_what_nine_of_ten_messages_take_and_has_a_bound():
    here = bench(mean_ms=1.0)
    here.turn(joined())
    away(here, [2, 2, 2, 2, 40, 2, 2, 2, 2, 2] * 60)
    assert here.engine.overdue.transit_ms < 10.0, "one of ten takes longer, and is late"
    away(here, [100_000] * 300)
    assert here.engine.overdue.transit_ms == TRANSIT_MS_MAX
    away(here, [0] * 3_000, run_ms=100.0)
    assert here.engine.overdue.transit_ms < 2.0, "how long a run takes is no transit"
    told = ToldPredictor(lambda _: prediction(1.0))
    twin = snapshot.restore(snapshot.take(here.engine), {**PREDICTORS, "told": lambda _: told})
    assert twin.overdue.transit_ms == here.engine.overdue.transit_ms
    assert twin.digest() == here.engine.digest()
