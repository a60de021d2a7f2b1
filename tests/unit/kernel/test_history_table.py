"""The history table: what it predicts, what it forgets, and its snapshots."""

from __future__ import annotations

import math
import random
import struct
from itertools import pairwise

import pytest

from nexus_sched._kernel.history_table import (
    DOUBTFUL,
    DRIFTED,
    EXPERT_NAMES,
    NOT_TAKEN,
    YOUNG,
    HistoryEstimate,
    HistoryTable,
)
from nexus_sched.errors import KernelError, SnapshotUnreadable
from nexus_sched.testing.oracle import digest64

RING = 448
OCTAVES_MAX = 2**31.9  # ms, 45 days: longer runs count as this long
RECORD = struct.Struct("<IIIQ10d18f3f3I")
RECORD_V1 = struct.Struct("<IIIQ5d14f3f3I")


def sealed(body: bytes, magic: bytes = b"NXHT", version: int = 2) -> bytes:
    frame = magic + struct.pack("<IQ", version, len(body)) + body
    return frame + struct.pack("<Q", digest64(frame))


def body_of(types_max: int, types: int, *records: bytes) -> bytes:
    return struct.pack("<QQ", types_max, types) + b"".join(records)


def record(name: bytes = b"t", runs: int = 1, **changed: float) -> bytes:
    """One type as a snapshot has it, with some fields changed."""
    fields = {
        "name_bytes": len(name), "count": runs, "head": runs, "samples": runs, "weight": 1.0, "mean_size": 0.0,
        "mean_time": 3.0, "size_size": 0.0, "size_time": 0.0, "affine_weight": 0.1, "affine_size": 1.0,
        "affine_time": 8.0, "affine_size_size": 0.0, "affine_size_time": 0.0,
        **{f"rate{index}": 0.0 for index in range(18)},
        "widening": 0.0, "rise": 0.0, "fall": 0.0, "drifts": 0, "turn": 0, "alert": 0,
    } | changed  # fmt: skip
    return RECORD.pack(*fields.values()) + name + struct.pack("<hhHH", 0, 3072, 1, 1) * runs


def taught(*runs_ms: float, table: HistoryTable | None = None) -> HistoryTable:
    table = table or HistoryTable()
    for run_ms in runs_ms:
        table.learn("t", 0.0, "c", "w", run_ms)
    return table


def test_unknown_type_without_a_hint_has_no_estimate():
    table = HistoryTable()
    assert (table.predict("t"), table.samples("t"), len(table)) == (None, 0, 0)


@pytest.mark.parametrize("hint_ms", [0.0, 1e-6, 250.0, 1e15])
def test_hint_alone_is_the_estimate(hint_ms: float):
    told = HistoryTable().predict("t", 0.0, "", "", hint_ms, 3.0)
    assert told is not None
    assert told.p50_ms == pytest.approx(min(max(hint_ms, 1e-6), OCTAVES_MAX), rel=0.05)
    assert told.p10_ms < told.p50_ms < told.p90_ms < 2.5 * told.p50_ms
    assert told.samples == 0
    assert all(map(math.isfinite, told))


@pytest.mark.parametrize("run_ms", [0.0, -0.0, 1e-300, 1e-3, 1.0, 77.0, 1e15])
def test_runs_that_are_all_alike_predict_themselves(run_ms: float):
    told = taught(*[run_ms] * 500).predict("t", -0.0, "c", "w")
    assert told is not None
    assert told.p50_ms == pytest.approx(min(max(run_ms, 1e-9), OCTAVES_MAX), rel=0.02)
    assert told.p10_ms <= told.p50_ms <= told.p80_ms <= told.p90_ms <= told.p95_ms
    assert told.mean_ms == pytest.approx(told.p50_ms, rel=0.05)


def test_extremes_side_by_side_stay_finite():
    dice = random.Random(3)
    table = HistoryTable()
    for step in range(2000):
        payload = dice.choice((0.0, 1.0, 1e15))
        like = ("t", payload, f"c{dice.randrange(9)}", f"w{dice.randrange(99)}")
        told = table.predict(*like, dice.choice((0.0, 1e15)), dice.choice((0.0, 1e-30, 1e6)))
        if told is not None:
            assert all(map(math.isfinite, told)), f"step {step}"
            assert told.p10_ms <= told.p50_ms <= told.p90_ms <= told.p95_ms, f"step {step}"
            assert 0.0 <= told.hit_rate <= 1.0, f"step {step}"
            assert told.p95_ms <= 2.0**32, f"step {step}: more than 50 days"
            assert told.mean_ms <= 2.0**33, f"step {step}: more than can be booked"
            table.learn(*like, dice.choice((0.0, 1e15)), told.p10_ms, told.p90_ms, dice.randrange(-5, step + 5))
        else:
            table.learn(*like, dice.choice((0.0, 1e15)))


def test_worker_of_its_own_speed_is_predicted_by_its_own_runs():
    dice = random.Random(1)
    table = HistoryTable()
    for step in range(400):
        worker = step % 8
        table.learn("t", 0.0, "c", f"w{worker}", 100.0 * 2**worker * dice.lognormvariate(0, 0.05))
    for worker in range(8):
        told = table.predict("t", 0.0, "c", f"w{worker}")
        assert told is not None
        assert told.p50_ms == pytest.approx(100.0 * 2**worker, rel=0.15)


def test_size_is_learned_where_it_matters():
    dice = random.Random(2)
    table = HistoryTable()
    for _ in range(600):
        payload = 2.0 ** dice.uniform(8, 20)
        table.learn("t", payload, "c", "w", payload * dice.lognormvariate(0, 0.05))
    for exponent in (9, 12, 15, 19):
        told = table.predict("t", 2.0**exponent, "c", "w")
        assert told is not None
        assert told.p50_ms == pytest.approx(2.0**exponent, rel=0.2)


def test_type_predicted_well_looks_at_its_newest_runs_wherever_the_ring_begins():
    dice = random.Random(8)
    table = HistoryTable()
    for step in range(3 * RING):
        table.learn("t", 0.0, "c", f"w{step % 5}", 100.0 * dice.lognormvariate(0, 0.03))
        if step > 300:
            told = table.predict("t", 0.0, "c", "w1")
            assert told is not None
            assert told.hit_rate > 0.9
            assert told.p50_ms == pytest.approx(100.0, rel=0.1)


def test_ten_thousand_workers_and_fifty_thousand_types_leave_a_bounded_table():
    table = HistoryTable(100)
    for index in range(10_000):
        table.push("t", 0.0, "c", f"worker-{index}", 5.0)
    one_type = len(table.snapshot())
    assert one_type < 4096
    for index in range(50_000):
        table.push(f"type-{index}", 0.0, "c", f"worker-{index}", 5.0)
    assert len(table) == 100
    assert len(table.snapshot()) < 100 * 4096
    assert table.samples("type-49900") == 1
    assert table.samples("type-49899") == 0


def test_type_learned_longest_ago_gives_way_and_leaves_nothing_behind():
    table = HistoryTable(2)
    for task_type, run_ms in (("a", 1.0), ("b", 2.0), ("a", 1.0), ("c", 1000.0)):
        table.learn(task_type, 0.0, "", "", run_ms)
    assert [table.samples(task_type) for task_type in "abc"] == [2, 0, 1]
    told = table.predict("c")
    assert told is not None
    assert told.p50_ms == pytest.approx(1000.0, rel=0.02)
    fresh = HistoryTable(2)
    for task_type, run_ms in (("a", 1.0), ("a", 1.0), ("c", 1000.0)):
        fresh.learn(task_type, 0.0, "", "", run_ms)
    assert table.digest() == fresh.digest()


def test_estimate_is_a_named_tuple_and_its_expert_has_a_name():
    told = taught(5.0).predict("t")
    assert type(told) is HistoryEstimate
    assert EXPERT_NAMES[told.expert] == "near"


@pytest.mark.parametrize("run_ms", [-1.0, math.nan, math.inf, 1e16])
def test_service_time_that_cannot_be_raises_and_changes_nothing(run_ms: float):
    table = taught(5.0)
    before = table.digest()
    for act in (table.learn, table.push):
        for task_type in ("t", "new"):
            with pytest.raises(KernelError):
                act(task_type, 0.0, "c", "w", run_ms)
    with pytest.raises(KernelError):
        table.testimony("t", 0.0, "c", "w", run_ms, 30.0)
    assert table.digest() == before


@pytest.mark.parametrize("payload_bytes", [-1.0, math.nan, math.inf, 1e16])
def test_size_that_cannot_be_raises_and_changes_nothing(payload_bytes: float):
    table = taught(5.0)
    before = table.digest()
    for task_type in ("t", "new"):
        with pytest.raises(KernelError):
            table.predict(task_type, payload_bytes)
        with pytest.raises(KernelError):
            table.learn(task_type, payload_bytes, "c", "w", 5.0)
        with pytest.raises(KernelError):
            table.push(task_type, payload_bytes, "c", "w", 5.0)
    assert (table.digest(), len(table)) == (before, 1)


@pytest.mark.parametrize(("hint_ms", "weight"), [(-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (5.0, 1e7)])
def test_hint_that_cannot_be_raises(hint_ms: float, weight: float):
    with pytest.raises(KernelError):
        HistoryTable().predict("t", 0.0, "", "", hint_ms, weight)


@pytest.mark.parametrize("proportion", [0.5, math.nan, math.inf, 1e10])
def test_proportion_that_cannot_be_raises(proportion: float):
    with pytest.raises(KernelError):
        taught(5.0).testimony("t", 0.0, "c", "w", 5.0, proportion)


@pytest.mark.parametrize("types_max", [0, -1, 1 << 30])
def test_impossible_bounds_raise(types_max: int):
    with pytest.raises(KernelError):
        HistoryTable(types_max)


def test_type_outside_unicode_raises_and_takes_no_row():
    table = HistoryTable()
    with pytest.raises(KernelError, match="UTF-8"):
        table.learn("\ud800", 0.0, "", "", 1.0)
    assert len(table) == 0


def test_interval_that_cannot_be_is_no_interval():
    bare, odd = taught(5.0, 6.0), taught(5.0, 6.0)
    bare.learn("t", 0.0, "c", "w", 7.0)
    odd.learn("t", 0.0, "c", "w", 7.0, 9.0, math.nan, 1 << 60, math.inf)
    assert bare.digest() == odd.digest()


def learned(table: HistoryTable, dice: random.Random, events: int) -> None:
    for _ in range(events):
        payload, numbers = dice.choice((0.0, 1e5)), [dice.randrange(most) for most in (30, 3, 50)]
        like = (f"typ-{numbers[0]}-ü", payload, f"c{numbers[1]}", f"w{numbers[2]}")
        told = table.predict(*like)
        forecast = () if told is None else (told.p10_ms, told.p90_ms, max(told.samples - 3, 0), told.p50_ms)
        table.learn(*like, dice.lognormvariate(5, 1), *forecast)


@pytest.mark.parametrize("seed", range(4))
def test_run_that_is_taken_is_one_that_was_heard_and_then_learned(seed: int):
    dice, table, plain, answers = random.Random(seed), HistoryTable(), HistoryTable(), set()
    for number in range(1_500):
        worker, kind = f"w{dice.randrange(6)}", f"k{dice.randrange(2)}"
        regime = 1.0 if number < 900 else 8.0
        run_ms = regime * dice.lognormvariate(3, 0.2) * (1e4 if worker == "w0" and dice.random() < 0.3 else 1.0)
        like = kind, float(dice.choice((0, 500))), "class", worker, run_ms
        told = (regime * 15.0, regime * 30.0, plain.samples(kind), regime * 20.0) if number < 1_000 else (9.0, 30.0)
        if plain.testimony(*like, 30.0) == DOUBTFUL:
            expected = NOT_TAKEN
        else:
            expected = (DRIFTED if plain.learn(*like, *told) else 0) + (YOUNG if plain.samples(kind) <= 256 else 0)
        answers.add(expected)
        assert table.take(*like, 30.0, 256, *told) == expected, f"seed {seed}"
    assert table.digest() == plain.digest()
    assert {NOT_TAKEN, YOUNG, 0} <= answers


def test_table_restored_at_every_thousandth_event_goes_on_bit_for_bit():
    steady, restored = HistoryTable(25), HistoryTable(25)
    dice, same = random.Random(9), random.Random(9)
    for _ in range(20):
        learned(steady, dice, 1000)
        learned(restored, same, 1000)
        blob = restored.snapshot()
        restored = HistoryTable(3)
        restored.learn("forgotten", 0.0, "", "", 3.0)
        restored.restore(blob)
        assert restored.snapshot() == blob == steady.snapshot()
        assert restored.digest(7) == steady.digest(7) != steady.digest()
    assert restored.predict("forgotten") is None


def test_every_truncation_and_every_flipped_byte_is_refused_and_changes_nothing():
    table = taught(1.0, 2.0, 3.0)
    blob, before = table.snapshot(), table.digest()
    damaged = [blob[:size] for size in range(len(blob))]
    damaged += [blob[:at] + bytes([blob[at] ^ 0x41]) + blob[at + 1 :] for at in range(len(blob))]
    for candidate in damaged:
        with pytest.raises(SnapshotUnreadable):
            table.restore(candidate)
    assert table.digest() == before


def test_hand_made_snapshot_is_readable():
    table = HistoryTable()
    table.restore(sealed(body_of(5, 2, record(b"a"), record(b"b", runs=3))))
    assert (len(table), table.samples("a"), table.samples("b")) == (2, 1, 3)


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(sealed(b"", magic=b"NXET"), id="another magic"),
        pytest.param(sealed(bytes(16), version=9), id="another version"),
        pytest.param(sealed(b""), id="no header"),
        pytest.param(sealed(body_of(0, 0)), id="no room"),
        pytest.param(sealed(body_of(1 << 60, 0)), id="absurd room"),
        pytest.param(sealed(body_of(1, 2, record(b"a"), record(b"b"))), id="more types than room"),
        pytest.param(sealed(body_of(5, 2, record())), id="fewer types than told"),
        pytest.param(sealed(body_of(5, 1, record(), b"x")), id="bytes behind the end"),
        pytest.param(sealed(body_of(5, 2, record(), record())), id="type twice"),
        pytest.param(sealed(body_of(5, 1, record(b"\xff"))), id="name is not UTF-8"),
        pytest.param(sealed(body_of(5, 1, record(name_bytes=1 << 31))), id="name behind the end"),
        *(
            pytest.param(sealed(body_of(5, 1, record(**changed))), id=str(changed))
            for changed in (
                {"count": 2}, {"count": 1 << 31}, {"head": 0}, {"head": 448}, {"samples": 0}, {"samples": 1 << 60},
                {"weight": math.nan}, {"weight": -1.0}, {"mean_size": math.inf}, {"mean_time": -65.0},
                {"size_size": -1.0}, {"size_time": math.nan}, {"affine_weight": -1.0}, {"affine_weight": math.inf},
                {"affine_size": math.nan}, {"affine_time": -1.0}, {"affine_size_size": math.inf},
                {"affine_size_time": math.nan}, {"rate0": 1.0}, {"rate0": -1.0}, {"rate1": math.nan},
                {"rate1": 101.0}, {"rate16": 1.0}, {"widening": 11.0}, {"widening": math.nan},
                {"rise": -1.0}, {"fall": math.inf}, {"drifts": 1 << 31}, {"turn": 9},
                {"alert": 449}, {"alert": 1 << 31},
            )
        ),
    ],
)  # fmt: skip
def test_hostile_snapshot_with_a_fitting_digest_is_refused(blob: bytes):
    table = taught(1.0)
    before = table.digest()
    with pytest.raises(SnapshotUnreadable):
        table.restore(blob)
    assert table.digest() == before


def test_more_noise_gives_a_wider_interval():
    dice = random.Random(6)
    widths = []
    for noise in (0.05, 0.2, 0.8):
        told = taught(*(100.0 * dice.lognormvariate(0, noise) for _ in range(400))).predict("t", 0.0, "c", "w")
        assert told is not None
        widths.append(told.p90_ms / told.p10_ms)
    assert all(narrow < wide for narrow, wide in pairwise(widths))
