"""Dense indexes for worker classes: reused, bounded by the workers there were, and the same after a restore."""

from __future__ import annotations

import random

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.worker_classes import WorkerClasses
from nexus_sched.model.settings import EngineSettings
from nexus_sched.testing.builders import PREDICTORS, Bench, joined, left


def test_class_keeps_its_index_and_the_lowest_free_one_is_reused():
    classes = WorkerClasses()
    assert [classes.enter(name) for name in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    classes.leave("b")
    classes.leave("a")
    assert classes.names == ("a", "a", "c")
    assert [classes.enter(name) for name in ("d", "e", "a")] == [1, 3, 0]
    assert classes.names == ("a", "d", "c", "e")
    assert classes.alone[3] == ("e",)
    assert len(classes.means_ms) == 4


def test_names_are_one_object_until_a_class_comes_or_goes():
    classes = WorkerClasses()
    classes.enter("a")
    names = classes.names
    classes.enter("a")
    classes.leave("a")
    assert classes.names is names
    classes.enter("b")
    assert classes.names == ("a", "b")


@pytest.mark.parametrize("seed", range(10))
def test_engine_with_random_classes_is_restored_with_the_same_indexes(seed: int):
    dice = random.Random(seed)
    bench = Bench(EngineSettings())
    for step in range(60):
        name = f"w{dice.randrange(12)}"
        if dice.random() < 0.3 and name in bench.engine.roster.by_name:
            incarnation = bench.engine.roster.by_name[name].incarnation
            bench.turn(left(name, incarnation=incarnation))
        else:
            bench.turn(joined(name, incarnation=step, worker_class=f"class-{dice.randrange(6)}"))
        roster = bench.engine.roster
        for worker in roster.ring:
            assert roster.classes.names[worker.class_index] == worker.worker_class
            assert roster.table.class_index(worker.row) == worker.class_index
        assert roster.classes.count == len({worker.worker_class for worker in roster.ring})
    engine = snapshot.restore(snapshot.take(bench.engine), PREDICTORS)
    for one in (engine, bench.engine):
        one.handle([joined("new", worker_class="never seen"), joined("again", worker_class="class-3")], 0)
    found = [{worker.name: worker.class_index for worker in one.roster.ring} for one in (engine, bench.engine)]
    assert found[0] == found[1]
    assert engine.digest() == bench.engine.digest()
