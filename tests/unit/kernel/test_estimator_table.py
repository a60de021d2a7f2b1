"""The estimator table against its plain Python twin, and its snapshots."""

from __future__ import annotations

import math
import random
import struct

import pytest

from nexus_sched._kernel.estimator_table import Estimate, EstimatorTable
from nexus_sched.errors import KernelError, SnapshotUnreadable
from nexus_sched.testing.oracle import PlainEstimatorTable, digest64


def sealed(body: bytes, magic: bytes = b"NXET", version: int = 1) -> bytes:
    frame = magic + struct.pack("<IQ", version, len(body)) + body
    return frame + struct.pack("<Q", digest64(frame))


def body_of(alpha: float, rows: int, records: list[tuple[float, float, int, int]], names: bytes) -> bytes:
    packed = b"".join(struct.pack("<ddQI", *record) for record in records)
    return struct.pack("<dddQQ", alpha, 1.0, 0.0, 1, rows) + packed + names


@pytest.mark.parametrize("alpha", [0.1, 1.0, 0.003, 1 / 3])
def test_averages_agree_with_their_twin_bit_for_bit(alpha: float):
    seed = round(alpha * 1000)
    dice = random.Random(seed)
    table, plain = EstimatorTable(alpha, capacity=1), PlainEstimatorTable(alpha)
    for step in range(5_000):
        task_type = f"type-{dice.randrange(40)}"
        run_ms = dice.choice((0.0, 1e15, 5.0, dice.lognormvariate(4, 2), dice.lognormvariate(-8, 1)))
        table.learn(task_type, run_ms)
        plain.learn(task_type, run_ms)
        assert table.estimate(task_type) == plain.estimate(task_type), f"seed {seed}, step {step}"
        assert table.overall_ms() == plain.overall.mean, f"seed {seed}, step {step}"
    assert len(table) == len(plain.averages)


def test_first_sample_is_the_average_and_the_next_ones_count_equally():
    table = EstimatorTable(alpha=0.1)
    table.learn("t", 10.0)
    assert table.estimate("t") == Estimate(10.0, 0.0, 1)
    table.learn("t", 20.0)
    table.learn("t", 30.0)
    estimate = table.estimate("t")
    assert estimate is not None
    assert estimate.mean_ms == pytest.approx(20.0)
    assert estimate.deviation_ms == pytest.approx(math.sqrt(200 / 3))
    assert estimate.samples == 3
    assert type(estimate) is Estimate


def test_old_samples_fade_once_alpha_outweighs_the_count():
    table = EstimatorTable(alpha=0.5)
    for run_ms in [100.0] * 50 + [10.0] * 10:
        table.learn("t", run_ms)
    assert table.mean_ms("t") == pytest.approx(10.0, abs=0.1)


def test_unknown_type_has_no_estimate():
    table = EstimatorTable()
    assert (len(table), table.estimate("t"), table.mean_ms("t"), table.overall_ms()) == (0, None, -1.0, -1.0)


@pytest.mark.parametrize("run_ms", [-1.0, -1e-300, math.nan, math.inf, -math.inf, 1e16])
def test_service_time_that_cannot_be_raises_and_changes_nothing(run_ms: float):
    table = EstimatorTable()
    table.learn("t", 5.0)
    before = table.digest()
    for task_type in ("t", "new"):
        with pytest.raises(KernelError):
            table.learn(task_type, run_ms)
    assert table.digest() == before


@pytest.mark.parametrize(("alpha", "capacity"), [(0.0, 1), (1.1, 1), (math.nan, 1), (0.1, 0), (0.1, 1 << 30)])
def test_impossible_settings_raise(alpha: float, capacity: int):
    with pytest.raises(KernelError):
        EstimatorTable(alpha, capacity)


def test_type_outside_unicode_raises_and_takes_no_row():
    table = EstimatorTable()
    with pytest.raises(KernelError, match="UTF-8"):
        table.learn("\ud800", 1.0)
    assert (len(table), table.overall_ms()) == (0, -1.0)


def test_restored_table_equals_and_goes_on_like_the_original():
    dice = random.Random(9)
    table = EstimatorTable(0.2, capacity=1)
    for _ in range(2_000):
        table.learn(f"tüpe-{dice.randrange(300)}", dice.lognormvariate(4, 1))
    twin = EstimatorTable(capacity=4)
    twin.learn("forgotten", 3.0)
    twin.restore(table.snapshot())
    assert twin.snapshot() == table.snapshot()
    assert (twin.digest(3), len(twin), twin.overall_ms()) == (table.digest(3), len(table), table.overall_ms())
    assert twin.estimate("forgotten") is None
    for one in (table, twin):
        one.learn("tüpe-1", 77.0)
        one.learn("late", 7.0)
    assert twin.digest() == table.digest() != table.digest(1)


def test_digest_does_not_depend_on_capacity():
    small, large = EstimatorTable(capacity=1), EstimatorTable(capacity=999)
    for table in (small, large):
        table.learn("a", 1.0)
        table.learn("b", 2.0)
    assert small.digest() == large.digest() == digest64(small.snapshot())


def test_every_truncation_and_every_flipped_byte_is_refused_and_changes_nothing():
    table = EstimatorTable()
    table.learn("a", 1.0)
    table.learn("b", 2.0)
    blob, before = table.snapshot(), table.digest()
    damaged = [blob[:size] for size in range(len(blob))]
    damaged += [blob[:at] + bytes([blob[at] ^ 0x41]) + blob[at + 1 :] for at in range(len(blob))]
    for candidate in damaged:
        with pytest.raises(SnapshotUnreadable):
            table.restore(candidate)
    assert table.digest() == before


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(sealed(b"", magic=b"NXWT"), id="another magic"),
        pytest.param(sealed(bytes(40), version=9), id="another version"),
        pytest.param(sealed(b""), id="no header"),
        pytest.param(sealed(body_of(0.1, 1 << 60, [], b"")), id="absurd rows"),
        pytest.param(sealed(body_of(0.1, 1 << 24, [], b"")), id="more rows than bytes"),
        pytest.param(sealed(body_of(math.nan, 0, [], b"")), id="alpha NaN"),
        pytest.param(sealed(body_of(0.0, 0, [], b"")), id="alpha zero"),
        pytest.param(sealed(body_of(0.1, 1, [(math.nan, 0.0, 1, 1)], b"a")), id="mean NaN"),
        pytest.param(sealed(body_of(0.1, 1, [(1.0, -1.0, 1, 1)], b"a")), id="variance negative"),
        pytest.param(sealed(body_of(0.1, 1, [(1.0, math.inf, 1, 1)], b"a")), id="variance infinite"),
        pytest.param(sealed(body_of(0.1, 1, [(1.0, 0.0, 1 << 60, 1)], b"a")), id="samples absurd"),
        pytest.param(sealed(body_of(0.1, 1, [(1.0, 0.0, 0, 1)], b"a")), id="type without a sample"),
        pytest.param(sealed(body_of(0.1, 1, [(1.0, 0.0, 1, 9)], b"a")), id="name behind the end"),
        pytest.param(sealed(body_of(0.1, 1, [(1.0, 0.0, 1, 1)], b"\xff")), id="name is not UTF-8"),
        pytest.param(sealed(body_of(0.1, 1, [(1.0, 0.0, 1, 1)], b"ab")), id="bytes behind the end"),
        pytest.param(sealed(body_of(0.1, 2, [(1.0, 0.0, 1, 1)] * 2, b"aa")), id="type twice"),
    ],
)
def test_hostile_snapshot_with_a_fitting_digest_is_refused(blob: bytes):
    table = EstimatorTable()
    table.learn("kept", 1.0)
    before = table.digest()
    with pytest.raises(SnapshotUnreadable):
        table.restore(blob)
    assert table.digest() == before
