"""What overrides do to placement: pin, avoid, priority; for how long, and what is said of them."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.explanation import about_task
from nexus_sched.core.overrides import OVERRIDES_MAX
from nexus_sched.model.answer import FOR_CAPACITY, MISCONFIGURED, WhyAnswer
from nexus_sched.model.effects import AnyEffect, Dispatch, Noticed, Retract
from nexus_sched.model.events import (
    OverrideAdded,
    OverrideRemoved,
    TaskBoosted,
    TaskReassigned,
    WorkerCordoned,
)
from nexus_sched.model.explanation import sentence_of, story_of
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import LEAST_OUTSTANDING, EngineSettings, Reaction
from nexus_sched.model.terms import Terms
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    finished,
    joined,
    left,
    placements,
    prediction,
    reclaimed,
    submitted,
    task,
)
from nexus_sched.testing.checks import bookings_differ, conserves_work

AN_HOUR_MS = 3_600_000


@pytest.fixture
def bench():
    bench = Bench(EngineSettings(predictor="ema", prefetch=0))
    yield bench
    assert bookings_differ(bench.engine) == []
    assert conserves_work(bench.engine) == []
    blob = snapshot.take(bench.engine)
    again = snapshot.restore(blob, PREDICTORS)
    assert again.digest() == bench.engine.digest()
    assert snapshot.take(again) == blob


def pin(worker: str, *, scope: str = "type", subject: str = "kind", until_ms: int = AN_HOUR_MS) -> OverrideAdded:
    return OverrideAdded(scope, subject, "pin", worker, 0, until_ms, "data is there", "ann")


def avoid(worker: str, *, scope: str = "type", subject: str = "kind", until_ms: int = AN_HOUR_MS) -> OverrideAdded:
    return OverrideAdded(scope, subject, "avoid", worker, 0, until_ms, "its disk is odd", "bob")


def raised(levels: int, *, scope: str = "type", subject: str = "kind") -> OverrideAdded:
    return OverrideAdded(scope, subject, "priority", "", levels, AN_HOUR_MS, "they wait", "")


def ended(override: OverrideAdded) -> OverrideRemoved:
    return OverrideRemoved(override.scope, override.subject, override.effect, override.target, "no longer", "ann")


def why(bench: Bench, task_id: str = "t1", worker: str = "") -> WhyAnswer:
    answer = about_task(bench.engine, task_id, worker)
    assert isinstance(answer, WhyAnswer)
    return answer


def refusals(effects: list[AnyEffect]) -> list[str]:
    return [each.detail for each in effects if isinstance(each, Noticed)]


MODES = (
    EngineSettings(predictor="ema", prefetch=0),
    EngineSettings(predictor="ema", mode="round-robin", prefetch=0),
    EngineSettings(predictor="ema", prefetch=0, fallback=LEAST_OUTSTANDING),
)


@pytest.mark.parametrize("settings", MODES)
def test_pinned_type_goes_to_that_worker_only_whoever_places(settings: EngineSettings):
    bench = Bench(settings)
    bench.turn(*(joined(f"w{number}", slots=8) for number in range(1, 5)), pin("w3"))
    assert bench.dispatched(*(submitted(f"t{number}") for number in range(6))) == [
        (f"t{number}", "w3") for number in range(6)
    ]
    assert bench.dispatched(*(submitted(task(f"o{number}", "other")) for number in range(2))) != []


@pytest.mark.parametrize("settings", MODES)
def test_avoided_worker_is_never_taken_also_if_it_is_the_only_one_that_is_free(settings: EngineSettings):
    bench = Bench(settings)
    bench.turn(joined("w1"), joined("w2"), avoid("w1"))
    placed = bench.dispatched(submitted("t1"), submitted("t2"))
    placed += bench.dispatched(finished("t1", "w2"))
    assert placed == [("t1", "w2"), ("t2", "w2")]


def test_override_for_one_task_leaves_others_of_its_type_alone(bench: Bench):
    bench.turn(joined("w1", slots=9), joined("w2", slots=9), avoid("w2", scope="task", subject="t2"))
    placed = dict(bench.dispatched(*(submitted(f"t{number}") for number in range(6))))
    assert placed.pop("t2") == "w1"
    assert set(placed.values()) == {"w1", "w2"}


def test_pin_of_a_task_counts_more_than_that_of_its_type_and_avoidances_add_up(bench: Bench):
    bench.turn(*(joined(f"w{number}") for number in range(1, 4)), pin("w1"), pin("w2", scope="task", subject="t1"))
    assert bench.dispatched(submitted("t1")) == [("t1", "w2")]
    bench.turn(ended(pin("w1")), avoid("w1"), avoid("w3", scope="task", subject="t2"))
    assert bench.dispatched(submitted("t2")) == []
    assert bench.dispatched(finished("t1", "w2")) == [("t2", "w2")]


def test_pin_waits_while_its_worker_is_away_and_says_so(bench: Bench):
    bench.turn(joined("w1"), pin("w9"), submitted("t1"))
    answer = why(bench)
    assert answer.tier == FOR_CAPACITY
    assert answer.reason == ("it may run on w9 only, which is not registered: type=kind pin=w9 (by ann: data is there)")
    assert answer.remedies == (
        "w9, when it is there again",
        "`nexus-sched override remove --scope type=kind --effect pin=w9`",
    )
    assert answer.overrides == ("type=kind pin=w9 (by ann: data is there)",)
    assert answer.funnel == {"overrides": 1}
    assert bench.dispatched(joined("w9")) == [("t1", "w9")]


def test_pin_to_a_worker_that_takes_nothing_names_both_reasons(bench: Bench):
    bench.turn(joined("w1"), joined("w2"), pin("w1"), WorkerCordoned("w1", False, "new disk", "ops"), submitted("t1"))
    assert why(bench).tier == FOR_CAPACITY
    assert why(bench).reason == (
        "it may run on w1 only, by type=kind pin=w1 (by ann: data is there); it is cordoned, by ops: new disk"
    )
    assert why(bench, worker="w2").why_not == (
        "overrides keep the task from there: type=kind pin=w1 (by ann: data is there)"
    )


def test_overrides_that_leave_nobody_are_misconfigured(bench: Bench):
    bench.turn(joined("w1"), joined("w2"), pin("w1"), avoid("w1"), submitted("t1"))
    assert (why(bench).tier, len(why(bench).remedies)) == (MISCONFIGURED, 2)
    assert "leave it to no worker" in why(bench).reason
    bench.turn(ended(pin("w1")), avoid("w2"))
    assert (why(bench).tier, why(bench).remedies[0]) == (FOR_CAPACITY, "another worker")
    assert bench.dispatched(ended(avoid("w2"))) == [("t1", "w2")]


def test_override_ends_by_the_instant_of_the_turn_and_asks_for_that_turn(bench: Bench):
    bench.turn(joined("w1"), pin("w9", until_ms=500), submitted("t1"))
    assert bench.engine.next_due_ms == 500
    assert bench.dispatched(after_ms=499) == []
    assert bench.dispatched(after_ms=1) == [("t1", "w1")]
    assert bench.engine.tasks["t1"].task == task("t1")
    assert bench.engine.next_due_ms != 500


def test_override_that_is_over_when_it_is_read_changes_nothing(bench: Bench):
    bench.turn(joined("w1"), after_ms=1_000)
    assert bench.dispatched(pin("w9", until_ms=900), submitted("t1")) == [("t1", "w1")]
    assert len(bench.engine.overrides) == 0


def test_priority_moves_what_waits_and_what_comes_and_goes_back_with_its_end(bench: Bench):
    bench.turn(joined("w1"), submitted(task("t0", "other")), submitted(task("t1", "other")), submitted("t2"))
    bench.turn(raised(2))
    assert (why(bench, "t2").priority, why(bench, "t2").own_priority) == (7, 5)
    assert bench.dispatched(finished("t0", "w1"), submitted("t3")) == [("t2", "w1")]
    assert bench.dispatched(finished("t2", "w1"), ended(raised(2))) == [("t1", "w1")]
    assert why(bench, "t3").priority == 5


def test_priorities_add_up_within_their_bounds_and_come_on_top_of_a_boost(bench: Bench):
    bench.turn(submitted("t1"), raised(3), raised(9, scope="task", subject="t1"))
    assert why(bench).priority == 9
    bench.turn(ended(raised(9, scope="task", subject="t1")), TaskBoosted("t1", 1, "", ""))
    assert (why(bench).priority, why(bench).own_priority) == (4, 1)
    bench.turn(ended(raised(3)))
    assert (why(bench).priority, why(bench).own_priority) == (1, 1)


def test_placed_task_that_has_not_begun_comes_back_and_what_runs_runs_on(bench: Bench):
    bench = Bench(EngineSettings(predictor="ema", prefetch=4, mode="round-robin", early_inbox_max=4))
    bench.turn(joined("w1"), submitted("t1"), submitted("t2"))
    assert [record.worker for record in bench.engine.tasks.values()] == ["w1", "w1"]
    effects = bench.turn(joined("w2"), avoid("w1"))
    assert [each.task_id for each in effects if isinstance(each, Retract)] == ["t2"]
    back = reclaimed("t2", "w1", reason=Reason.RETRACTED, started=False)
    assert bench.dispatched(back) == [("t2", "w2")]


def test_task_that_comes_back_after_its_override_has_ended_is_free_again(bench: Bench):
    bench.turn(joined("w1"), joined("w2"), pin("w1", until_ms=100))
    assert bench.dispatched(submitted("t1")) == [("t1", "w1")]
    bench.turn(after_ms=200)
    assert bench.dispatched(left("w1", lost=True), reclaimed("t1", "w1")) == [("t1", "w2")]
    assert bench.engine.tasks["t1"].task == task("t1")


def test_copy_honours_an_override_that_came_after_its_original():
    told = ToldPredictor(lambda _: prediction(100.0))
    reaction = Reaction(speculate=True, speculate_after=1.0, copies_share_max=1.0)
    bench = Bench(EngineSettings(predictor="told", prefetch=0, reaction=reaction), told)
    bench.turn(*(joined(f"w{number}") for number in range(1, 4)))
    ((_, first),) = bench.dispatched(submitted(task("t1", asks=Terms(idempotent=True))))
    others = sorted({"w1", "w2", "w3"} - {first})
    bench.turn(avoid(others[0]))
    assert bench.dispatched(after_ms=101) == [("t1", others[1])]


def test_wish_for_a_worker_that_an_override_forbids_is_refused_or_waits(bench: Bench):
    bench.turn(joined("w1"), submitted(task("t0", "other")))
    bench.turn(joined("w2"), avoid("w2"), submitted("t1"))
    effects = bench.turn(TaskReassigned("t1", "w2", "", ""))
    assert refusals(effects) == ["refused: task 't1' is not reassigned: an override keeps it from 'w2'"]
    bench.turn(TaskReassigned("t1", "w1", "", ""), avoid("w1"))
    assert "wants it to run on w1, and it may not by type=kind avoid=w2 (by bob" in why(bench).reason
    assert bench.dispatched(finished("t0", "w1")) == []
    assert bench.dispatched(ended(avoid("w1"))) == [("t1", "w1")]


def test_decision_names_its_overrides_and_the_sentence_says_that_it_was_pinned(bench: Bench):
    bench.turn(joined("w1"), joined("w2"), pin("w2"), raised(1))
    effects = bench.turn(submitted("t1"), submitted(task("t2", "other")))
    bound, free = (each.decision for each in effects if isinstance(each, Dispatch))
    assert bound.overrides == ("type=kind pin=w2", "type=kind priority=+1")
    assert free.overrides == ()
    story = story_of(bound, 2, 0, 1, 0)
    assert sentence_of(story).startswith("placed on w2 because an override pins it there (type=kind pin=w2)")
    assert story.funnel["overrides"] == 1


def test_there_are_only_so_many_overrides_and_the_same_one_again_takes_the_place_of_the_former(bench: Bench):
    bench.turn(*(avoid(f"w{number}") for number in range(OVERRIDES_MAX)))
    assert refusals(bench.turn(pin("w1"))) == [
        f"refused: {OVERRIDES_MAX} overrides are in force, type=kind pin=w1 cannot be"
    ]
    assert refusals(bench.turn(avoid("w7", until_ms=5_000))) == []
    assert len(bench.engine.overrides) == OVERRIDES_MAX
    assert bench.engine.next_due_ms == 5_000


def test_without_overrides_a_decision_is_what_it_was(bench: Bench):
    events = [joined("w1"), joined("w2", slots=2), *(submitted(f"t{number}") for number in range(3))]
    plain = Bench(EngineSettings(predictor="ema", prefetch=0))
    expected = plain.turn(*events)
    bench.turn(pin("w9"), avoid("w1"), raised(1))
    bench.turn(ended(pin("w9")), ended(avoid("w1")), ended(raised(1)))
    assert placements(bench.turn(*events)) == placements(expected)
    assert all(record.past.own is None for record in bench.engine.tasks.values())
