"""The affine law of size and the log-EMA: what they say, golden values of every expert, and snapshots without them."""

from __future__ import annotations

import math
import random
import struct

import pytest

from nexus_sched._kernel.history_table import EXPERT_NAMES, HistoryTable
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.testing.oracle import digest64
from nexus_sched.testing.oracle_law import PlainLaws, lowered, raised
from tests.unit.kernel.test_history_twin import with_leader

HEADER, MOMENTS_AT, RATES_AT, NAME_AT = 16 + 16, 20, 100, 196  # of the only type in a snapshot of version 2
AFFINE, LOG_EMA = EXPERT_NAMES.index("affine"), EXPERT_NAMES.index("log-ema")


def led(table: HistoryTable, expert: int) -> HistoryTable:
    """The same runs, and this expert speaks."""
    table.restore(with_leader(table.snapshot(), expert))
    return table


def p50_ms(table: HistoryTable, payload_bytes: float = 0.0) -> float:
    told = table.predict("t", payload_bytes, "c", "w")
    assert told is not None
    return told.p50_ms


def version_1(blob: bytes, doubted: int | None = None) -> bytes:
    """What the former version would have written of a table of one type; it had a class for a run it doubted."""
    at = HEADER + MOMENTS_AT + 40
    body = blob[16:at] + blob[at + 40 : HEADER + RATES_AT + 56] + blob[HEADER + RATES_AT + 72 : -8]
    if doubted is not None:
        at = HEADER - 16 + 140 + 1 + 8 * doubted + 4
        body = body[:at] + b"\xff\xff" + body[at + 2 :]
    frame = blob[:4] + struct.pack("<IQ", 1, len(body)) + body
    return frame + struct.pack("<Q", digest64(frame))


def affine_moments(blob: bytes) -> tuple[float, ...]:
    return struct.unpack_from("<5d", blob, HEADER + MOMENTS_AT + 40)


def rates(blob: bytes) -> tuple[float, ...]:
    return struct.unpack_from("<18f", blob, HEADER + RATES_AT)


@pytest.mark.parametrize("octave", [-31, -3, 0, 1, 12, 31])
def test_cubics_are_exact_at_whole_octaves_and_near_between_them(octave: int):
    assert raised(1024 * octave) == 2.0**octave
    assert lowered(2.0**octave) == 1024 * octave
    for step in range(1024 * octave - 1023, 1024 * octave, 31):
        assert raised(step) == pytest.approx(2.0 ** (step / 1024.0), rel=3e-4)
        assert lowered(raised(step)) == pytest.approx(step, abs=2)


@pytest.mark.parametrize(("fixed", "per_byte"), [(100.0, 0.01), (5.0, 0.0), (0.0, 0.02), (2000.0, 0.5)])
def test_affine_law_is_learned_and_holds_at_sizes_never_seen(fixed: float, per_byte: float):
    dice, table = random.Random(1), HistoryTable()
    for _ in range(600):
        payload = dice.choice((2.0 ** dice.uniform(6, 9), 2.0 ** dice.uniform(12, 16)))
        table.push("t", payload, "c", "w", (fixed + per_byte * payload) * dice.uniform(0.9, 1.1))
    led(table, AFFINE)
    for exponent in (7, 10.5, 13, 17):
        expected = fixed + per_byte * 2.0**exponent
        assert p50_ms(table, 2.0**exponent) == pytest.approx(expected, rel=0.08), f"2^{exponent}"


def test_affine_law_leads_where_it_is_the_truth_and_no_size_comes_twice():
    dice, table = random.Random(2), HistoryTable()
    hits = 0
    for step in range(1500):
        payload = 2.0 ** dice.uniform(4, 24)
        like = ("t", payload, f"c{dice.randrange(40)}", f"w{dice.randrange(400)}")
        run_ms = (300.0 + payload / 500.0) * dice.lognormvariate(0, 0.05)
        told = table.predict(*like)
        forecast = () if told is None else (told.p10_ms, told.p90_ms, told.samples, told.p50_ms)
        hits += step >= 1000 and told is not None and told.expert == AFFINE
        table.learn(*like, run_ms, *forecast)
    assert hits > 400


def test_size_that_never_varies_or_only_misleads_moves_nothing():
    dice, constant, falling = random.Random(3), HistoryTable(), HistoryTable()
    for _ in range(300):
        payload = 2.0 ** dice.uniform(4, 20)
        constant.push("t", 5000.0, "c", "w", dice.uniform(90.0, 110.0))
        falling.push("t", payload, "c", "w", 1e6 / payload)
    led(constant, AFFINE)
    assert p50_ms(constant, 1e9) == p50_ms(constant, 5000.0) == pytest.approx(100.0, rel=0.1)
    led(falling, AFFINE)
    assert p50_ms(falling, 16.0) == p50_ms(falling, 1e6), "nothing gets faster by being larger"


def test_instant_runs_do_not_take_the_affine_law_over():
    dice, table = random.Random(4), HistoryTable()
    for step in range(600):
        payload = 2.0 ** dice.uniform(8, 16)
        table.push("t", payload, "c", "w", 0.0 if step % 100 == 50 else 100.0 + payload / 50.0)
    led(table, AFFINE)
    assert p50_ms(table, 2.0**16) == pytest.approx(100.0 + 2.0**16 / 50.0, rel=0.15)


def test_log_ema_is_the_fading_mean_of_logarithms_for_every_worker_and_size():
    dice, table = random.Random(5), HistoryTable()
    times = [2.0 ** dice.uniform(3, 9) for _ in range(500)]
    for step, run_ms in enumerate(times):
        table.push("t", float(step), f"c{step % 3}", f"w{step % 7}", run_ms)
    led(table, LOG_EMA)
    shares = [0.9**age for age in range(500)]
    mean = sum(share * math.log2(ms) for share, ms in zip(shares, reversed(times), strict=True)) / sum(shares)
    for worker, payload in (("w1", 0.0), ("w5", 9e4), ("stranger", 77.0)):
        told = table.predict("t", payload, "c", worker)
        assert told is not None
        assert told.p50_ms == pytest.approx(2.0**mean, rel=0.02)
        assert told.p10_ms < told.p50_ms < told.p90_ms


def test_every_expert_is_tried_in_turn():
    dice, table = random.Random(6), HistoryTable()
    for _ in range(64):
        table.learn("t", dice.uniform(0, 1e5), "c", "w", dice.lognormvariate(5, 0.5))
    assert all(trials > 0.0 for trials in rates(table.snapshot())[1::2])


def fixed_stream(table: HistoryTable) -> HistoryTable:
    """Runs made of whole numbers, the same on every machine."""
    for step in range(600):
        payload = float((step * 7919) % 5000 + 10) if step % 3 else 0.0
        run_ms = (40.0 + payload / 16.0 + (step * 104_729) % 40) * (1.0 + step % 5 / 4.0)
        table.push("t", payload, f"c{step % 5}", f"w{step % 11}", run_ms)
    return table


# p50, mean, p10 and p90 for 1000 bytes on worker w3 of class c2: what every machine must compute.
GOLDEN = {
    "near": (
        "0x1.7a5017fbfaf3ap+7", "0x1.dfdcdb44e5e18p+7",
        "0x1.45a326b1744e0p+7", "0x1.3bcd0b1ace2e1p+8",
    ),
    "cell": (
        "0x1.24ea37db6d24ep+8", "0x1.e27b718f24044p+7",
        "0x1.2140a3b3ff4d5p+6", "0x1.87deb49349d4bp+8",
    ),
    "late": (
        "0x1.2d09db8c8b6bbp+6", "0x1.184ccc69b7128p+7",
        "0x1.288d460575171p+6", "0x1.3c0511cba493ep+8",
    ),
    "wide": (
        "0x1.7a5017fbfaf3ap+7", "0x1.a94cb0427b152p+7",
        "0x1.3de9514daad4fp+7", "0x1.3b02dc2db862ap+8",
    ),
    "local": (
        "0x1.b47d0bdd3df15p+7", "0x1.c9032ef46a600p+7",
        "0x1.52bfe8b5137e8p+7", "0x1.261056c818616p+8",
    ),
    "power": (
        "0x1.f31b59c3effd4p+7", "0x1.0a54ddd6367f2p+8",
        "0x1.b8ac0de634767p+7", "0x1.498b375d169b0p+8",
    ),
    "newest": (
        "0x1.4160eeb287dcep+6", "0x1.b2e2b4d48f51fp+6",
        "0x1.3c96be10d87b4p+6", "0x1.7204648563e4ap+7",
    ),
    "affine": (
        "0x1.466b9eabf2001p+7", "0x1.604c219a76044p+7",
        "0x1.2d62e1ae52656p+7", "0x1.9249b07173429p+7",
    ),
    "log-ema": (
        "0x1.aa69f5f0bc5cep+7", "0x1.12a7e89ed33f7p+8",
        "0x1.43368da8690fcp+6", "0x1.20c405d1cd6bep+9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPERT_NAMES)
def test_expert_golden(name: str):
    told = led(fixed_stream(HistoryTable()), EXPERT_NAMES.index(name)).predict("t", 1000.0, "c2", "w3")
    assert told is not None
    assert (told.p50_ms.hex(), told.mean_ms.hex(), told.p10_ms.hex(), told.p90_ms.hex()) == GOLDEN[name]


@pytest.mark.parametrize("doubted", [None, 7])
def test_snapshot_of_version_1_is_read_and_its_affine_law_begins_with_the_ring(doubted: int | None):
    table = fixed_stream(HistoryTable())
    blob = led(table, 3).snapshot()
    former = HistoryTable()
    former.restore(version_1(blob, doubted))
    runs = list(struct.iter_unpack("<hhHH", blob[HEADER + NAME_AT + 1 : -8]))
    head = struct.unpack_from("<I", blob, HEADER + 8)[0]
    laws = PlainLaws()
    order = [*range(head, len(runs)), *range(head)]
    for index in order:
        if index != doubted:
            laws.take_affine(*runs[index][:2])
    again = former.snapshot()
    assert affine_moments(again) == (
        laws.affine_weight, laws.affine_size, laws.affine_time, laws.affine_size_size, laws.affine_size_time
    )  # fmt: skip
    assert rates(again)[:14] == rates(blob)[:14]
    assert rates(again)[14:] == (0.0,) * 4
    assert version_1(again) == version_1(blob, doubted)
    if doubted is None:
        assert former.predict("t", 77.0, "c1", "w1") == table.predict("t", 77.0, "c1", "w1")
    former.learn("t", 77.0, "c1", "w1", 5.0)


def test_truncated_snapshot_of_version_1_is_refused():
    blob, table = version_1(fixed_stream(HistoryTable()).snapshot()), HistoryTable()
    for size in range(0, len(blob), 7):
        with pytest.raises(SnapshotUnreadable):
            table.restore(blob[:size])
    assert len(table) == 0
