"""A key lives where its tasks were sent, is worth less with time, and is forgotten in the order of use."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.core import snapshot
from nexus_sched.core.affinity import WORKERS_MAX, Affinity
from nexus_sched.core.roster import Roster
from nexus_sched.errors import KernelError
from nexus_sched.model.settings import PREDICTIVE, EngineSettings
from nexus_sched.model.terms import Terms
from nexus_sched.testing.builders import PREDICTORS, Bench, ToldPredictor, finished, joined, prediction, submitted, task

SETTINGS = EngineSettings(predictor="told", explore_share=0.0)


def fleet(count: int) -> Roster:
    roster = Roster()
    for number in range(count):
        roster.join(joined(f"w{number}"), EngineSettings(), PREDICTIVE, 0)
    return roster


def keyed(name: str, key: str = "model-7", **terms):
    return submitted(structs.replace(task(name), asks=Terms(affinity=key, **terms)))


def bench(**changes) -> Bench:
    settings = structs.replace(SETTINGS, **changes)
    stage = Bench(settings, ToldPredictor(lambda _: prediction(100.0)))
    stage.turn(*(joined(f"w{number}", slots=2) for number in range(3)))
    return stage


def test_worth_is_halved_with_every_half_life():
    roster, affinity = fleet(2), Affinity()
    affinity.sent("key", "w1", 1_000, 10)
    assert affinity.terms("key", 80.0, 500.0, roster.table, 1_000_000) == ()
    for halvings, worth_ms in ((0, 80.0), (1, 40.0), (2, 20.0), (-3, 80.0)):
        ((row, term_ms),) = affinity.terms("key", 80.0, 500.0, roster.table, 1_000 + 500 * halvings)
        assert row == roster.by_name["w1"].row
        assert term_ms == pytest.approx(-worth_ms, abs=1e-9)


@pytest.mark.parametrize("half_life_ms", [0.0, -1.0, float("nan")])
def test_half_life_that_cannot_be_is_an_error_of_the_kernel(half_life_ms: float):
    affinity = Affinity()
    affinity.sent("key", "w0", 0, 10)
    with pytest.raises(KernelError, match="half life"):
        affinity.terms("key", 1.0, half_life_ms, fleet(1).table, 10)


def test_key_lives_on_its_newest_workers_and_not_where_nobody_is():
    roster, affinity = fleet(WORKERS_MAX + 2), Affinity()
    for number in (*range(WORKERS_MAX + 1), 1):
        affinity.sent("key", f"w{number}", number, 10)
    roster.leave(roster.by_name["w3"])
    rows = {row for row, _ in affinity.terms("key", 1.0, 1e9, roster.table, 10)}
    assert rows == {roster.by_name[f"w{number}"].row for number in range(1, WORKERS_MAX + 1) if number != 3}


def test_key_used_longest_ago_is_forgotten_first():
    roster, affinity = fleet(1), Affinity()
    for key in ("a", "b", "a", "c"):
        affinity.sent(key, "w0", 0, 2)
    assert len(affinity) == 2
    assert [bool(affinity.terms(key, 1.0, 1.0, roster.table, 0)) for key in ("a", "b", "c")] == [True, False, True]


def test_task_goes_where_its_key_lives_until_that_worker_has_too_much_to_do_and_then_spills():
    stage = bench(affinity_ms=500.0, wait_weight=2.0, prefetch=1, prefetch_reach=1e6)
    ((_, home),) = stage.dispatched(keyed("t0"))
    assert stage.dispatched(keyed("t1")) == [("t1", home)]
    # a third task would wait there for 100 ms, which counts twice: still worth it
    assert stage.dispatched(keyed("t2")) == [("t2", home)]
    ((_, spilled),) = stage.dispatched(keyed("t3"))  # no credit left there
    assert spilled != home
    for name in ("t0", "t1", "t2"):
        stage.turn(finished(name, home))
    ((_, third),) = stage.dispatched(submitted("other"))
    assert third not in (home, spilled)  # the least loaded one: a task without a key is not drawn anywhere
    assert stage.dispatched(keyed("t4"))[0][1] in (home, spilled)


def test_bonus_smaller_than_the_wait_lets_the_task_spill_at_once():
    stage = bench(affinity_ms=150.0, prefetch=1, prefetch_reach=1e6)
    ((_, home),) = stage.dispatched(keyed("t0"))
    assert stage.dispatched(keyed("t1")) == [("t1", home)]
    assert stage.dispatched(keyed("t2"))[0][1] != home


def test_task_may_say_itself_what_its_key_is_worth():
    stage = bench(affinity_ms=0.0)
    ((_, home),) = stage.dispatched(keyed("t0", affinity_ms=150.0))
    assert stage.dispatched(keyed("t1", affinity_ms=150.0)) == [("t1", home)]
    assert stage.dispatched(keyed("t2"))[0][1] != home


def test_payload_that_need_not_be_moved_counts_as_well_and_is_part_of_the_score():
    stage = bench(affinity_ms=0.0, transfer_ms_per_mib=10.0)
    large = structs.replace(task("t0"), payload_bytes=4 * 2**20, asks=Terms(affinity="data"))
    (first,) = stage.turn(submitted(large))
    (second,) = stage.turn(submitted(structs.replace(large, id="t1")))
    assert second.decision.worker == first.decision.worker
    assert (first.decision.score_ms, second.decision.score_ms) == (140.0, 100.0)


def test_keys_and_where_they_live_survive_a_snapshot_in_order():
    stage = Bench(structs.replace(EngineSettings(), affinity_keys_max=3))
    stage.turn(*(joined(f"w{number}") for number in range(4)))
    stage.turn(*(keyed(f"t{number}", f"k{number % 4}") for number in range(6)))
    engine = snapshot.restore(snapshot.take(stage.engine), PREDICTORS)
    assert engine.placement.scoring.affinity.snapshot() == stage.engine.placement.scoring.affinity.snapshot()
    assert len(engine.placement.scoring.affinity) == 3
    assert engine.digest() == stage.engine.digest()
    engine.placement.scoring.affinity.sent("k9", "w0", 0, 3)
    assert engine.digest() != stage.engine.digest()
