"""Limits on starts and on how many at once: what counts whom, when a gate opens, and what is remembered."""

from __future__ import annotations

from nexus_sched.core.limits import GATES_MIN, Gate, Limits
from nexus_sched.model.settings import Limit
from nexus_sched.model.terms import Terms
from nexus_sched.testing.builders import task


def limits(*rules: Limit) -> Limits:
    made = Limits()
    made.configure(rules)
    return made


def names(made: Limits, **asks: str) -> list[tuple[int, str]]:
    return [gate.name for gate in made.gates_of(task("t", "kind", asks=Terms(**asks)))]


def test_every_rule_that_fits_counts_also_the_one_for_each_beside_the_one_for_a_name():
    made = limits(Limit("tenant", "*"), Limit("tenant", "gold"), Limit("type", "kind"), Limit("type", "other"))
    assert names(made, tenant="gold") == [(1, "gold"), (0, "gold"), (2, "kind")]
    assert names(made) == [(0, ""), (2, "kind")]


def test_task_without_a_key_has_none_to_count():
    made = limits(Limit("key", "*", concurrency=1))
    assert names(made) == []
    assert names(made, key="k") == [(0, "k")]


def test_name_of_a_star_is_counted_once():
    made = limits(Limit("tenant", "*", concurrency=1))
    assert names(made, tenant="*") == [(0, "*")]


def test_bucket_gives_its_burst_and_then_the_rate():
    gate = Gate((0, "k"), Limit("key", "k", rate_per_s=4.0, burst=2.0))
    starts = []
    for now_ms in range(1_000, 2_000):
        while gate.wait_ms(now_ms) == 0:
            gate.take(now_ms)
            starts.append(now_ms)
    assert starts == [1_000, 1_000, 1_250, 1_500, 1_750]


def test_wait_is_told_to_the_millisecond():
    gate = Gate((0, "k"), Limit("key", "k", rate_per_s=3.0))
    gate.take(1_000)
    assert gate.wait_ms(1_000) == 334
    assert gate.wait_ms(1_333) == 1
    assert gate.wait_ms(1_334) == 0


def test_bound_on_how_many_waits_for_an_end():
    gate = Gate((0, "k"), Limit("key", "k", concurrency=2))
    for _ in range(2):
        assert gate.wait_ms(0) == 0
        gate.take(0)
    assert gate.wait_ms(0) == -1
    gate.held -= 1
    assert gate.wait_ms(0) == 0


def test_names_that_are_as_good_as_new_are_forgotten_and_others_are_not():
    made = limits(Limit("key", "*", rate_per_s=1.0))
    for number in range(4 * GATES_MIN):
        gates = made.gates_of(task(asks=Terms(key=f"k{number}")))
        made.take(gates, number)
        gates[0].held -= 1
    assert len(made.snapshot()[0]) >= 1_000, "a second has not passed for the last thousand"
    later_ms = 100_000
    for number in range(8 * GATES_MIN):
        gates = made.gates_of(task(asks=Terms(key=f"later{number}")))
        made.take(gates, later_ms + 2_000 * number)
        gates[0].held -= 1
    assert len(made.snapshot()[0]) <= 4 * GATES_MIN
