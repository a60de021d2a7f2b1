"""Snapshots of the worker table: exact on the way back, and closed to hostile bytes."""

from __future__ import annotations

import random
import struct

import pytest

from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.testing.oracle import digest64

HEADER_BYTES = 16
COUNTS_BYTES = 16
RECORD_BYTES = 68
DIGEST_BYTES = 8
# generation, booked, free at, heard, factor, bias, share, in flight, slots, credit, class, flags, name
RECORD = "<QdddfffIIIIII"
COLUMNS = (
    *("wait_ms", "factor", "bias_ms", "closed", "load", "share", "booked_ms", "in_flight", "slots", "credit"),
    "class_index",
)
NO_WAIT_MS = -1e15  # a slot is free
LIVE = (1, 0.0, NO_WAIT_MS, 0.0, 1.0, 0.0, 1.0, 0, 1, 1, 0, 3)


def sealed(body: bytes, magic: bytes = b"NXWT", version: int = 2) -> bytes:
    """A frame with a digest that fits, whatever its body says."""
    frame = magic + struct.pack("<IQ", version, len(body)) + body
    return frame + struct.pack("<Q", digest64(frame))


def body_of(records: list[tuple], free_rows: list[int], names: list[bytes]) -> bytes:
    packed = b"".join(
        struct.pack(RECORD, *record, len(name)) for record, name in zip(records, names, strict=True)
    ) + struct.pack(f"<{len(free_rows)}I", *free_rows)
    return struct.pack("<QQ", len(records), len(free_rows)) + packed + b"".join(names)


def busy_table(seed: int, workers: int = 300) -> WorkerTable:
    dice = random.Random(seed)
    table = WorkerTable(64)
    for index in range(workers):
        table.join(f"wörker-{index}", dice.randrange(1, 5), dice.randrange(6), dice.random() * 1e12)
    for row in range(workers):
        table.set_factor(row, dice.lognormvariate(0, 0.5))
        table.set_bias(row, dice.gauss(0, 10))
        table.set_accepting(row, dice.random() < 0.9)
        table.set_class(row, dice.randrange(min(row + 1, 7)))
        table.set_share(row, dice.choice((1.0, 0.3)))
        for _ in range(dice.randrange(4)):
            table.book(row, dice.lognormvariate(3, 1))
        if dice.random() < 0.5:
            table.set_free_at(row, dice.lognormvariate(9, 1))
    for row in dice.sample(range(workers), workers // 4):
        table.leave(row)
    return table


@pytest.mark.parametrize("seed", range(5))
def test_restored_table_equals_and_goes_on_like_the_original(seed: int):
    table = busy_table(seed)
    twin = WorkerTable(1)
    twin.join("forgotten", 1, 1, 0.0)
    twin.restore(table.snapshot())
    assert twin.snapshot() == table.snapshot()
    assert twin.digest() == table.digest()
    assert (len(twin), twin.rows, twin.open_count) == (len(table), table.rows, table.open_count)
    assert twin.open_class_indexes() == table.open_class_indexes()
    for name in COLUMNS:
        assert twin.column(name).tobytes() == table.column(name).tobytes()
    for one in (table, twin):
        one.set_now(4_000.0)
    assert twin.column("wait_ms").tobytes() == table.column("wait_ms").tobytes()
    for one in (table, twin):
        rows = [one.join(f"late-{index}", 1, 1, 0.0) for index in range(100)]
        one.book(rows[50], 3.0)
    assert [twin.find(f"late-{index}") for index in range(100)] == [table.find(f"late-{index}") for index in range(100)]
    assert twin.digest(7) == table.digest(7)


def test_snapshot_of_an_empty_table_restores_to_an_empty_table():
    table = busy_table(1)
    table.restore(WorkerTable().snapshot())
    assert (len(table), table.rows, table.open_count) == (0, 0, 0)


def test_snapshot_layout_is_the_documented_one():
    table = WorkerTable()
    table.join("free", 1, 1, 0.0)
    row = table.join("w", 2, 3, 12.5)
    table.set_factor(row, 1.5)
    table.set_bias(row, -2.0)
    table.set_share(row, 0.5)
    table.set_class(row, 1)
    table.book(row, 30.25)
    table.leave(0)
    freed = (1, 0.0, NO_WAIT_MS, 0.0, 1.0, 0.0, 1.0, 0, 1, 0, 0, 0)
    live = (1, 30.25, NO_WAIT_MS, 12.5, 1.5, -2.0, 0.5, 1, 2, 3, 1, 3)
    assert table.snapshot() == sealed(body_of([freed, live], [0], [b"", b"w"]))
    assert table.digest(5) == digest64(table.snapshot(), 5)


def test_digest_does_not_depend_on_capacity_or_on_what_freed_rows_held():
    small, large = WorkerTable(1), WorkerTable(5000)
    for table, work_ms in ((small, 1.0), (large, 99.0)):
        table.join("stays", 1, 1, 0.0)
        row = table.join("leaves", 3, 7, 5.0)
        table.book(row, work_ms)
        table.set_bias(row, work_ms)
        table.leave(row)
    assert small.digest() == large.digest()
    assert small.digest() != small.digest(1)


def test_digest_notices_every_kind_of_change():
    changes = (
        lambda table: table.join("w", 1, 2, 0.0),
        lambda table: table.join("x", 1, 2, 0.0),
        lambda table: table.set_credit(0, 5),
        lambda table: table.set_accepting(0, False),
        lambda table: table.set_factor(0, 1.0000001),
        lambda table: table.set_bias(0, 1e-30),
        lambda table: table.set_share(0, 0.999),
        lambda table: table.book(0, 0.0),
        lambda table: (table.book(0, 0.0), table.set_free_at(0, 0.5)),
        lambda table: table.heard(0, 1.0),
        lambda table: table.leave(0),
    )
    digests = set()
    for change in (lambda table: None, *changes):
        table = WorkerTable()
        table.join("w", 1, 2, 0.0)
        change(table)
        digests.add(table.digest())
    assert len(digests) == len(changes) + 1


def test_negative_zero_is_the_same_state_as_zero():
    plus, minus = WorkerTable(), WorkerTable()
    for table, zero in ((plus, 0.0), (minus, -0.0)):
        table.join("w", 1, 1, zero)
        table.set_bias(0, zero)
        table.set_factor(0, zero)
        table.book(0, zero)
    assert plus.digest() == minus.digest()


def test_every_truncation_and_every_flipped_byte_is_refused_and_changes_nothing():
    blob = busy_table(3, workers=4).snapshot()
    table = busy_table(4, workers=8)
    before = table.digest()
    damaged = [blob[:size] for size in range(len(blob))]
    damaged += [blob[:at] + bytes([blob[at] ^ 0x41]) + blob[at + 1 :] for at in range(len(blob))]
    damaged += [blob + b"\0", b"", bytes(24), bytes(64)]
    for candidate in damaged:
        with pytest.raises(SnapshotUnreadable):
            table.restore(candidate)
    assert table.digest() == before


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_behind_a_valid_header_are_refused(seed: int):
    dice = random.Random(seed)
    for _ in range(500):
        body = dice.randbytes(dice.randrange(200))
        if dice.random() < 0.7:
            body = struct.pack("<QQ", dice.randrange(4), dice.randrange(3)) + body
        table = WorkerTable()
        if body.startswith(bytes(16)) and len(body) == 16:
            continue
        with pytest.raises(SnapshotUnreadable):
            table.restore(sealed(body))
        assert (len(table), table.rows) == (0, 0), f"seed {seed}"


def changed(index: int, value: float) -> tuple:
    return (*LIVE[:index], value, *LIVE[index + 1 :])


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(sealed(b"", magic=b"NXET"), id="another magic"),
        pytest.param(sealed(bytes(16), version=1), id="another version"),
        pytest.param(sealed(b""), id="no counts"),
        pytest.param(sealed(struct.pack("<QQ", 1 << 62, 0)), id="absurd rows"),
        pytest.param(sealed(struct.pack("<QQ", 1 << 20, 0)), id="more rows than bytes"),
        pytest.param(sealed(struct.pack("<QQ", 0, 1)), id="more free rows than rows"),
        pytest.param(sealed(body_of([LIVE], [], [b"w"]) + b"x"), id="bytes behind the end"),
        pytest.param(sealed(body_of([LIVE], [], [b"\xff"])), id="name is not UTF-8"),
        pytest.param(sealed(body_of([LIVE, LIVE], [], [b"w", b"w"])), id="name twice"),
        pytest.param(sealed(body_of([LIVE], [0], [b"w"])), id="live row is free"),
        pytest.param(sealed(body_of([changed(11, 0)], [], [b""])), id="row neither live nor free"),
        pytest.param(sealed(body_of([changed(11, 0)] * 2, [0, 0], [b"", b""])), id="row free twice"),
        pytest.param(sealed(body_of([changed(11, 0)], [7], [b""])), id="free row out of range"),
        pytest.param(sealed(body_of([changed(11, 0)], [0], [b"w"])), id="free row with a name"),
        pytest.param(sealed(body_of([changed(11, 7)], [], [b"w"])), id="unknown flag"),
        pytest.param(sealed(body_of([changed(0, 0)], [], [b"w"])), id="generation zero"),
        pytest.param(sealed(body_of([changed(0, 1 << 63)], [], [b"w"])), id="generation absurd"),
        pytest.param(sealed(body_of([changed(1, 5.0)], [], [b"w"])), id="work booked, nothing in flight"),
        pytest.param(sealed(body_of([changed(1, float("nan"))], [], [b"w"])), id="booked NaN"),
        pytest.param(sealed(body_of([changed(2, float("nan"))], [], [b"w"])), id="free at NaN"),
        pytest.param(sealed(body_of([changed(3, float("inf"))], [], [b"w"])), id="heard infinite"),
        pytest.param(sealed(body_of([changed(4, float("nan"))], [], [b"w"])), id="factor NaN"),
        pytest.param(sealed(body_of([changed(4, -1.0)], [], [b"w"])), id="factor negative"),
        pytest.param(sealed(body_of([changed(5, float("-inf"))], [], [b"w"])), id="bias infinite"),
        pytest.param(sealed(body_of([changed(7, 1 << 31)], [], [b"w"])), id="in flight absurd"),
        pytest.param(sealed(body_of([changed(8, 0)], [], [b"w"])), id="no slots"),
        pytest.param(sealed(body_of([changed(9, 1 << 30)], [], [b"w"])), id="credit absurd"),
        pytest.param(sealed(body_of([changed(6, 0.0)], [], [b"w"])), id="no share"),
        pytest.param(sealed(body_of([changed(6, 1.5)], [], [b"w"])), id="share above the whole"),
        pytest.param(sealed(body_of([changed(10, 1)], [], [b"w"])), id="class index beyond the rows"),
    ],
)
def test_hostile_snapshot_with_a_fitting_digest_is_refused(blob: bytes):
    table = busy_table(5, workers=8)
    before = table.digest()
    with pytest.raises(SnapshotUnreadable):
        table.restore(blob)
    assert table.digest() == before


def test_name_longer_than_the_snapshot_is_refused():
    body = struct.pack("<QQ", 1, 0) + struct.pack(RECORD, *LIVE, 0xFFFFFFFF) + b"w"
    with pytest.raises(SnapshotUnreadable, match="name"):
        WorkerTable().restore(sealed(body))
