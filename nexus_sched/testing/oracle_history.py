"""Plain Python twin of the history kernel (`csrc/nexus_history.h`, `csrc/nexus_density.h`), equal to it bit for bit.

The laws of size are in `oracle_law`, logarithms in `oracle_logarithm`; the law of this file is that of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from nexus_sched.testing.oracle_law import PlainLaws
from nexus_sched.testing.oracle_logarithm import exp2, log2, step_of
from nexus_sched.testing.oracle_logarithm import float32 as _f
from nexus_sched.testing.oracle_logarithm import rounded as _rounded

RUNS, LANES, BINS, BAND = 448, 16, 2048, 23
NEWEST, JUDGED = 192, 64


class Expert(NamedTuple):
    """What counts as alike."""

    bandwidth: float  # octaves of size; 0: size does not matter
    other_class: float
    other_worker: float
    fade: float
    law: str  # that runs are moved along to the asked size
    prior: float
    averaged: bool = False  # the answer is the mean of the logarithms


EXPERTS = (
    Expert(0.05, 0.02, 0.05, 0.998, "", 0.56),
    Expert(0.0, 0.02, 0.05, 0.998, "", 0.55),
    Expert(0.0, 0.02, 0.005, 0.99, "", 0.52),
    Expert(0.15, 0.1, 0.3, 0.998, "", 0.54),
    Expert(0.5, 0.02, 0.05, 0.998, "power", 0.54),
    Expert(0.0, 0.02, 0.05, 0.998, "power", 0.50),
    Expert(0.0, 0.1, 0.1, 0.85, "", 0.40),
    Expert(0.0, 0.02, 0.05, 0.998, "affine", 0.48),
    Expert(0.0, 1.0, 1.0, 0.9, "", 0.20, averaged=True),
)


def _fading(fade: float) -> list[float]:
    weights, weight = [], 1.0
    for _ in range(RUNS):
        weights.append(max(weight, 1e-6))
        weight *= fade
    return _rounded(weights)


FADING = {fade: _fading(fade) for fade in (0.998, 0.99, 0.85, 0.9)}


@dataclass
class PlainRun:
    """One run, or a question about one. 0 is an unknown class or worker."""

    size: int
    worker_class: int
    worker: int
    time: int = 0


class PlainEstimate(NamedTuple):
    """All in log2(ms), as float32."""

    p50: float
    shown: tuple[float, ...]
    mean: float
    alike: float
    hit_rate: float
    expert: int


@dataclass
class Density:
    """Cumulative histogram of weights from bin `low` on."""

    low: int
    below: list[int]
    sums: list[float]
    squares: list[float]
    average: float | None  # of the logarithms, if that is the answer

    @property
    def total(self) -> int:
        """Of all weights."""
        return self.below[-1]

    def centre(self) -> float:
        """The average if that was asked for, else where the band of 0.75 to 1.25 holds most."""
        if self.average is not None:
            return self.average
        padded = [0] * BAND + self.below + [self.total] * BAND
        held = [padded[band + BAND] - padded[band] for band in range(len(self.below) - 1 + BAND)]
        enough = max(held) - (max(held) >> 6)
        first = next(band for band, value in enumerate(held) if value >= enough)
        last = first
        while last + 1 < len(held) and held[last + 1] >= enough:
            last += 1
        bin_ = _f(_f(self.low + first + _f(_f(0.6037) * (last - first))) + 0.5)
        return _f(_octave(bin_) - _f(0.41503749927884376))

    def quantile(self, share: float) -> float:
        """log2(ms) below which this share lies."""
        wanted = _f(_f(share) * _f(self.total))
        bin_ = next((index for index, sum_ in enumerate(self.below) if _f(sum_) >= wanted), len(self.below) - 1)
        start = _f(self.below[bin_ - 1]) if bin_ else 0.0
        inside = _f(_f(self.below[bin_]) - start)
        part = _f(_f(wanted - start) / inside) if inside > 0.0 else 0.5
        return _octave(_f(self.low + bin_ + min(part, 1.0)))


def _octave(bin_: float) -> float:
    return _f(_f(bin_ * (1.0 / 32.0)) - 32.0)


def _bin(step: int) -> int:
    return (step + 32768) >> 5


@dataclass
class PlainHistory:
    """One task type. Same fields and same acts as `nexus_history`."""

    runs: list[PlainRun] = field(default_factory=list)  # as they lie in the ring
    head: int = 0
    samples: int = 0
    laws: PlainLaws = field(default_factory=PlainLaws)
    hits: list[float] = field(default_factory=lambda: [0.0] * len(EXPERTS))
    trials: list[float] = field(default_factory=lambda: [0.0] * len(EXPERTS))
    widening: float = 0.0
    rise: float = 0.0
    fall: float = 0.0
    drifts: int = 0
    turn: int = 0
    alert: int = 0

    def rate(self, expert: int) -> float:
        """Hit rate with its prior."""
        prior = _f(4.0 * _f(EXPERTS[expert].prior))
        return _f(_f(self.hits[expert] + prior) / _f(self.trials[expert] + 4.0))

    def leader(self) -> int:
        """The expert with the best rate, the first of equals."""
        return max(range(len(EXPERTS)), key=lambda expert: (self.rate(expert), -expert))

    def age(self, index: int) -> int:
        """How many runs came behind the one at this index of the ring."""
        return (self.head - 1 - index) % RUNS if len(self.runs) == RUNS else len(self.runs) - 1 - index

    def looked_at(self, leader: int, unseen: int) -> list[int]:
        """Indices in the order in which they are added up."""
        count = len(self.runs)
        end = -(-count // LANES) * LANES
        easy = unseen <= NEWEST // 4 and self.rate(leader) >= _f(0.9)
        if not easy or end <= NEWEST:
            return list(range(count))
        to = -(-self.head // LANES) * LANES
        first = range(max(to - NEWEST, 0), min(to, count))
        second = range(end - (NEWEST - to), min(end, count)) if to < NEWEST else range(0)
        return [*first, *second]

    def spread(
        self, ask: PlainRun, expert: Expert, leader: int, unseen: int, hint: float, hint_weight: float
    ) -> Density:
        """Weights of the runs like `ask`, by bin."""
        indices = self.looked_at(leader, unseen)
        ages = [self.age(index) - unseen for index in indices]
        faded = [FADING[expert.fade][age] if age >= 0 else FADING[expert.fade][age + RUNS] for age in ages]
        if len(self.runs) < RUNS:
            faded = [weight if age >= 0 else 0.0 for weight, age in zip(faded, ages, strict=True)]
        weights = self._weights(ask, expert, indices, faded)
        sums, squares = [0.0] * LANES, [0.0] * LANES
        for index, weight in zip(indices, weights, strict=True):
            sums[index % LANES] = _f(sums[index % LANES] + weight)
            squares[index % LANES] = _f(squares[index % LANES] + _f(weight * weight))
        bins = []
        for index in indices:
            run = self.runs[index]
            moved = run.time + self.laws.off(expert.law, ask.size, run.size)
            bins.append(min(max(_bin(moved), 0), BINS - 1))
        counted = [weight if age >= 0 else 0.0 for weight, age in zip(weights, ages, strict=True)]
        placed = [(bin_, index % 4, weight) for bin_, index, weight in zip(bins, indices, counted, strict=True)]
        if hint_weight > 0.0:
            placed.append((_bin(step_of(hint)), 0, hint_weight))
        average = self._average(indices, counted, hint, hint_weight) if expert.averaged else None
        return _density(placed, sums, squares, average)

    def _average(self, indices: list[int], weights: list[float], hint: float, hint_weight: float) -> float:
        sums, moments = [0.0] * LANES, [0.0] * LANES
        for index, weight in zip(indices, weights, strict=True):
            lane = index % LANES
            sums[lane] = _f(sums[lane] + weight)
            moments[lane] = _f(moments[lane] + _f(weight * self.runs[index].time))
        whole, times = hint_weight, _f(_f(hint_weight * hint) * 1024.0)
        for lane in range(LANES):
            whole, times = _f(whole + sums[lane]), _f(times + moments[lane])
        return _f(_f(times / whole) / 1024.0) if whole > 0.0 else 0.0

    def _weights(self, ask: PlainRun, expert: Expert, indices: list[int], faded: list[float]) -> list[float]:
        runs = [self.runs[index] for index in indices]
        values = [1.0] * len(runs)
        if expert.bandwidth > 0.0:
            per_step = _f(1.0 / _f(_f(expert.bandwidth) * 1024.0))
            distances = _rounded((run.size - ask.size) * per_step for run in runs)
            sums = _rounded(1.0 + square for square in _rounded(value * value for value in distances))
            values = _rounded(value + _f(1e-4) for value in _rounded(1.0 / value for value in sums))
        other_class = _f(expert.other_class) if ask.worker_class else 1.0
        other_worker = _f(expert.other_worker) if ask.worker else 1.0
        by_class = [1.0 if run.worker_class == ask.worker_class else other_class for run in runs]
        by_worker = [1.0 if run.worker == ask.worker else other_worker for run in runs]
        for factors in (by_class, by_worker, faded):
            values = _rounded(value * factor for value, factor in zip(values, factors, strict=True))
        return values

    def predict(self, ask: PlainRun, hint: float = 0.0, hint_weight: float = 0.0) -> PlainEstimate | None:
        """Full estimate; `hint` in log2(ms) counts as `hint_weight` runs."""
        if not self.runs and hint_weight <= 0.0:
            return None
        leader = self.leader()
        density = self.spread(ask, EXPERTS[leader], leader, 0, hint, hint_weight)
        p50 = density.centre()
        side_min = _f(_f(0.02) + _f(1.0 / _f(self.samples + 1)))
        factor = _f(exp2(self.widening))
        at = [density.quantile(share) for share in (0.1, 0.8, 0.9, 0.95)]
        shown = []
        for index, value in enumerate(at):
            side = _f(max(_f(p50 - value if index == 0 else value - p50), side_min) * factor)
            shown.append(min(max(_f(p50 - side if index == 0 else p50 + side), -32.0), 32.0))
        deviation = _f(_f(at[2] - at[0]) * _f(1.0 / _f(2.5631031)))
        mean = _f(_f(_f(0.3) * at[0]) + _f(_f(0.4) * density.quantile(0.5)))
        mean = _f(mean + _f(_f(0.3) * at[2]))
        mean = _f(mean + _f(_f(_f(0.34657359) * deviation) * deviation))
        mean = min(max(mean, shown[0]), _f(shown[3] + 1.0))
        return PlainEstimate(p50, tuple(shown), mean, _alike(density, hint_weight), self.rate(leader), leader)

    def learn(self, ask: PlainRun, run_ms: float, low: float, p50: float, high: float, seen: int) -> bool:
        """Take in one run; True if the drift alarm went off. Octaves; low > high if nothing was predicted."""
        step = step_of(log2(max(run_ms, 1e-9)))
        octave = step / 1024.0
        unseen = self.samples - seen
        drawn = (self.samples * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 62
        if unseen < len(self.runs) and (self.samples < JUDGED or self.alert > 0 or drawn == 0):
            self._judge(ask, unseen, octave)
        if low <= high:
            missed = (1.0 if octave < low or octave > high else 0.0) - _f(0.2)
            change = _f(_f(_f(0.06) * _trust(unseen, 0.03)) * _f(missed))
            self.widening = max(min(_f(self.widening + change), 3.0), -3.0)
        self.alert = max(self.alert - 1, 0)
        known = len(self.runs)
        self.push(ask, run_ms)
        if low > high or unseen >= known + 1 - (known == RUNS) or len(self.runs) < 32:
            return False
        side = _f(_f(0.5 * _f(high - low)) / _f(1.2815516))
        return self._watch(_f(_f(octave - p50) / max(side, _f(0.02))), _trust(unseen, 0.0625))

    def push(self, ask: PlainRun, run_ms: float) -> None:
        """Take in one run without judging anybody."""
        step = step_of(log2(max(run_ms, 1e-9)))
        run = PlainRun(ask.size, ask.worker_class, ask.worker, step)
        self.laws.take(run.size, step)
        if len(self.runs) < RUNS:
            self.runs.append(run)
        else:
            self.runs[self.head] = run
        self.head = (self.head + 1) % RUNS
        self.samples += 1

    def _judge(self, ask: PlainRun, unseen: int, octave: float) -> None:
        leader = self.leader()
        other = (leader + 1 + self.turn % 8) % 9
        self.turn = (self.turn + 1) % 8
        trusted = _trust(unseen, 0.0625)
        keep = _f(1.0 - _f(_f(0.02) * trusted))
        for expert in (leader, other):
            density = self.spread(ask, EXPERTS[expert], leader, unseen, 0.0, 0.0)
            above = _f(density.centre() - octave)
            hit = -_f(0.41503750) <= above <= _f(0.32192809)
            self.hits[expert] = _f(_f(keep * self.hits[expert]) + (trusted if hit else 0.0))
            self.trials[expert] = _f(_f(keep * self.trials[expert]) + trusted)

    def _watch(self, residual: float, trusted: float) -> bool:
        step = max(min(residual, 6.0), -6.0)
        self.rise = max(_f(self.rise + _f(trusted * _f(step - 2.0))), 0.0)
        self.fall = max(_f(self.fall + _f(trusted * _f(-step - 2.0))), 0.0)
        if self.rise <= 20.0 and self.fall <= 20.0:
            return False
        self.rise = self.fall = 0.0
        self.drifts += 1
        self.alert = JUDGED
        self.hits = [_f(0.5 * value) for value in self.hits]
        self.trials = [_f(0.5 * value) for value in self.trials]
        self.widening = min(_f(self.widening + _f(0.3)), 3.0)
        return True


def _trust(unseen: int, lag: float) -> float:
    return _f(1.0 / _f(1.0 + _f(_f(lag) * _f(unseen))))


def _alike(density: Density, hint_weight: float) -> float:
    total, squares = hint_weight, _f(hint_weight * hint_weight)
    for lane in range(LANES):
        total = _f(total + density.sums[lane])
        squares = _f(squares + density.squares[lane])
    return _f(_f(total * total) / squares) if squares > 0.0 else 0.0


def _density(
    placed: list[tuple[int, int, float]], sums: list[float], squares: list[float], average: float | None
) -> Density:
    low, high = min(bin_ for bin_, _, _ in placed), max(bin_ for bin_, _, _ in placed)
    stripes = [[0.0] * (high - low + 1) for _ in range(4)]
    for bin_, stripe, weight in placed:
        stripes[stripe][bin_ - low] = _f(stripes[stripe][bin_ - low] + weight)
    pairs = [_rounded(a + b for a, b in zip(stripes[i], stripes[i + 1], strict=True)) for i in (0, 2)]
    whole = _rounded(a + b for a, b in zip(*pairs, strict=True))
    scale = _f(262144.0 / max(whole)) if max(whole) > _f(1e-30) else 0.0
    below, total = [], 0
    for weight in whole:
        total += int(_f(weight * scale))
        below.append(total)
    return Density(low, below, sums, squares, average)
