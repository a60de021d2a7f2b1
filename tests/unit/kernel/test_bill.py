"""The bill and the funnel against their plain Python twins, bit for bit, and at their edges."""

from __future__ import annotations

import math
import random
from array import array

import pytest

from nexus_sched._kernel.bill import ROWS_MAX, bill, funnel, in_turn, left_open
from nexus_sched._kernel.scorer import Scorer
from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.errors import KernelError, SnapshotUnreadable
from nexus_sched.model.bill import COLUMNS, FUNNEL, Weights, Why, bill_of, reweighed
from nexus_sched.testing import oracle_bill
from nexus_sched.testing.oracle import PlainWorkerTable, Question

SIZES = ((1, 60), (2, 60), (16, 60), (255, 20), (256, 20), (257, 20), (700, 10))


def fleet(workers: int, dice: random.Random) -> tuple[WorkerTable, PlainWorkerTable]:
    """A table and its twin: some alike, some full, some gone."""
    table, plain = WorkerTable(1), PlainWorkerTable()
    alike = dice.random() < 0.3
    for number in range(workers):
        for each in (table.join(f"w{number}", 2, 3, 0.0), plain.join(f"w{number}", 2, 3)):
            assert each == number
    for row in range(workers if not alike else 0):
        calls = [("set_factor", dice.choice((1.0, dice.lognormvariate(0, 0.4))))]
        calls += [("set_class", dice.randrange(min(row + 1, 4))), ("set_bias", dice.choice((0.0, -2.5, 40.0)))]
        calls += [("book", dice.lognormvariate(3, 1)) for _ in range(dice.randrange(4))]
        calls += [("set_accepting", dice.random() < 0.9)]
        for method, argument in calls:
            getattr(table, method)(row, argument)
            getattr(plain, method)(row, argument)
    for row in dice.sample(range(workers), workers // 10) if not alike else ():
        table.leave(row)
        plain.leave(row)
    return table, plain


def asked(plain: PlainWorkerTable, capacity: int, dice: random.Random) -> tuple[Question, array | None]:
    """A question, and the part of its extra column that is not fit."""
    live = [row for row, entry in enumerate(plain.workers) if entry.name is not None]
    base_ms = extra_ms = None
    if dice.random() < 0.6:
        base_ms = array("f", (dice.choice((0.0, -30.0, math.inf)) for _ in range(capacity)))
        extra_ms = array("f", (value + dice.choice((0.0, 1.25)) for value in base_ms))
    run_ms = dice.lognormvariate(3, 1)
    means = run_ms if dice.random() < 0.5 else array("f", (run_ms * dice.random() for _ in plain.workers))
    terms = tuple((dice.choice(live), dice.choice((-50.0, 0.1, 1e9))) for _ in range(dice.choice((0, 3))))
    rotation, balance_ms = dice.randrange(99), dice.choice((0.0, 7.5))
    wait_max_ms = dice.choice((math.inf, math.inf, 0.0, 40.0))
    weight = dice.choice((0.0, 2.0))
    return Question(means, weight, 0.1, 2.0, rotation, balance_ms, extra_ms, terms, wait_max_ms), base_ms


def assert_alike(workers: int, seed: int) -> None:
    dice = random.Random(seed)
    table, plain = fleet(workers, dice)
    scorer = Scorer(table)
    question, base_ms = asked(plain, table.capacity, dice)
    told = (question.run_ms, question.wait_weight, question.near_tie_share, question.near_tie_ms, question.rotation)
    chosen = scorer.choose(*told, question.balance_ms, question.extra_ms, question.terms, question.wait_max_ms)
    accepting = [entry.name is not None and entry.accepting for entry in plain.workers]
    turn = dice.choice((0, 1, workers - 1, dice.randrange(10**12)))
    names = [entry.name or "" for entry in plain.workers]
    expected_turn = oracle_bill.round_robin(accepting, question.extra_ms, turn)
    assert in_turn(table, question.extra_ms, turn) == (names[expected_turn] if expected_turn >= 0 else "")
    if chosen < 0:
        return
    top, transfer_ms = dice.choice((1, 3, 5, ROWS_MAX)), dice.choice((0.0, 12.5))
    written, candidates, round_robin, promised_ms = bill(scorer, chosen, top, transfer_ms, base_ms, turn)
    twin, rows, _ = oracle_bill.bill(plain.columns(), question, chosen, top, transfer_ms, base_ms, accepting, turn)
    assert written == twin, f"seed {seed}"
    assert (candidates, round_robin) == (tuple(names[row] for row in rows), names[expected_turn])
    read = bill_of(Why((), written, candidates, round_robin, 0))
    assert read is not None
    assert read.rows[0].total_ms == scorer.score_ms + transfer_ms
    others = [row.promised_ms for row in read.rows[1:] if row.is_open]
    assert promised_ms == pytest.approx(min(others, default=math.inf), rel=1e-6)
    for row in read.rows:
        assert row.total_by(read.weights) == pytest.approx(row.total_ms, rel=1e-5, abs=1e-2)


@pytest.mark.parametrize(("workers", "tables"), SIZES)
def test_bill_agrees_with_its_twin_bit_for_bit(workers: int, tables: int):
    for table in range(tables):
        assert_alike(workers, seed=workers * 10_000 + table)


@pytest.mark.parametrize("workers", [0, 1, 31, 256, 257, 9_000])
def test_funnel_agrees_with_its_twin(workers: int):
    dice = random.Random(workers)
    table = WorkerTable(1)
    for number in range(workers):
        table.join(f"w{number}", 1, dice.choice((0, 1)), 0.0)
    padded = table.capacity - workers
    standing = array("B", [dice.choice((0, 1, 1, 1, 2, 3, 4, 5)) for _ in range(workers)] + [0] * padded)
    forbidden = array("B", (dice.choice((0, 0, 1, 2, 9)) for _ in range(table.capacity)))
    extra_ms = array("f", (dice.choice((0.0, -5.0, math.inf)) for _ in range(table.capacity)))
    closed_ms = table.column("closed").tolist()
    for masks in ((forbidden, extra_ms), (None, extra_ms), (forbidden, None), (None, None)):
        assert funnel(table, standing, *masks) == oracle_bill.funnel(closed_ms, standing, *masks)


@pytest.mark.parametrize("workers", [0, 1, 31, 256, 257, 9_000])
def test_what_is_left_open_is_what_the_funnel_says(workers: int):
    dice = random.Random(workers)
    table = WorkerTable(1)
    standing = array("B", [dice.choice((1, 1, 1, 2, 3, 4, 5)) for _ in range(workers)])
    for number in range(workers):
        row = table.join(f"w{number}", 1, dice.choice((0, 1)), 0.0)
        table.set_accepting(row, standing[row] == 1)
    standing.extend([0] * (table.capacity - workers))
    forbidden = array("B", (dice.choice((0, 0, 1, 2, 9)) for _ in range(table.capacity)))
    extra_ms = array("f", (dice.choice((0.0, -5.0, math.inf)) for _ in range(table.capacity)))
    closed_ms = table.column("closed").tolist()
    for masks in ((forbidden, extra_ms), (None, extra_ms), (forbidden, None), (None, None)):
        former = oracle_bill.funnel(closed_ms, standing, masks[0], None)
        for row in range(0, workers, 3):
            table.set_credit(row, 1 - table.credit(row))
        closed_ms = table.column("closed").tolist()
        assert left_open(table, standing, *masks, former) == oracle_bill.funnel(closed_ms, standing, *masks)


def test_bill_explains_the_last_choice_and_nothing_else():
    table = WorkerTable()
    table.join("w", 1, 1, 0.0)
    scorer = Scorer(table)
    with pytest.raises(KernelError, match="no choice"):
        bill(scorer, 0, 5, 0.0, None, 0)
    scorer.choose(1.0, 2.0, 0.1, 2.0, 0)
    assert bill(scorer, 0, 5, 0.0, None, 0)[1:] == (("w",), "w", math.inf)
    scorer.scores(1.0, 2.0)
    with pytest.raises(KernelError, match="no choice"):
        bill(scorer, 0, 5, 0.0, None, 0)


@pytest.mark.parametrize(
    ("row", "top", "transfer_ms", "base_ms"),
    [
        (1, 5, 0.0, None),
        (0, 0, 0.0, None),
        (0, ROWS_MAX + 1, 0.0, None),
        (0, 5, math.nan, None),
        (0, 5, 0.0, array("f")),
        (0, 5, 0.0, array("d", [0.0] * 1024)),
    ],
)
def test_bill_refuses_what_is_out_of_bounds(row: int, top: int, transfer_ms: float, base_ms: array | None):
    table = WorkerTable()
    table.join("w", 1, 1, 0.0)
    scorer = Scorer(table)
    scorer.choose(1.0, 2.0, 0.1, 2.0, 0)
    with pytest.raises(KernelError):
        bill(scorer, row, top, transfer_ms, base_ms, 0)


@pytest.mark.parametrize("standing", [array("B", [1]), array("b", [1] * 1024)])
def test_funnel_refuses_a_buffer_that_is_too_short_or_of_other_numbers(standing: array):
    table = WorkerTable()
    table.join("w", 1, 1, 0.0)
    with pytest.raises(KernelError):
        funnel(table, standing, None, None)
    with pytest.raises(KernelError):
        left_open(table, standing, None, None, (0,) * 10)
    with pytest.raises(KernelError, match="counts"):
        left_open(table, array("B", [1] * 1024), None, None, ())


def test_round_robin_takes_the_next_accepting_worker_whatever_it_holds():
    table = WorkerTable()
    for name in ("a", "b", "c"):
        table.join(name, 1, 1, 0.0)
    table.book(1, 500.0)
    scorer = Scorer(table)
    row = scorer.choose(10.0, 2.0, 0.1, 2.0, 0)
    written, candidates, round_robin, _ = bill(scorer, row, 1, 0.0, None, 1)
    assert (candidates, round_robin) == (("a", "b"), "b")
    read = bill_of(Why((3,), written, candidates, round_robin, 0))
    assert read is not None
    assert [(row.wait_ms, row.run_ms, row.total_ms) for row in read.rows] == [(0.0, 10.0, 10.0), (500.0, 10.0, 1010.0)]
    assert read.rows[1].promised_ms == 510.0
    assert [row.is_open for row in read.rows] == [True, False]
    assert reweighed(read, Weights(wait=0.0)).rows[0].worker == "a", "a worker that is not open is not chosen"
    table.set_accepting(1, False)
    assert bill(scorer, row, 1, 0.0, None, 1)[2] == "c"


def test_other_weights_name_another_worker():
    table = WorkerTable()
    for name, factor in (("idle", 3.0), ("fast", 1.0)):
        table.set_factor(table.join(name, 1, 2, 0.0), factor)
    table.book(1, 15.0)
    scorer = Scorer(table)
    row = scorer.choose(10.0, 2.0, 0.0, 0.0, 0)
    written, candidates, round_robin, _ = bill(scorer, row, 5, 0.0, None, 0)
    read = bill_of(Why((2,), written, candidates, round_robin, 0))
    assert read is not None
    assert [(each.worker, each.total_ms) for each in read.rows] == [("idle", 30.0), ("fast", 40.0)]
    other = reweighed(read, Weights(wait=0.5))
    assert [(each.worker, each.total_ms) for each in other.rows] == [("fast", 17.5), ("idle", 30.0)]


def test_a_bill_that_is_damaged_is_refused():
    table = WorkerTable()
    table.join("w", 1, 1, 0.0)
    scorer = Scorer(table)
    scorer.choose(1.0, 2.0, 0.1, 2.0, 0)
    written = bill(scorer, 0, 5, 0.0, None, 0)[0]
    assert len(COLUMNS) == 9
    assert len(FUNNEL) == 11
    assert bill_of(Why((), b"", (), "", 0)) is None
    for damaged, names in ((written[:-1], ("w",)), (written[:7], ("w",)), (b"\2" + written[1:], ("w",)), (written, ())):
        with pytest.raises(SnapshotUnreadable):
            bill_of(Why((), damaged, names, "", 0))
