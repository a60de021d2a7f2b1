"""Plain Python twins of the compiled kernel: slow, obvious, and equal to it bit for bit.

Law: nothing here is shared with the kernel, neither code nor constants. Two float32 numbers multiply exactly in
float64, and rounding a float64 sum or quotient of float32 numbers once more to float32 changes nothing (53 >= 2 *
24 + 2 bits; Figueroa 1995), so `_float32` after every operation is the machine's own float32 arithmetic.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ODD = 0xD6E8FEB86659FD93
_STRIPE_BYTES = 32


def _float32(values: Iterable[float]) -> list[float]:
    return array("f", values).tolist()


def float32_of(value: float) -> float:
    """The nearest float32."""
    return _float32([value])[0]


@dataclass(frozen=True)
class Question:
    """What a task asks the scorer; see `nexus_sched._kernel.scorer.Scorer.choose`."""

    run_ms: float | Sequence[float]
    wait_weight: float
    near_tie_share: float = 0.0
    near_tie_ms: float = 0.0
    rotation: int = 0
    balance_ms: float = 0.0
    extra_ms: Sequence[float] | None = None
    terms: tuple[tuple[int, float], ...] = ()
    wait_max_ms: float = math.inf


def scores(columns: Mapping[str, Sequence[float]], question: Question) -> list[float]:
    """J of every row: wait_weight * wait + run, + bias, + balance * load, + extra, + closed, each step in float32."""
    weight, balance_ms = float32_of(question.wait_weight), float32_of(question.balance_ms)
    bias_ms = list(columns["bias_ms"])
    for row, term_ms in question.terms:
        bias_ms[row] = float32_of(bias_ms[row] + float32_of(term_ms))
    waiting = _float32(weight * value for value in columns["wait_ms"])
    total = _float32(left + right for left, right in zip(waiting, runs(columns, question), strict=True))
    addends = [bias_ms]
    if balance_ms:
        addends.append(_float32(balance_ms * load for load in columns["load"]))
    if question.extra_ms is not None:
        addends.append(_float32(question.extra_ms[: len(total)]))
    for addend in (*addends, columns["closed"]):
        total = _float32(left + right for left, right in zip(total, addend, strict=True))
    return total


def runs(columns: Mapping[str, Sequence[float]], question: Question) -> list[float]:
    """What the task takes on each row, in float32."""
    told = question.run_ms
    if isinstance(told, float):
        means = [float32_of(told)] * len(columns["factor"])
    else:
        means = [float32_of(told[int(index)]) for index in columns["class_index"]]
    return _float32(mean * factor for mean, factor in zip(means, columns["factor"], strict=True))


def choose(columns: Mapping[str, Sequence[float]], question: Question) -> int:
    """Row of the least load among the near ties, then the first at or behind `rotation`; -1 if none is open."""
    load, wait_max_ms = columns["load"], float32_of(question.wait_max_ms)
    row_scores = [
        score if wait_ms <= wait_max_ms else math.inf
        for score, wait_ms in zip(scores(columns, question), columns["wait_ms"], strict=True)
    ]
    best = min(row_scores, default=math.inf)
    if best == math.inf:
        return -1
    run_ms = runs(columns, question)[row_scores.index(best)]
    share = float32_of(float32_of(question.near_tie_share) * run_ms)
    threshold = float32_of(best + max(share, float32_of(question.near_tie_ms)))
    near_ties = [row for row, score in enumerate(row_scores) if score <= threshold]
    return min(near_ties, key=lambda row: (load[row], (row - question.rotation) % len(row_scores)))


@dataclass
class _Worker:
    slots: int = 1
    credit: int = 0
    in_flight: int = 0
    accepting: bool = False
    factor: float = 1.0
    bias_ms: float = 0.0
    booked_ms: float = 0.0
    share: float = 1.0
    free_at_ms: float = 0.0
    class_index: int = 0
    generation: int = 0
    name: str | None = None

    @property
    def busy(self) -> bool:
        return self.in_flight >= self.slots

    @property
    def open(self) -> bool:
        return self.name is not None and self.accepting and self.in_flight < self.credit


@dataclass
class PlainWorkerTable:
    """`WorkerTable` as a list of records; derives every column from scratch. Arguments are trusted."""

    workers: list[_Worker] = field(default_factory=list)
    free_rows: list[int] = field(default_factory=list)
    now_ms: float = 0.0

    def find(self, worker: str) -> int:
        """Row of a live worker, -1 if there is none of this name."""
        return next((row for row, entry in enumerate(self.workers) if entry.name == worker), -1)

    def join(self, worker: str, slots: int, credit: int) -> int:
        """Row of the worker: its own if it is live, else the row freed last, else a new one."""
        row = self.find(worker)
        if row < 0 and self.free_rows:
            row = self.free_rows.pop()
        if row < 0:
            row = len(self.workers)
            self.workers.append(_Worker())
        entry = self.workers[row]
        was_busy = entry.busy
        entry.name, entry.slots, entry.credit, entry.accepting = worker, slots, credit, True
        entry.generation += 1
        if entry.busy and not was_busy:
            self._expect(row)
        return row

    def leave(self, row: int) -> None:
        """Forget all but the generation."""
        self.workers[row] = _Worker(generation=self.workers[row].generation)
        self.free_rows.append(row)

    def set_credit(self, row: int, credit: int) -> None:
        """Tasks the worker may hold."""
        self.workers[row].credit = credit

    def set_accepting(self, row: int, accepting: bool) -> None:
        """Whether it takes new tasks."""
        self.workers[row].accepting = accepting

    def set_factor(self, row: int, factor: float) -> None:
        """Learned slowness."""
        self.workers[row].factor = float32_of(factor)

    def set_bias(self, row: int, bias_ms: float) -> None:
        """Per-worker terms of the score; -0.0 is kept as 0.0."""
        self.workers[row].bias_ms = float32_of(bias_ms) + 0.0

    def set_class(self, row: int, index: int) -> None:
        """Dense index of its class."""
        self.workers[row].class_index = index

    def set_share(self, row: int, share: float) -> None:
        """Part of its slots that others leave to it."""
        self.workers[row].share = float32_of(share)
        self._expect(row)

    def set_now(self, at_ms: float) -> None:
        """The instant of the waits."""
        self.now_ms = at_ms

    def set_free_at(self, row: int, at_ms: float) -> None:
        """When a busy worker has a slot for one more task."""
        self.workers[row].free_at_ms = at_ms

    def _expect(self, row: int) -> None:
        """As if none of the booked work had been done."""
        entry = self.workers[row]
        entry.free_at_ms = min(self.now_ms + entry.booked_ms / (entry.slots * entry.share), 1e15)

    def book(self, row: int, work_ms: float) -> None:
        """One task more."""
        self.workers[row].in_flight += 1
        self.workers[row].booked_ms += work_ms
        self._expect(row)

    def settle(self, row: int, work_ms: float) -> None:
        """One task less."""
        entry = self.workers[row]
        entry.in_flight -= 1
        entry.booked_ms = max(0.0, entry.booked_ms - work_ms) if entry.in_flight else 0.0
        self._expect(row)

    def column(self, name: str) -> list[float]:
        """The column of this name, derived from the records."""
        return _float32(_column_value(entry, name, self.now_ms) for entry in self.workers)

    def columns(self) -> dict[str, list[float]]:
        """All that the scorer reads."""
        names = ("wait_ms", "factor", "bias_ms", "closed", "load", "class_index")
        return {name: self.column(name) for name in names}

    def scores(self, question: Question) -> list[float]:
        """J of every row."""
        return scores(self.columns(), question)

    def choose(self, question: Question) -> int:
        """Row of the best worker, -1 if no row is open."""
        return choose(self.columns(), question)

    def open_class_indexes(self) -> list[int]:
        """Indexes of the classes with an open row."""
        return sorted({entry.class_index for entry in self.workers if entry.open})


def _column_value(entry: _Worker, name: str, now_ms: float) -> float:
    match name:
        case "wait_ms":
            return max(0.0, entry.free_at_ms - now_ms) if entry.busy else 0.0
        case "closed":
            return 0.0 if entry.open else math.inf
        case "load":
            return entry.in_flight / entry.slots
        case _:
            return float(getattr(entry, name))


@dataclass
class PlainAverage:
    """One moving average with its decayed variance."""

    alpha: float
    mean: float = 0.0
    variance: float = 0.0
    samples: int = 0

    def learn(self, value: float) -> None:
        """Take in one value."""
        self.samples += 1
        step = max(self.alpha, 1.0 / self.samples)
        surprise = value - self.mean
        move = step * surprise
        self.mean += move
        self.variance = (1.0 - step) * (self.variance + move * surprise)


@dataclass
class PlainEstimatorTable:
    """`EstimatorTable` as a dictionary of averages."""

    alpha: float = 0.1
    averages: dict[str, PlainAverage] = field(default_factory=dict)
    overall: PlainAverage = field(init=False)

    def __post_init__(self) -> None:
        self.overall = PlainAverage(self.alpha)

    def learn(self, task_type: str, run_ms: float) -> None:
        """Take in one service time."""
        self.averages.setdefault(task_type, PlainAverage(self.alpha)).learn(run_ms)
        self.overall.learn(run_ms)

    def estimate(self, task_type: str) -> tuple[float, float, int] | None:
        """Mean, standard deviation and number of samples; `None` if the type was never seen."""
        average = self.averages.get(task_type)
        return None if average is None else (average.mean, math.sqrt(average.variance), average.samples)


def digest64(data: bytes, seed: int = 0) -> int:
    """Four lanes of rotate(lane + word * odd, 31) * golden, folded with the finaliser of splitmix64."""
    lanes = [_finalise((seed + lane * _GOLDEN) & _WORD) for lane in (1, 2, 3, 4)]
    padded = data + bytes(-len(data) % _STRIPE_BYTES)
    for index in range(len(padded) // 8):
        word = int.from_bytes(padded[8 * index : 8 * index + 8], "little")
        taken = (lanes[index % 4] + word * _ODD) & _WORD
        lanes[index % 4] = (taken << 31 | taken >> 33) * _GOLDEN & _WORD
    folded = _finalise(len(data) ^ seed)
    for lane in lanes:
        folded = (_finalise(folded ^ lane) + _GOLDEN) & _WORD
    return _finalise(folded)


def _finalise(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31
