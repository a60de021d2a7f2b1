"""The history table against its plain Python twin, bit for bit, and the kernel's logarithms against exact ones."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

import pytest

from nexus_sched._kernel.history_table import HistoryEstimate, HistoryTable, exp2, log2
from nexus_sched.errors import KernelError
from nexus_sched.testing import oracle_logarithm as oracle
from nexus_sched.testing.oracle import digest64
from nexus_sched.testing.oracle_history import PlainHistory, PlainRun
from nexus_sched.testing.oracle_logarithm import float32

STEPS = 700  # a ring of 448 wraps around


def hash_of(name: str) -> int:
    return digest64(name.encode()) % 65_534 + 1 if name else 0


@dataclass
class Pair:
    """A compiled table of one type and its twin, which see the same calls."""

    table: HistoryTable = field(default_factory=HistoryTable)
    plain: PlainHistory = field(default_factory=PlainHistory)

    def ask(self, payload_bytes: float, worker_class: str, worker: str) -> PlainRun:
        size = oracle.step_of(oracle.log2(1.0 + payload_bytes)) if payload_bytes > 0.0 else 0
        return PlainRun(size, hash_of(worker_class), hash_of(worker))

    def predict(self, like: tuple[float, str, str], hint_ms: float, hint_weight: float) -> HistoryEstimate | None:
        told = self.table.predict("t", *like, hint_ms, hint_weight)
        hint = float32(oracle.log2(max(hint_ms, 1e-6)))
        expected = self.plain.predict(self.ask(*like), hint, hint_weight)
        if expected is None:
            assert told is None
            return None
        assert told is not None
        octaves = (expected.p50, expected.mean, *expected.shown)
        assert told[:6] == tuple(map(oracle.exp2, octaves))
        assert told[6:] == (expected.alike, expected.hit_rate, expected.expert, self.plain.samples)
        return told

    def check_state(self) -> None:
        """Moments and rates as the snapshot has them."""
        blob, laws = self.table.snapshot(), self.plain.laws
        moments, rates = struct.unpack_from("<10d", blob, 32 + 20), struct.unpack_from("<18f", blob, 32 + 100)
        assert moments == (
            laws.weight, laws.mean_size, laws.mean_time, laws.size_size, laws.size_time,
            laws.affine_weight, laws.affine_size, laws.affine_time, laws.affine_size_size, laws.affine_size_time,
        )  # fmt: skip
        assert rates[::2] == tuple(self.plain.hits)
        assert rates[1::2] == tuple(self.plain.trials)

    def learn(self, like: tuple[float, str, str], run_ms: float, told: HistoryEstimate | None) -> None:
        if told is None:
            drifted = self.table.learn("t", *like, run_ms)
            assert drifted == self.plain.learn(self.ask(*like), run_ms, 1.0, 0.0, 0.0, self.plain.samples)
            return
        drifted = self.table.learn("t", *like, run_ms, told.p10_ms, told.p90_ms, told.samples, told.p50_ms)
        low, p50, high = (float32(oracle.log2(ms)) for ms in (told.p10_ms, told.p50_ms, told.p90_ms))
        if told.p90_ms > 1e15:  # beyond what a run can take: not an interval to judge by
            low, p50, high = 1.0, 0.0, 0.0
        assert drifted == self.plain.learn(self.ask(*like), run_ms, low, p50, high, told.samples)


def stream(seed: int) -> Iterator[tuple[tuple[float, str, str], float]]:
    """Sizes, classes, workers and times of one random type; some are constant, some change regime."""
    dice = random.Random(seed)
    sized, noise, workers = seed % 2, dice.choice((0.0, 0.1, 0.5, 2.0)), dice.choice((1, 5, 300))
    scale = 1.0
    for step in range(STEPS):
        if step % 250 == 249:
            scale *= dice.choice((1.0, 3.0, 0.01))
        payload = dice.choice((0.0, 1.0, 1e15, dice.lognormvariate(8, 2))) if sized else 0.0
        worker = dice.randrange(workers)
        run_ms = dice.choice((0.0, 1e15)) if dice.random() < 0.01 else scale * dice.lognormvariate(5, noise)
        if sized:
            run_ms = min(run_ms * (payload + 100) ** 0.7 / 100, 1e15)
        yield (payload, f"class-{worker % 3}", "" if dice.random() < 0.05 else f"worker-{worker}"), run_ms


@pytest.mark.parametrize("seed", range(6))
def test_table_agrees_with_its_twin_bit_for_bit(seed: int):
    pair, waiting = Pair(), []
    lag = (0, 0, 3, 40, 300, 600)[seed]
    spoke = set()
    for step, (like, run_ms) in enumerate(stream(seed)):
        hint_weight = 3.0 if step % 50 == 0 else 0.0
        told = pair.predict(like, run_ms * 2, hint_weight) if step < 40 or step % 3 == 0 else None
        if told is not None:
            spoke.add(told.expert)
        waiting.append((like, run_ms, told))
        if len(waiting) > lag:
            pair.learn(*waiting.pop(0))
        if step % 97 == 96:
            pair.table.push("t", *like, run_ms)
            pair.plain.push(pair.ask(*like), run_ms)
    assert spoke, f"seed {seed}"
    pair.check_state()


@pytest.mark.parametrize("expert", range(9))
def test_each_expert_agrees_with_its_twin(expert: int):
    dice = random.Random(expert)
    pair = Pair()
    for like, run_ms in list(stream(3))[:500]:
        pair.table.push("t", *like, run_ms)
        pair.plain.push(pair.ask(*like), run_ms)
    pair.table.restore(with_leader(pair.table.snapshot(), expert))
    pair.plain.hits[expert] = pair.plain.trials[expert] = 40.0
    for _ in range(40):
        like = (dice.lognormvariate(8, 2), f"class-{dice.randrange(4)}", f"worker-{dice.randrange(400)}")
        told = pair.predict(like, 0.0, 0.0)
        assert told is not None
        assert told.expert == expert


def with_leader(blob: bytes, expert: int) -> bytes:
    """A snapshot of one type in which this expert has hit 40 times of 40."""
    at = 16 + 16 + 100 + 8 * expert
    frame = blob[:at] + struct.pack("<ff", 40.0, 40.0) + blob[at + 8 : -8]
    return frame + struct.pack("<Q", digest64(frame))


def ulps(got: float, exact: Decimal) -> float:
    return float(abs(Decimal(got) - exact) / Decimal(math.ulp(got)))


def test_logarithm_is_exact_to_two_ulp_and_equals_its_twin():
    dice = random.Random(4)
    values = [2.3e-308, 1.7e308, math.sqrt(0.5), math.sqrt(2.0), math.nextafter(1.0, 0.0), math.nextafter(1.0, 2.0)]
    values += [2.0 ** dice.uniform(-1000, 1000) for _ in range(1500)] + [dice.uniform(0.5, 2.0) for _ in range(1500)]
    with localcontext() as context:
        context.prec = 60
        ln2 = Decimal(2).ln()
        for value in values:
            assert log2(value) == oracle.log2(value)
            assert ulps(log2(value), Decimal(value).ln() / ln2) <= 2.0, value.hex()


def test_power_is_exact_to_two_ulp_and_equals_its_twin():
    dice = random.Random(5)
    values = [-1000.0, 1000.0, 0.5, -0.5, 0.0, -0.0] + [dice.uniform(-60, 60) for _ in range(3000)]
    with localcontext() as context:
        context.prec = 60
        for value in values:
            assert exp2(value) == oracle.exp2(value)
            assert ulps(exp2(value), Decimal(2) ** Decimal(value)) <= 2.0, value.hex()


@pytest.mark.parametrize("exponent", range(-1000, 1001, 125))
def test_whole_powers_of_two_are_exact_both_ways(exponent: int):
    assert exp2(float(exponent)) == 2.0**exponent
    assert log2(2.0**exponent) == exponent


# Golden values: what every machine must compute.
GOLDEN_LOG2 = {
    1e-09: "-0x1.de5b8eaa8d7e0p+4",
    0.001: "-0x1.3ee7b471b3a95p+3",
    0.3: "-0x1.bca9c6f53897bp+0",
    3.0: "0x1.95c01a39fbd68p+0",
    10.0: "0x1.a934f0979a371p+1",
    1234.5: "0x1.48a17937959fbp+3",
    86400000.0: "0x1.a5d51b499f9aap+4",
    1000000000000000.0: "0x1.8ea1a18e2093ap+5",
}
GOLDEN_EXP2 = {
    -31.9: "0x1.125fbee250669p-32",
    -3.3: "0x1.9fdf8bcce533ep-4",
    -0.1: "0x1.ddb680117ab12p-1",
    0.25: "0x1.306fe0a31b715p+0",
    1.5: "0x1.6a09e667f3bccp+1",
    9.965784284662087: "0x1.f400000000000p+9",
    31.9: "0x1.ddb680117ab0ap+31",
    49.8: "0x1.bdb8cdadbe111p+49",
}


@pytest.mark.parametrize("value", sorted(GOLDEN_LOG2))
def test_logarithm_golden(value: float):
    assert log2(value).hex() == GOLDEN_LOG2[value]


@pytest.mark.parametrize("value", sorted(GOLDEN_EXP2))
def test_power_golden(value: float):
    assert exp2(value).hex() == GOLDEN_EXP2[value]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e-320])
def test_logarithm_of_what_has_none_raises(value: float):
    with pytest.raises(KernelError):
        log2(value)


@pytest.mark.parametrize("value", [1000.5, -1001.0, math.nan, math.inf])
def test_power_out_of_bounds_raises(value: float):
    with pytest.raises(KernelError):
        exp2(value)
