"""Labels, taints and resources decide who may run a task; masks follow the fleet; and the funnel says why not."""

from __future__ import annotations

import math
import random

import pytest
from msgspec import structs

from nexus_sched.core.eligibility import (
    BROKEN,
    BUSY,
    BY_LABELS,
    BY_TAINTS,
    CORDONED,
    DRAINING,
    GROUPS_MAX,
    LABELS,
    NOT_ACCEPTING,
    OPEN,
    PREFER_MS_MAX,
    RESOURCES,
    SUSPECT,
    TAINTS,
    Eligibility,
    holds,
    rejection,
    tolerated,
    worth_ms,
)
from nexus_sched.core.records import Booking, TaskRecord
from nexus_sched.core.resources import fits
from nexus_sched.core.roster import CHANGES_MAX, Roster
from nexus_sched.model.events import WorkerJoined
from nexus_sched.model.settings import PREDICTIVE, EngineSettings
from nexus_sched.model.terms import NO_NEEDS, Condition, Needs, Operator, Terms
from nexus_sched.testing import oracle_bill
from nexus_sched.testing.builders import task
from nexus_sched.testing.oracle_needs import feasible as plainly_feasible
from nexus_sched.testing.oracle_needs import meets

SETTINGS = EngineSettings()


def join(roster: Roster, name: str = "w", *, labels=(), taints=(), resources=(), slots: int = 1, incarnation: int = 1):
    event = WorkerJoined(name, incarnation, slots, "", dict(labels), tuple(taints), dict(resources))
    return roster.join(event, SETTINGS, PREDICTIVE, 1_000)


def asking(name: str, **needs) -> TaskRecord:
    return TaskRecord(structs.replace(task(name), asks=Terms(needs=Needs(**needs))), "i:w", "1-0", booking=Booking())


def required(label: str, operator: Operator, *values: str) -> Condition:
    return Condition(label, operator, values)


@pytest.mark.parametrize(
    ("condition", "labels", "expected"),
    [
        (required("zone", Operator.IN, "a", "b"), {"zone": "b"}, True),
        (required("zone", Operator.IN, "a", "b"), {"zone": "c"}, False),
        (required("zone", Operator.IN, "a"), {}, False),
        (required("zone", Operator.NOT_IN, "a"), {"zone": "a"}, False),
        (required("zone", Operator.NOT_IN, "a"), {"zone": "b"}, True),
        (required("zone", Operator.NOT_IN, "a"), {}, True),
        (required("ssd", Operator.EXISTS), {"ssd": ""}, True),
        (required("ssd", Operator.EXISTS), {}, False),
        (required("ssd", Operator.MISSING), {}, True),
        (required("ssd", Operator.MISSING), {"ssd": "yes"}, False),
        (required("cores", Operator.ABOVE, "8"), {"cores": "16"}, True),
        (required("cores", Operator.ABOVE, "8"), {"cores": "8"}, False),
        (required("cores", Operator.ABOVE, "8"), {"cores": "9.5"}, True),
        (required("cores", Operator.ABOVE, "8"), {"cores": "many"}, False),
        (required("cores", Operator.ABOVE, "few"), {"cores": "16"}, False),
        (required("cores", Operator.ABOVE), {"cores": "16"}, False),
        (required("cores", Operator.ABOVE, "8"), {"cores": "nan"}, False),
        (required("cores", Operator.ABOVE, "8"), {}, False),
        (required("cores", Operator.BELOW, "8"), {"cores": "4"}, True),
        (required("cores", Operator.BELOW, "8"), {"cores": "8"}, False),
        (required("cores", Operator.BELOW, "8"), {"cores": "nan"}, False),
    ],
)
def test_condition_compares_a_label_as_its_operator_says(condition: Condition, labels: dict, expected: bool):
    assert holds(condition, labels) is expected
    assert meets(condition, labels) is expected


def test_task_without_needs_has_no_column_in_a_pool_without_taints():
    roster = Roster()
    join(roster, labels={"zone": "a"})
    assert Eligibility(roster).column(NO_NEEDS, 0.0) is None


def test_taint_keeps_away_every_task_that_does_not_tolerate_it():
    roster = Roster()
    plain, special = join(roster, "plain"), join(roster, "special", taints=("gpu", "spot"))
    eligibility = Eligibility(roster)
    column = eligibility.column(NO_NEEDS, 0.0)
    assert (column[plain.row], column[special.row]) == (0.0, math.inf)
    assert eligibility.column(Needs(tolerates=("gpu",)), 0.0)[special.row] == math.inf
    assert eligibility.column(Needs(tolerates=("spot", "gpu")), 0.0)[special.row] == 0.0
    roster.leave(special)
    assert eligibility.column(NO_NEEDS, 0.0) is None


def test_preferred_labels_add_up_and_forbid_nothing():
    roster = Roster()
    near, far = join(roster, "near", labels={"zone": "a", "ssd": ""}), join(roster, "far", labels={"zone": "b"})
    needs = Needs(
        conditions=(
            Condition("zone", Operator.IN, ("a",), 30.0),
            Condition("ssd", Operator.EXISTS, (), 12.0),
            Condition("zone", Operator.IN, ("b",), -5.0),
        )
    )
    column = Eligibility(roster).column(needs, 0.0)
    assert (column[near.row], column[far.row]) == (-42.0, 5.0)


def test_absurd_worth_of_a_label_is_bounded():
    roster = Roster()
    worker = join(roster, labels={"zone": "a"})
    needs = Needs(conditions=(Condition("zone", Operator.EXISTS, (), 1e300),))
    assert worth_ms(worker, needs) == -PREFER_MS_MAX


def test_column_follows_workers_that_join_leave_and_register_anew():
    roster, needs = Roster(), Needs(conditions=(required("zone", Operator.IN, "a"),))
    eligibility = Eligibility(roster)
    first = join(roster, "first", labels={"zone": "a"})
    assert eligibility.column(needs, 0.0)[first.row] == 0.0
    second = join(roster, "second", labels={"zone": "b"})
    assert eligibility.column(needs, 0.0)[second.row] == math.inf
    join(roster, "second", labels={"zone": "a"}, incarnation=2)
    assert eligibility.column(needs, 0.0)[second.row] == 0.0
    roster.leave(first)
    third = join(roster, "third", labels={"zone": "c"})
    assert third.row == first.row
    assert eligibility.column(needs, 0.0)[third.row] == math.inf


def test_column_that_missed_more_changes_than_are_kept_is_made_anew():
    roster, needs = Roster(), Needs(conditions=(required("zone", Operator.IN, "a"),))
    eligibility = Eligibility(roster)
    still = join(roster, "still", labels={"zone": "b"})
    assert eligibility.column(needs, 0.0)[still.row] == math.inf
    join(roster, "still", labels={"zone": "a"}, incarnation=2)
    for incarnation in range(CHANGES_MAX):
        join(roster, "restless", incarnation=incarnation + 1)
    assert eligibility.column(needs, 0.0)[still.row] == 0.0


def test_more_groups_than_are_kept_give_the_same_answers():
    roster = Roster()
    worker = join(roster, labels={"number": "7"})
    eligibility = Eligibility(roster)
    for _ in range(2):
        for number in range(GROUPS_MAX + 10):
            needs = Needs(conditions=(required("number", Operator.IN, str(number)),))
            assert eligibility.column(needs, 0.0)[worker.row] == (0.0 if number == 7 else math.inf)


def test_resources_are_free_less_what_tasks_in_flight_asked_for():
    roster = Roster()
    worker = join(roster, resources={"memory": 10.0, "gpu": 1.0}, slots=4)
    eligibility, needs = Eligibility(roster), Needs(resources=(("memory", 6.0),))
    assert eligibility.column(needs, 0.0)[worker.row] == 0.0
    record = asking("a", resources=(("memory", 6.0),))
    roster.book(worker, record)
    assert eligibility.column(needs, 0.0)[worker.row] == math.inf
    assert eligibility.column(Needs(resources=(("memory", 4.0), ("gpu", 1.0))), 0.0)[worker.row] == 0.0
    roster.settle(record)
    assert eligibility.column(needs, 0.0)[worker.row] == 0.0
    assert worker.used == {}


def test_worker_that_offers_no_figure_is_not_asked_for_one():
    roster = Roster()
    silent = join(roster, "silent")
    eligibility, needs = Eligibility(roster), Needs(resources=(("gpu", 1.0),))
    assert set(eligibility.column(needs, 0.0)) == {math.inf}
    told = join(roster, "told", resources={"gpu": 2.0})
    column = eligibility.column(needs, 0.0)
    assert (column[silent.row], column[told.row]) == (math.inf, 0.0)
    roster.leave(told)
    assert set(eligibility.column(needs, 0.0)) == {math.inf}


def test_fit_prefers_the_worker_that_would_have_least_left():
    roster = Roster()
    large, small = join(roster, "large", resources={"memory": 16.0}), join(roster, "small", resources={"memory": 5.0})
    column = Eligibility(roster).column(Needs(resources=(("memory", 4.0),)), 10.0)
    assert (column[large.row], column[small.row]) == (7.5, 2.0)


def test_tenths_that_do_not_add_up_in_binary_fit_all_the_same():
    roster = Roster()
    worker = join(roster, resources={"cpu": 0.3}, slots=8)
    for name in ("a", "b"):
        roster.book(worker, asking(name, resources=(("cpu", 0.1),)))
    assert Eligibility(roster).column(Needs(resources=(("cpu", 0.1),)), 0.0)[worker.row] == 0.0
    assert fits(worker, (("cpu", 0.1),))
    assert not fits(worker, (("cpu", 0.11),))


def test_nothing_is_left_over_of_a_resource_that_nobody_asks_for_any_more():
    roster = Roster()
    worker = join(roster, resources={"cpu": 1.0}, slots=8)
    records = [asking(str(number), resources=(("cpu", amount),)) for number, amount in enumerate((0.1, 0.2, 0.3))]
    other = asking("other", resources=())
    for record in (*records, other):
        roster.book(worker, record)
    for record in records:
        roster.settle(record)
    assert worker.used == {}
    assert roster.resources.columns["cpu"].free[worker.row] == 1.0


def test_worker_that_registers_with_less_keeps_what_is_taken():
    roster = Roster()
    worker = join(roster, resources={"memory": 10.0}, slots=4)
    roster.book(worker, asking("a", resources=(("memory", 6.0),)))
    join(roster, resources={"memory": 7.0}, slots=4, incarnation=2)
    eligibility = Eligibility(roster)
    assert eligibility.column(Needs(resources=(("memory", 2.0),)), 0.0)[worker.row] == math.inf
    assert eligibility.column(Needs(resources=(("memory", 1.0),)), 0.0)[worker.row] == 0.0


def test_funnel_counts_every_worker_under_its_first_reason():
    roster = Roster()
    zone, memory = {"zone": "a"}, {"memory": 8.0}
    workers = {
        name: join(roster, name, labels=zone, resources=memory)
        for name in ("open", "full", "draining", "cordoned", "broken", "suspect", "short", "closed")
    }
    join(roster, "tainted", labels=zone, resources=memory, taints=("gpu",))
    join(roster, "elsewhere", resources=memory)
    join(roster, "small", labels=zone, resources={"memory": 1.0})
    workers["full"].in_flight = workers["full"].credit
    workers["short"].used = {"memory": 6.0}
    workers["closed"].accepting = False
    for name in ("draining", "cordoned", "broken", "suspect"):
        setattr(workers[name], name, True)
        workers[name].accepting = False
    needs = Needs(conditions=(required("zone", Operator.IN, "a"),), resources=(("memory", 4.0),))
    expected = dict.fromkeys((OPEN, BUSY, DRAINING, CORDONED, BROKEN, SUSPECT, NOT_ACCEPTING, TAINTS, LABELS), 1)
    assert Eligibility(roster).funnel(needs) == expected | {RESOURCES: 2}


def test_possible_looks_at_what_workers_are_and_not_at_what_they_do():
    roster = Roster()
    worker = join(roster, resources={"memory": 8.0})
    eligibility, needs = Eligibility(roster), Needs(resources=(("memory", 8.0),))
    roster.book(worker, asking("a", resources=(("memory", 8.0),)))
    worker.accepting = False
    assert eligibility.possible(needs)
    assert not eligibility.possible(Needs(resources=(("memory", 8.1),)))
    assert not eligibility.possible(Needs(conditions=(required("zone", Operator.EXISTS),)))


LABEL_VALUES = ("a", "b", "3", "12")
RESOURCE_NAMES = ("cpu", "memory", "gpu")


def random_needs(dice: random.Random) -> Needs:
    conditions = tuple(
        Condition(
            dice.choice(("zone", "cores")),
            dice.choice(list(Operator)),
            tuple(dice.sample(LABEL_VALUES, dice.choice((1, 2)))),
            dice.choice((None, None, 10.0)),
        )
        for _ in range(dice.randrange(3))
    )
    tolerates = tuple(dice.sample(("gpu", "spot"), dice.randrange(3)))
    names = sorted(dice.sample(RESOURCE_NAMES, dice.choice((0, 0, 1, 2))))
    return Needs(conditions, tolerates, tuple((name, dice.choice((0.1, 1.0, 3.0))) for name in names))


@pytest.mark.parametrize("seed", range(20))
def test_columns_agree_with_plain_feasibility_through_random_histories(seed: int):
    dice = random.Random(seed)
    roster = Roster()
    eligibility = Eligibility(roster)
    kinds = [random_needs(dice) for _ in range(6)]
    for step in range(150):
        act = dice.random()
        name = f"w{dice.randrange(12)}"
        worker = roster.by_name.get(name)
        if act < 0.3:
            labels = {label: dice.choice(LABEL_VALUES) for label in dice.sample(("zone", "cores"), dice.randrange(3))}
            offers = {each: dice.choice((0.3, 1.0, 4.0)) for each in dice.sample(RESOURCE_NAMES, dice.randrange(4))}
            taints = dice.sample(("gpu", "spot"), dice.choice((0, 0, 1)))
            join(roster, name, labels=labels, taints=taints, resources=offers, slots=5, incarnation=step)
        elif act < 0.4 and worker is not None and not worker.placed:
            roster.leave(worker)
        elif act < 0.8 and worker is not None:
            record = TaskRecord(
                structs.replace(task(f"t{step}"), asks=Terms(needs=dice.choice(kinds))), f"i:{name}", ""
            )
            record.booking = Booking()
            roster.book(worker, record)
        elif worker is not None and worker.placed:
            roster.settle(dice.choice(list(worker.placed.values())))
        for needs in dice.sample(kinds, 2):
            column = eligibility.column(needs, 0.0)
            for each in roster.ring:
                feasible = column is None or column[each.row] < math.inf
                assert feasible is plainly_feasible(each, needs), f"seed {seed}, step {step}: {each.name} and {needs}"
                may = rejection(each, needs) in (None, BUSY)
                assert may is feasible, f"seed {seed}, step {step}: {each.name} and {needs}"


@pytest.mark.parametrize("seed", range(6))
def test_funnel_of_a_decision_is_counted_as_its_plain_twin_counts_all_workers(seed: int):
    dice, roster = random.Random(seed), Roster()
    eligibility = Eligibility(roster)
    asked = (
        NO_NEEDS,
        Needs(conditions=(required("zone", Operator.IN, "a"),)),
        Needs(resources=(("memory", 6.0),)),
        Needs(conditions=(required("zone", Operator.IN, "b"),), resources=(("memory", 3.0),)),
        Needs(resources=(("unheard-of", 1.0),)),
    )
    for number in range(120):
        name = f"w{dice.randrange(40)}"
        worker = roster.by_name.get(name)
        if worker is None or dice.random() < 0.2:
            offer = {"memory": float(dice.randrange(9))} if dice.random() < 0.7 else {}
            taints = ("spot",) if dice.random() < 0.1 else ()
            worker = join(roster, name, labels={"zone": dice.choice("ab")}, taints=taints, resources=offer)
        elif dice.random() < 0.2:
            roster.leave(worker)
        else:
            worker.draining, worker.suspect = dice.random() < 0.2, dice.random() < 0.2
            roster.refresh(worker)
            if dice.random() < 0.5:
                roster.book(worker, TaskRecord(task(f"t{number}"), f"i:{name}", "1-0", booking=Booking()))
        needs = dice.choice(asked)
        column = eligibility.column(needs, 0.0)
        rows = [roster.by_row.get(row) for row in range(roster.table.rows)]
        forbidden = [
            0 if worth_ms(each, needs) < math.inf else BY_LABELS if tolerated(each, needs) else BY_TAINTS
            for each in (worker if worker is not None else join(Roster()) for worker in rows)
        ]
        lacks = None if column is None or not needs.resources else column[: len(rows)]
        closed = roster.table.column("closed").tolist()
        expected = oracle_bill.funnel(closed, roster.standings, forbidden, lacks)
        assert eligibility.counts(column) == expected, f"seed {seed}, step {number}"
