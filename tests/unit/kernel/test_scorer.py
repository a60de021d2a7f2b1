"""The scorer against its plain Python twin, bit for bit, and at its edges."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from dataclasses import replace

import pytest

from nexus_sched._kernel.scorer import Scorer
from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.errors import KernelError
from nexus_sched.testing.oracle import PlainWorkerTable, Question

CHOICES_PER_TABLE = 4
# (workers, tables): 1,280 tables and 5,120 choices; sizes around the vector widths and the blocks of 256 rows.
SIZES = ((0, 5), (1, 160), (2, 160), (15, 160), (16, 160), (17, 160), (64, 330), (255, 40), (256, 40), (257, 40))
NOW_MS = 1_700_000_000_000.0
LARGE_SIZES = ((1000, 20), (2049, 5))
COLUMNS = (
    *("wait_ms", "factor", "bias_ms", "closed", "load", "share", "booked_ms", "in_flight", "slots", "credit"),
    "class_index",
)


class Pair:
    """A compiled table and its twin that see the same calls."""

    def __init__(self) -> None:
        self.table = WorkerTable(1)
        self.plain = PlainWorkerTable()
        self.scorer = Scorer(self.table)

    def join(self, name: str, slots: int, credit: int) -> int:
        row = self.table.join(name, slots, credit, 0.0)
        assert row == self.plain.join(name, slots, credit)
        return row

    def both(self, method: str, *arguments: float) -> None:
        getattr(self.table, method)(*arguments)
        getattr(self.plain, method)(*arguments)

    def assert_equal_choice(self, dice: random.Random, seed: int) -> None:
        run_ms = dice.choice((0.0, 0.3, 7.0, dice.lognormvariate(4, 2), 1e15))
        wait_weight = dice.choice((0.0, 1.0, 2.0, 1e6, dice.random()))
        near_tie = (dice.choice((0.0, 0.1, 1.0)), dice.choice((0.0, 2.0, 1e15)))
        rotation = dice.choice((0, 1, dice.randrange(5000), -dice.randrange(5000), 2**63 - 1))
        balance_ms = dice.choice((0.0, 0.0, 7.5, dice.lognormvariate(3, 2)))
        question = Question(
            self.means(dice, run_ms), wait_weight, *near_tie, rotation, balance_ms, self.extra(dice), self.terms(dice)
        )
        bias_before = self.table.column("bias_ms").tobytes()
        told = (question.run_ms, wait_weight, balance_ms, question.extra_ms, question.terms)
        expected = self.plain.scores(question)
        assert self.scorer.scores(*told).tobytes() == array("f", expected).tobytes(), f"seed {seed}: {question}"
        question = replace(
            question, wait_max_ms=dice.choice((math.inf, math.inf, 0.0, 10.0, 1e15, dice.lognormvariate(4, 2)))
        )
        row = self.scorer.choose(*told[:2], *near_tie, rotation, *told[2:], question.wait_max_ms)
        assert row == self.plain.choose(question), f"seed {seed}: {question}"
        if row >= 0:
            assert self.scorer.score_ms == expected[row], f"seed {seed}: {question}"
        assert self.table.column("bias_ms").tobytes() == bias_before, f"seed {seed}: a term has stayed"

    def means(self, dice: random.Random, run_ms: float) -> float | array:
        """One mean for all, or one for each class."""
        if dice.random() < 0.4:
            return run_ms
        return array("f", (run_ms * dice.choice((0.0, 0.5, 1.0)) for _ in range(self.table.rows)))

    def extra(self, dice: random.Random) -> array | None:
        """Nothing, or a column that keeps the task from some rows and draws it to others."""
        if dice.random() < 0.5:
            return None
        share = dice.choice((0.0, 0.1, 1.0))
        return array(
            "f",
            (math.inf if dice.random() < share else dice.choice((0.0, -30.0)) for _ in range(self.table.capacity)),
        )

    def terms(self, dice: random.Random) -> tuple[tuple[int, float], ...]:
        """Some rows, perhaps one of them twice, are worth more or less."""
        rows = [row for row, entry in enumerate(self.plain.workers) if entry.name is not None]
        count = dice.choice((0, 0, 1, 5))
        return tuple((dice.choice(rows), dice.choice((-50.0, 0.1, 1e9))) for _ in range(count if rows else 0))


def alike(pair: Pair, dice: random.Random, row: int) -> None:
    """Every worker the same: all rows tie."""


def masked(pair: Pair, dice: random.Random, row: int) -> None:
    pair.both("set_accepting", row, False)


def mixed(pair: Pair, dice: random.Random, row: int) -> None:
    pair.both("set_factor", row, dice.choice((0.0, 1.0, 5.0, dice.lognormvariate(0, 0.35))))
    pair.both("set_bias", row, dice.choice((0.0, -0.0, -3.5, dice.gauss(0, 50))))
    pair.both("set_credit", row, dice.randrange(6))
    pair.both("set_class", row, dice.randrange(min(row + 1, 4)))
    pair.both("set_share", row, dice.choice((1.0, 1.0, 0.25, 0.3)))
    for _ in range(dice.randrange(6)):
        pair.both("book", row, dice.choice((0.0, 10.0, dice.lognormvariate(4, 2))))
    if dice.random() < 0.2 and pair.table.in_flight(row):
        pair.both("settle", row, dice.lognormvariate(4, 2))
    if dice.random() < 0.5:
        pair.both("set_free_at", row, NOW_MS + dice.lognormvariate(4, 2))


def huge(pair: Pair, dice: random.Random, row: int) -> None:
    pair.both("set_factor", row, dice.choice((0.0, 1e6, 1e-40)))
    pair.both("set_bias", row, dice.choice((-1e15, 1e15, 1e-45)))
    pair.both("book", row, dice.choice((0.0, 1e14, 1e15)))


STATES: tuple[Callable[[Pair, random.Random, int], None], ...] = (alike, masked, mixed, mixed, mixed, huge)


def check(workers: int, seed: int) -> None:
    dice = random.Random(seed)
    state = dice.choice(STATES)
    pair = Pair()
    for index in range(workers):
        pair.join(f"w{index}", dice.choice((1, 4)) if state is mixed else 4, 6)
    now_ms = dice.choice((0.0, NOW_MS))
    pair.both("set_now", now_ms)
    for row in range(workers):
        state(pair, dice, row)
    pair.both("set_now", now_ms + dice.choice((0.0, 1.0, 50.0, 1e6)))
    for row in dice.sample(range(workers), workers // 8) if state is mixed else ():
        pair.both("leave", row)
    for name in COLUMNS:
        expected = array("f", pair.plain.column(name)).tobytes()
        assert pair.table.column(name).tobytes() == expected, f"seed {seed}: {name}"
    assert pair.table.open_count == sum(entry.open for entry in pair.plain.workers), f"seed {seed}"
    classes = pair.plain.open_class_indexes()
    assert pair.table.open_class_indexes() == classes, f"seed {seed}"
    assert pair.table.open_classes == len(classes), f"seed {seed}"
    assert pair.table.open_class == (classes[0] if len(classes) == 1 else -1), f"seed {seed}"
    for _ in range(CHOICES_PER_TABLE):
        pair.assert_equal_choice(dice, seed)


@pytest.mark.parametrize(("workers", "tables"), SIZES + LARGE_SIZES)
def test_scorer_agrees_with_its_twin_bit_for_bit(workers: int, tables: int):
    for table in range(tables):
        check(workers, seed=workers * 10_000 + table)


def test_the_cases_above_are_at_least_five_thousand():
    assert sum(tables for _, tables in SIZES + LARGE_SIZES) * CHOICES_PER_TABLE >= 5_000


def test_choose_without_workers_returns_minus_one():
    assert Scorer(WorkerTable()).choose(1.0, 2.0, 0.1, 2.0, 0) == -1


def test_choose_with_all_rows_closed_returns_minus_one():
    table = WorkerTable()
    full = table.join("full", 1, 1, 0.0)
    table.book(full, 5.0)
    table.set_accepting(table.join("cordoned", 1, 1, 0.0), False)
    table.join("without-credit", 1, 0, 0.0)
    assert table.open_count == 0
    assert Scorer(table).choose(1.0, 2.0, 0.1, 2.0, 0) == -1


def test_choose_prefers_the_shorter_wait_and_then_the_faster_worker():
    table = WorkerTable()
    for name in ("busy", "slow", "fast"):
        table.join(name, 1, 2, 0.0)
    table.book(0, 500.0)
    table.set_factor(1, 3.0)
    scorer = Scorer(table)
    assert scorer.choose(100.0, 2.0, 0.0, 0.0, 0) == 2
    table.set_accepting(2, False)
    assert scorer.choose(100.0, 2.0, 0.0, 0.0, 0) == 1
    assert scorer.score_ms == 300.0
    assert scorer.scores(100.0, 2.0).tolist() == [1100.0, 300.0, math.inf]


@pytest.mark.parametrize(("rotation", "expected"), [(0, 1), (1, 1), (2, 5), (5, 5), (6, 1), (7, 1), (-3, 5), (12, 5)])
def test_near_ties_of_equal_load_go_to_the_first_row_at_or_behind_the_rotation(rotation: int, expected: int):
    table = WorkerTable()
    for index in range(7):
        table.join(f"w{index}", 2, 3, 0.0)
        if index not in (1, 5):
            table.book(index, 0.0)
    assert Scorer(table).choose(10.0, 2.0, 0.1, 2.0, rotation) == expected


@pytest.mark.parametrize(("share", "near_tie_ms", "expected"), [(0.1, 0.0, 1), (0.0, 10.0, 1), (0.09, 9.0, 0)])
def test_near_tie_margin_is_the_larger_of_share_and_span(share: float, near_tie_ms: float, expected: int):
    table = WorkerTable()
    table.join("best-but-busy", 4, 4, 0.0)
    table.join("idle", 4, 4, 0.0)
    table.book(0, 1.0)
    table.set_bias(1, 10.0)
    assert Scorer(table).choose(100.0, 1.0, share, near_tie_ms, 0) == expected


def test_scorer_follows_a_table_that_grows_and_is_restored():
    table = WorkerTable(1)
    scorer = Scorer(table)
    for index in range(3000):
        table.set_bias(table.join(f"w{index}", 1, 1, 0.0), 3000.0 - index)
    assert scorer.choose(1.0, 1.0, 0.0, 0.0, 0) == 2999
    other = WorkerTable(1)
    follower = Scorer(other)
    other.restore(table.snapshot())
    assert follower.choose(1.0, 1.0, 0.0, 0.0, 0) == 2999
    assert follower.scores(1.0, 1.0).tobytes() == scorer.scores(1.0, 1.0).tobytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1e16])
@pytest.mark.parametrize("position", range(4))
def test_choose_refuses_numbers_that_are_not_finite_or_out_of_bounds(position: int, value: float):
    table = WorkerTable()
    table.join("w", 1, 1, 0.0)
    arguments = [1.0, 2.0, 0.1, 2.0]
    arguments[position] = value
    with pytest.raises(KernelError):
        Scorer(table).choose(*arguments, 0)


@pytest.mark.parametrize("arguments", [(math.nan, 1.0), (1.0, math.nan), (-1.0, 1.0), (math.inf, 1.0)])
def test_scores_refuse_numbers_that_are_not_finite(arguments: tuple[float, float]):
    with pytest.raises(KernelError):
        Scorer(WorkerTable()).scores(*arguments)


def test_score_before_the_first_choice_is_infinite():
    assert Scorer(WorkerTable()).score_ms == math.inf


def test_each_class_has_its_own_mean_and_the_margin_is_a_share_of_the_best_run():
    table = WorkerTable()
    for index, name in enumerate(("slow", "fast", "middle")):
        table.set_class(table.join(name, 1, 2, 0.0), index)
    scorer = Scorer(table)
    assert scorer.choose(array("f", [90.0, 10.0, 20.0]), 2.0, 0.1, 2.0, 0) == 1
    assert scorer.scores(array("f", [90.0, 10.0, 20.0]), 2.0).tolist() == [90.0, 10.0, 20.0]
    table.book(1, 4.0)  # waits 4 ms, counted twice: within a tenth of 200 ms, but not of 10 ms
    assert scorer.choose(array("f", [200.0, 10.0, 20.0]), 2.0, 0.1, 0.0, 0) == 1
    assert scorer.choose(array("f", [10.0, 10.0, 10.5]), 0.0, 0.1, 0.0, 1) == 2


def test_extra_column_keeps_a_task_from_rows_and_all_of_them_are_none():
    table = WorkerTable()
    for name in ("a", "b"):
        table.join(name, 1, 1, 0.0)
    extra_ms = array("f", [math.inf] * table.capacity)
    scorer = Scorer(table)
    assert scorer.choose(10.0, 2.0, 0.1, 2.0, 0, 0.0, extra_ms) == -1
    extra_ms[1] = 3.0
    assert scorer.choose(10.0, 2.0, 0.1, 2.0, 0, 0.0, extra_ms) == 1
    assert scorer.score_ms == 13.0


@pytest.mark.parametrize(
    "changes",
    [
        {"run_ms": array("f", [1.0])},
        {"run_ms": array("d", [1.0, 1.0])},
        {"run_ms": array("f", [1.0, math.nan])},
        {"run_ms": array("f", [-1.0, 1.0])},
        {"run_ms": array("f", [1.0, math.inf])},
        {"extra_ms": array("f", [0.0, 0.0])},
        {"extra_ms": array("f", [-math.inf] * 1024)},
        {"balance_ms": math.nan},
        {"balance_ms": -1.0},
        {"terms": ((0, math.nan),)},
        {"terms": ((0, math.inf),)},
        {"terms": ((2, 1.0),)},
        {"terms": ((-1, 1.0),)},
        {"terms": ((0, 1.0),) * 17},
    ],
    ids=str,
)
def test_question_out_of_bounds_is_refused_and_leaves_nothing_behind(changes: dict):
    table = WorkerTable()
    for index, name in enumerate(("a", "b")):
        table.set_class(table.join(name, 1, 1, 0.0), index)
    before = table.digest()
    question = {"run_ms": 1.0, "wait_weight": 2.0, "near_tie_share": 0.1, "near_tie_ms": 2.0, "rotation": 0}
    with pytest.raises(KernelError):
        Scorer(table).choose(**(question | changes))
    assert table.digest() == before


def test_rows_that_wait_longer_than_the_limit_are_passed_over():
    table = WorkerTable()
    scorer = Scorer(table)
    for number, work_ms in enumerate((50.0, 20.0, 90.0)):
        table.book(table.join(f"w{number}", 1, 2, 0.0), work_ms)
    assert scorer.choose(10.0, 0.0, 0.0, 0.0, 2) == 2
    assert scorer.choose(10.0, 0.0, 0.0, 0.0, 2, wait_max_ms=50.0) == 0
    assert scorer.choose(10.0, 0.0, 0.0, 0.0, 2, wait_max_ms=20.0) == 1
    assert scorer.choose(10.0, 0.0, 0.0, 0.0, 2, wait_max_ms=19.0) == -1
    assert [table.next_within_ms(limit) for limit in (0.0, 20.0, 50.0, 90.0)] == [20.0, 30.0, 40.0, -1.0]
    table.set_accepting(0, False)
    assert table.next_within_ms(20.0) == 70.0
    for bad in (math.nan, -1.0):
        with pytest.raises(KernelError, match="wait_max_ms"):
            scorer.choose(10.0, 0.0, 0.0, 0.0, 0, wait_max_ms=bad)


def test_idle_rows_are_open_ones_with_a_free_slot():
    table = WorkerTable()
    scorer = Scorer(table)
    rows = [table.join(f"w{number}", 2, 3, 0.0) for number in range(3)]
    forbidden = array("f", [0.0] * table.capacity)
    forbidden[rows[0]] = math.inf
    assert scorer.has_idle() and scorer.has_idle(forbidden)
    for row in rows[1:]:
        table.book(row, 5.0)
        table.book(row, 5.0)
    assert scorer.has_idle() and not scorer.has_idle(forbidden)
    table.settle(rows[1], 5.0)
    assert scorer.has_idle(forbidden)
    table.set_accepting(rows[1], False)
    assert not scorer.has_idle(forbidden)
    table.set_credit(rows[0], 0)
    assert not scorer.has_idle()
    table.set_credit(rows[0], 2)
    assert scorer.has_idle()
    copy = WorkerTable()
    copy.restore(table.snapshot())
    assert Scorer(copy).has_idle()
    table.leave(rows[0])
    assert not scorer.has_idle()
