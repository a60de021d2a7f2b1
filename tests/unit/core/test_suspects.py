"""Who killed the workers: those who only ran beside a killer are not buried with it."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.suspects import AVOIDED_MAX
from nexus_sched.model.effects import DeadLetter
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import LEAST_OUTSTANDING, PREDICTIVE, ROUND_ROBIN, EngineSettings
from nexus_sched.testing.builders import PREDICTORS, Bench, finished, joined, left, reclaimed, submitted, task

POISON = "poison"
SETTINGS = {
    PREDICTIVE: EngineSettings(predictor="ema", prefetch=0),
    ROUND_ROBIN: EngineSettings(mode=ROUND_ROBIN),
    LEAST_OUTSTANDING: EngineSettings(predictor="ema", fallback=LEAST_OUTSTANDING),
}


def fleet(workers: int, settings: EngineSettings, slots: int = 8) -> Bench:
    bench = Bench(settings)
    bench.turn(*(joined(f"w{number}", slots=slots) for number in range(workers)))
    return bench


def where(bench: Bench, task_id: str) -> str:
    return bench.engine.tasks[task_id].worker


def dies(bench: Bench, name: str, *, back: bool = True) -> list[DeadLetter]:
    """A worker dies of what it runs, and comes back as another incarnation."""
    worker = bench.engine.roster.by_name[name]
    lost = [reclaimed(task_id, name, attempt=record.attempt) for task_id, record in worker.placed.items()]
    again = [joined(name, slots=worker.slots, incarnation=worker.incarnation + 1)] if back else []
    effects = bench.turn(*lost, left(name, incarnation=worker.incarnation, lost=True), *again, after_ms=100)
    return [effect for effect in effects if isinstance(effect, DeadLetter)]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_only_the_killer_is_buried_and_after_two_workers(settings: EngineSettings):
    bench = fleet(8, settings, slots=4)
    bench.turn(*(submitted(task(f"t{number}", max_attempts=9)) for number in range(23)))
    bench.turn(submitted(task(POISON, max_attempts=9)))
    assert dies(bench, where(bench, POISON)) == []
    suspects = [each.task.id for each in bench.engine.tasks.values() if each.past.deaths]
    assert len(suspects) > 1
    assert len({where(bench, each) for each in suspects}) == len(suspects), "each of them on a worker of its own"
    (letter,) = dies(bench, where(bench, POISON))
    assert (letter.task_id, letter.reason) == (POISON, Reason.WORKER_KILLER)


def test_twenty_killers_one_after_another_take_nobody_with_them():
    bench = fleet(4, SETTINGS[PREDICTIVE])
    buried: list[str] = []
    for fault in range(20):
        poison = f"{POISON}-{fault}"
        bench.turn(*(submitted(task(f"t{fault}-{number}", max_attempts=9)) for number in range(9)))
        bench.turn(submitted(task(poison, max_attempts=9)))
        while poison in bench.engine.tasks:
            buried += [letter.task_id for letter in dies(bench, where(bench, poison))]
            others = [each for each in bench.engine.tasks.values() if each.task.id != poison and not each.waiting]
            bench.turn(*(finished(each.task.id, each.worker, attempt=each.attempt) for each in others), after_ms=150)
    assert buried == [f"{POISON}-{fault}" for fault in range(20)]


def test_death_of_two_suspects_counts_against_neither():
    bench = fleet(1, SETTINGS[PREDICTIVE])
    bench.turn(submitted(task("t1", max_attempts=9)), submitted(task("t2", max_attempts=9)))
    both = [bench.engine.tasks[name] for name in ("t1", "t2")]
    assert dies(bench, "w0", back=False) == []
    bench.turn(joined("w1", slots=8))
    assert [(each.worker, each.booked.together, each.past.deaths) for each in both] == [("w1", True, 1)] * 2
    assert dies(bench, "w1", back=False) == []
    assert [(each.past.starts, each.past.deaths) for each in both] == [(2, 1)] * 2


def test_suspects_go_together_rather_than_wait():
    bench = fleet(2, SETTINGS[PREDICTIVE])
    bench.turn(*(submitted(task(f"t{number}", max_attempts=9)) for number in range(12)))
    dies(bench, "w0", back=False)
    record = next(each for each in bench.engine.tasks.values() if each.past.deaths and not each.waiting)
    assert record.worker == "w1"
    assert bench.engine.roster.by_name["w1"].in_flight == 8


def test_suspect_stays_one_for_an_engine_that_was_restored():
    bench = fleet(4, SETTINGS[PREDICTIVE])
    bench.turn(*(submitted(task(f"t{number}", max_attempts=9)) for number in range(16)))
    dies(bench, "w0")
    restored = snapshot.restore(snapshot.take(bench.engine), PREDICTORS)
    assert restored.suspects.snapshot() == bench.engine.suspects.snapshot() != []


def test_more_suspects_than_a_question_takes_are_placed_all_the_same():
    bench = fleet(AVOIDED_MAX + 9, SETTINGS[PREDICTIVE], slots=AVOIDED_MAX + 5)
    names = [f"t{number}" for number in range(180)]
    bench.turn(*(submitted(task(name, max_attempts=9)) for name in names))
    suspects = list(bench.engine.roster.by_name["w0"].placed)
    assert len(suspects) > AVOIDED_MAX
    assert dies(bench, "w0") == []
    assert [name for name in names if bench.engine.tasks[name].waiting] == []
    assert len({where(bench, name) for name in suspects}) > AVOIDED_MAX
