"""What another version decided is carried out, whatever this one would have done with the same events."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.errors import VersionsDiffer
from nexus_sched.model.effects import AnyEffect, CancelQueued, DeadLetter, Discard, Dispatch, Retract
from nexus_sched.model.events import AnyEvent
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import EngineSettings
from nexus_sched.testing.builders import Bench, joined, reclaimed, submitted, task
from nexus_sched.testing.checks import bookings_differ
from nexus_sched.units import NS_PER_MS


def stage(**settings) -> Bench:
    bench = Bench(EngineSettings(mode="round-robin", prefetch=0, **settings))
    bench.turn(joined("w1"), joined("w2"))
    return bench


def follow(bench: Bench, events: list[AnyEvent], effects: list[AnyEffect]) -> None:
    engine = bench.engine
    engine.follow(events, effects, (engine.now_ms + 1) * NS_PER_MS)
    assert bookings_differ(engine) == []


def decided(bench: Bench, *events: AnyEvent) -> list[AnyEffect]:
    """What a twin of it decides."""
    twin = stage()
    twin.engine.seq = bench.engine.seq
    return twin.engine.handle(list(events), bench.engine.now_ms * NS_PER_MS)


def test_tasks_go_where_they_were_sent_and_under_that_attempt():
    bench = stage()
    events = [submitted(task("t1")), submitted(task("t2"))]
    to_each = {each.decision.task_id: each for each in decided(bench, *events) if isinstance(each, Dispatch)}
    swapped = [
        Dispatch(structs.replace(to_each["t2"].decision, worker="w1", attempt=4), "q:5", "1-t2"),
        Dispatch(structs.replace(to_each["t1"].decision, worker="w2"), "q:5", "1-t1"),
    ]
    follow(bench, events, swapped)
    tasks, seq = bench.engine.tasks, bench.engine.seq
    assert [(tasks[name].place, tasks[name].entry, tasks[name].attempt) for name in ("t1", "t2")] == [
        ("i:w2", f"{seq}-1", 1),
        ("i:w1", f"{seq}-0", 4),
    ]


def test_what_was_not_placed_waits_and_is_placed_by_a_later_turn_of_ones_own():
    bench = stage()
    follow(bench, [submitted(task("t1"))], [])
    assert bench.engine.tasks["t1"].waiting
    assert bench.dispatched() == [("t1", "w1")]


def test_task_that_this_version_would_have_buried_waits_again():
    bench = stage(worker_killer_deaths=1)
    bench.turn(submitted(task("t1")))
    follow(bench, [reclaimed("t1", "w1", reason=Reason.WORKER_LOST)], [])
    assert bench.engine.tasks["t1"].place == "q:r"
    assert bench.dispatched() != []


def test_task_that_was_ended_is_gone_wherever_it_is():
    bench = stage()
    bench.turn(submitted(task("t1")), submitted(task("t2")), submitted(task("t3")))
    letter = DeadLetter("t1", Reason.DEADLINE, 1, "w1", "so it was decided", "", "")
    follow(bench, [], [letter, CancelQueued("t3", "q:5", "1-t3")])
    assert set(bench.engine.tasks) == {"t2"}
    assert [worker.in_flight for worker in bench.engine.roster.ring] == [0, 1]


def test_what_was_asked_back_is_not_asked_back_again():
    bench = stage()
    bench.turn(submitted(task("t1")))
    bench.engine.retracts.append(("t1", 1))
    follow(bench, [], [Retract("t1", 1, "w1", bench.engine.tasks["t1"].entry)])
    assert not bench.engine.retracts


@pytest.mark.parametrize(("name", "worker"), [("t1", "nobody"), ("unknown", "w1")])
def test_what_cannot_be_carried_out_is_refused(name: str, worker: str):
    bench = stage()
    event = submitted(task("t1"))
    (dispatch,) = (each for each in decided(bench, event) if isinstance(each, Dispatch))
    wrong = Dispatch(structs.replace(dispatch.decision, task_id=name, worker=worker), "q:5", "1-t1")
    with pytest.raises(VersionsDiffer, match=f"{name} to {worker}"):
        follow(bench, [event], [wrong])


def test_task_that_is_here_where_its_pointer_was_removed_is_refused():
    bench = stage()
    bench.turn(submitted(task("t1")))
    with pytest.raises(VersionsDiffer, match="t1"):
        follow(bench, [], [Discard("i:w1", bench.engine.tasks["t1"].entry)])
