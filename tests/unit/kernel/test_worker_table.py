"""Bookings, generations and growth of the worker table."""

from __future__ import annotations

import math

import pytest

from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.errors import KernelError

FLEET = 10_000


@pytest.fixture
def table() -> WorkerTable:
    return WorkerTable()


def test_join_gives_rows_in_order_and_find_knows_them(table: WorkerTable):
    rows = [table.join(f"w{index}", 2, 3, 5.0) for index in range(3)]
    assert rows == [0, 1, 2]
    assert [table.find(f"w{index}") for index in range(4)] == [0, 1, 2, -1]
    assert (len(table), table.rows, table.open_count) == (3, 3, 3)
    assert (table.name(1), table.slots(1), table.credit(1), table.heard_at_ms(1)) == ("w1", 2, 3, 5.0)


def test_rejoin_of_a_live_name_keeps_row_and_bookings_and_advances_the_generation(table: WorkerTable):
    row = table.join("w", 1, 2, 1.0)
    first = table.generation(row)
    table.book(row, 40.0)
    table.set_accepting(row, False)
    assert table.join("w", 4, 5, 2.0) == row
    assert table.generation(row) == first + 1
    assert (table.in_flight(row), table.booked_ms(row)) == (1, 40.0)
    assert (table.slots(row), table.credit(row), table.heard_at_ms(row)) == (4, 5, 2.0)
    assert table.open_count == 1


def test_row_of_a_left_worker_is_reused_with_a_new_generation_and_no_bookings(table: WorkerTable):
    row = table.join("old", 1, 2, 1.0)
    stale = table.generation(row)
    table.book(row, 40.0)
    table.set_factor(row, 3.0)
    table.set_bias(row, -4.0)
    table.leave(row)
    assert table.find("old") == -1
    assert (len(table), table.rows, table.open_count) == (0, 1, 0)
    assert table.join("new", 1, 1, 1.0) == row
    assert table.generation(row) == stale + 1
    assert (table.in_flight(row), table.booked_ms(row)) == (0, 0.0)
    assert [table.column(name)[row] for name in ("factor", "bias_ms", "load", "wait_ms")] == [1.0, 0.0, 0.0, 0.0]


def test_booking_opens_and_closes_a_row_at_its_credit(table: WorkerTable):
    row = table.join("w", 2, 3, 0.0)
    waits = []
    for expected_open in (1, 1, 0):
        table.book(row, 30.0)
        waits.append(float(table.column("wait_ms")[row]))
        assert table.open_count == expected_open
    assert waits == [0.0, 30.0, 45.0]
    assert table.column("load")[row] == 1.5
    table.settle(row, 30.0)
    assert (table.in_flight(row), table.booked_ms(row), table.open_count) == (2, 60.0, 1)
    table.set_credit(row, 2)
    assert table.open_count == 0
    table.set_credit(row, 3)
    table.set_accepting(row, False)
    assert table.open_count == 0


def test_settled_work_never_falls_below_zero_and_ends_at_exactly_zero(table: WorkerTable):
    row = table.join("w", 4, 5, 0.0)
    table.book(row, 0.1)
    table.book(row, 0.2)
    table.settle(row, 5.0)
    assert table.booked_ms(row) == 0.0
    table.book(row, 0.1)
    table.book(row, 0.3)
    table.settle(row, 0.1)
    table.settle(row, 0.1)
    assert table.booked_ms(row) > 0.0
    table.settle(row, 0.1)
    assert (table.in_flight(row), table.booked_ms(row)) == (0, 0.0)
    with pytest.raises(KernelError, match="nothing in flight"):
        table.settle(row, 0.1)


def test_worker_that_is_never_idle_does_not_drift(table: WorkerTable):
    row = table.join("w", 1, 3, 0.0)
    table.book(row, 1000.0)
    for step in range(50_000):
        work_ms = 0.1 + step % 7 / 3
        table.book(row, work_ms)
        table.settle(row, work_ms)
    assert table.booked_ms(row) == pytest.approx(1000.0, abs=1e-6)


def test_heard_keeps_milliseconds_of_the_epoch_exactly(table: WorkerTable):
    row = table.join("w", 1, 1, 0.0)
    table.heard(row, 1_795_000_000_123.25)
    assert table.heard_at_ms(row) == 1_795_000_000_123.25


def test_fleet_that_leaves_and_rejoins_allocates_only_when_it_grows():
    table = WorkerTable(1024)
    capacities = []
    for index in range(FLEET):
        table.join(f"w{index}", 1, 2, 0.0)
        if not capacities or capacities[-1] != table.capacity:
            capacities.append(table.capacity)
    assert capacities == [1024, 2048, 4096, 8192, 16384]
    generations = [table.generation(row) for row in range(FLEET)]
    for row in range(FLEET):
        table.leave(row)
    assert (len(table), table.open_count, table.rows) == (0, 0, FLEET)
    assert sorted(table.join(f"again{index}", 1, 2, 0.0) for index in range(FLEET)) == list(range(FLEET))
    assert [table.generation(row) for row in range(FLEET)] == [value + 1 for value in generations]
    for index in range(FLEET):
        table.join(f"again{index}", 1, 2, 1.0)
    assert (len(table), table.rows, table.capacity, table.open_count) == (FLEET, FLEET, 16384, FLEET)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("name", ()),
        ("generation", ()),
        ("leave", ()),
        ("set_credit", (1,)),
        ("set_accepting", (True,)),
        ("set_factor", (1.0,)),
        ("set_bias", (1.0,)),
        ("set_share", (0.5,)),
        ("set_class", (0,)),
        ("class_index", ()),
        ("book", (1.0,)),
        ("settle", (1.0,)),
        ("heard", (1.0,)),
        ("heard_at_ms", ()),
        ("in_flight", ()),
        ("slots", ()),
        ("credit", ()),
        ("booked_ms", ()),
    ],
)
@pytest.mark.parametrize("row", [-1, 1, 2, 10**9])
def test_method_of_a_row_that_is_not_live_raises(table: WorkerTable, method: str, arguments: tuple, row: int):
    table.join("stays", 1, 1, 0.0)
    table.leave(table.join("left", 1, 1, 0.0))
    before = table.digest()
    with pytest.raises(KernelError, match="not live"):
        getattr(table, method)(row, *arguments)
    assert table.digest() == before


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e16, -1e16])
@pytest.mark.parametrize("method", ["set_factor", "set_bias", "set_share", "book", "settle", "heard"])
def test_number_that_is_not_finite_raises_and_changes_nothing(table: WorkerTable, method: str, value: float):
    row = table.join("w", 1, 3, 0.0)
    table.book(row, 1.0)
    before = table.digest()
    with pytest.raises(KernelError):
        getattr(table, method)(row, value)
    assert table.digest() == before


@pytest.mark.parametrize("method", ["set_factor", "set_share", "book", "settle"])
def test_negative_number_raises_where_it_has_no_meaning(table: WorkerTable, method: str):
    row = table.join("w", 1, 3, 0.0)
    table.book(row, 1.0)
    with pytest.raises(KernelError):
        getattr(table, method)(row, -0.5)


def test_booked_work_beyond_its_bound_raises_and_changes_nothing(table: WorkerTable):
    row = table.join("w", 1, 3, 0.0)
    table.book(row, 9e14)
    before = table.digest()
    with pytest.raises(KernelError, match="booked_ms"):
        table.book(row, 9e14)
    assert table.digest() == before


@pytest.mark.parametrize(
    ("slots", "credit", "at_ms"), [(0, 1, 0.0), (-1, 1, 0.0), (1, -1, 0.0), (1 << 25, 1, 0.0), (1, 1, math.nan)]
)
def test_join_with_impossible_counts_raises_and_takes_no_row(table: WorkerTable, slots: int, credit: int, at_ms: float):
    with pytest.raises(KernelError):
        table.join("w", slots, credit, at_ms)
    assert (len(table), table.rows) == (0, 0)


def test_join_with_a_name_outside_unicode_raises(table: WorkerTable):
    with pytest.raises(KernelError, match="UTF-8"):
        table.join("\ud800", 1, 1, 0.0)
    assert (len(table), table.rows) == (0, 0)


@pytest.mark.parametrize("capacity", [0, -1, 1 << 21])
def test_impossible_capacity_raises(capacity: int):
    with pytest.raises(KernelError):
        WorkerTable(capacity)


def test_unknown_column_raises_with_the_known_ones(table: WorkerTable):
    with pytest.raises(KernelError, match="wait_ms"):
        table.column("nope")


def test_column_is_a_copy(table: WorkerTable):
    row = table.join("w", 1, 1, 0.0)
    table.column("factor")[row] = 9.0
    assert table.column("factor")[row] == 1.0


def test_class_of_a_row_counts_as_open_while_one_of_its_rows_is(table: WorkerTable):
    rows = [table.join(f"w{index}", 1, 1, 0.0) for index in range(4)]
    for row in rows:
        table.set_class(row, row // 2)
    assert (table.open_classes, table.open_class, table.open_class_indexes()) == (2, -1, [0, 1])
    table.book(0, 1.0)
    assert table.open_classes == 2
    table.set_accepting(1, False)
    assert (table.open_classes, table.open_class, table.open_class_indexes()) == (1, 1, [1])
    table.leave(2)
    table.set_credit(3, 0)
    assert (table.open_classes, table.open_class, table.open_class_indexes()) == (0, -1, [])
    table.settle(0, 1.0)
    assert (table.open_classes, table.open_class) == (1, 0)
    table.set_class(0, 3)
    assert (table.open_classes, table.open_class) == (1, 3)


@pytest.mark.parametrize("index", [-1, 2, 10**9])
def test_class_index_beyond_the_rows_raises_and_changes_nothing(table: WorkerTable, index: int):
    rows = [table.join(name, 1, 1, 0.0) for name in ("a", "b")]
    before = table.digest()
    with pytest.raises(KernelError, match="class index"):
        table.set_class(rows[0], index)
    assert table.digest() == before


def test_wait_of_a_worker_that_others_use_is_longer_by_their_share(table: WorkerTable):
    row = table.join("w", 2, 4, 0.0)
    for _ in range(2):
        table.book(row, 100.0)
    assert table.column("wait_ms")[row] == 100.0
    table.set_share(row, 0.5)
    assert table.column("wait_ms")[row] == 200.0
    table.settle(row, 100.0)
    assert table.column("wait_ms")[row] == 0.0


def test_wait_passes_with_time_and_never_falls_below_zero(table: WorkerTable):
    table.set_now(1_700_000_000_000.0)
    rows = [table.join(name, 1, 2, 0.0) for name in ("busy", "idle")]
    table.book(rows[0], 100.0)
    waits = []
    for passed_ms in (0.0, 30.0, 99.5, 100.0, 250.0):
        table.set_now(1_700_000_000_000.0 + passed_ms)
        assert table.column("wait_ms").tolist() == [table.wait_ms(row) for row in rows]
        waits.append(table.wait_ms(rows[0]))
        assert table.wait_ms(rows[1]) == 0.0
    assert waits == [100.0, 70.0, 0.5, 0.0, 0.0]
    assert table.booked_ms(rows[0]) == 100.0, "what is booked does not drain"


def test_told_instant_counts_until_bookings_change(table: WorkerTable):
    table.set_now(1_000.0)
    row = table.join("w", 2, 4, 0.0)
    table.set_free_at(row, 9_000.0)
    assert table.wait_ms(row) == 0.0, "it has a free slot"
    table.book(row, 100.0)
    table.book(row, 300.0)
    assert table.wait_ms(row) == 200.0
    table.set_free_at(row, 1_100.0)
    table.set_credit(row, 3)
    table.set_accepting(row, False)
    assert table.wait_ms(row) == 100.0
    table.set_now(1_040.0)
    assert table.wait_ms(row) == 60.0
    table.book(row, 0.0)
    assert table.wait_ms(row) == 200.0
    table.settle(row, 0.0)
    table.settle(row, 100.0)
    assert table.wait_ms(row) == 0.0


def test_waits_hold_over_growth(table: WorkerTable):
    small = WorkerTable(1)
    small.set_now(500.0)
    row = small.join("busy", 1, 2, 0.0)
    small.book(row, 80.0)
    for number in range(1_000):
        small.join(f"w{number}", 1, 1, 0.0)
    assert small.wait_ms(row) == 80.0
    small.set_now(520.0)
    assert small.wait_ms(row) == 60.0


@pytest.mark.parametrize("at_ms", [math.nan, math.inf, -math.inf, 2e15])
def test_instants_out_of_bounds_raise_and_change_nothing(table: WorkerTable, at_ms: float):
    row = table.join("w", 1, 2, 0.0)
    table.book(row, 10.0)
    before = table.digest()
    for tell in (table.set_now, lambda value: table.set_free_at(row, value)):
        with pytest.raises(KernelError, match="at_ms"):
            tell(at_ms)
    assert (table.digest(), table.wait_ms(row)) == (before, 10.0)
