"""A second opinion is heard while it proves its worth, type by type."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.core.eta_opinion import TYPES_MAX, Opinions, mixed
from nexus_sched.model.effects import AnyEffect, Dispatch, Estimated
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Terms
from nexus_sched.testing.builders import Bench, finished, joined, submitted, task


def test_opinions_are_mixed_in_the_middle_of_their_logarithms():
    assert mixed(50.0, 200.0) == 100.0
    assert mixed(80.0, 80.0) == 80.0


def test_second_opinion_is_heard_until_it_does_harm_and_again_when_it_helps():
    opinions = Opinions()
    assert opinions.heard("kind")
    opinions.judge("kind", 100.0, 100.0, 200.0)
    assert not opinions.heard("kind")
    assert opinions.heard("other")
    for _ in range(2):
        opinions.judge("kind", 100.0, 10.0, 100.0)
    assert opinions.heard("kind")
    opinions.judge("kind", 100.0, 110.0, 90.0)  # both right: nobody has won
    assert opinions.heard("kind")


def test_types_that_were_judged_longest_ago_are_forgotten():
    opinions = Opinions()
    for number in range(TYPES_MAX + 5):
        opinions.judge(f"kind-{number}", 100.0, 10.0, 100.0)
    assert len(opinions.gains) == TYPES_MAX
    assert "kind-0" not in opinions.gains


def test_slow_worker_is_told_apart_for_a_type_it_has_hardly_run():
    """Two workers, one five times slower; it has run one type often and the other type once, with a lucky short run."""
    table = Bench(EngineSettings(predictor="learned", prefetch=0))
    table.turn(joined("fast"), joined("slow"))
    number = 0

    def run(kind: str, on: dict[str, float], *, eta: bool = False) -> list[AnyEffect]:
        nonlocal number
        names = []
        for _ in on:
            names.append(f"t{number}")
            number += 1
        asks = Terms(eta=True) if eta else None
        effects = table.turn(*(submitted(_of(name, kind, asks)) for name in names), after_ms=1_000)
        for each in effects:
            if isinstance(each, Dispatch):
                worker = each.decision.worker
                table.turn(finished(each.decision.task_id, worker, run_ms=on[worker]), after_ms=1)
        return effects

    for _ in range(60):
        run("often", {"fast": 100.0, "slow": 500.0})
    run("seldom", {"fast": 40.0, "slow": 60.0})
    for _ in range(40):
        table.turn(submitted(_of(f"t{number}", "seldom", None)), after_ms=1_000)
        table.turn(finished(f"t{number}", "fast", run_ms=40.0), after_ms=1)
        number += 1
    effects = run("seldom", {"fast": 40.0, "slow": 200.0}, eta=True)
    places = {each.decision.task_id: each.decision for each in effects if isinstance(each, Dispatch)}
    etas = {each.task_id: each.eta for each in effects if isinstance(each, Estimated)}
    (slow_id,) = (task_id for task_id, decision in places.items() if decision.worker == "slow")
    alone_ms = places[slow_id].p50_ms
    assert alone_ms is not None
    second_ms = 40.0 * table.engine.roster.by_name["slow"].factor
    told_ms = etas[slow_id].finish_p50_ms - 1.0
    assert told_ms == pytest.approx(mixed(alone_ms, second_ms), rel=0.1)
    assert abs(told_ms - 200.0) < abs(alone_ms - 200.0)


def _of(task_id: str, kind: str, asks: Terms | None) -> Task:
    return structs.replace(task(task_id, kind), asks=asks)
