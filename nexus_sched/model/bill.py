"""What a decision was based on, as it is recorded with it, and read again: the funnel and the bill.

The *funnel* counts the workers of the pool by what they were to the task. The *bill* has a row for the chosen worker,
for the next best ones, and for the one that round robin would have taken; each says in milliseconds what its score
was made of. A bill is recorded as bytes (csrc/nexus_bill.h), about a hundred, as every decision has one.

Law: the sum of a row's terms by the recorded weights is its total, up to the rounding of float32.
"""

from __future__ import annotations

from struct import unpack_from

from msgspec import Struct
from msgspec.structs import replace

from nexus_sched.errors import SnapshotUnreadable

# What `Why.funnel` counts, in its order: all workers, those open to the task, and those that are not by the first
# reason. Labels and taints come before standing, standing before what a worker has left.
FUNNEL = (
    "workers",
    "open",
    "taints",
    "labels",
    "resources",
    "draining",
    "cordoned",
    "breaker open",
    "suspect",
    "no credit left",
    "overrides",
)

VERSION = 1
HEAD_BYTES = 20
LAST_CLOSED = 15  # bit of the columns: the last row was not open to the task
COLUMNS = ("wait_ms", "run_ms", "health_ms", "affinity_ms", "avoided_ms", "load", "preferred_ms", "fit_ms", "total_ms")


class Why(Struct, frozen=True, array_like=True, gc=False):
    """What a decision was based on. Read `bill` by `bill_of`."""

    funnel: tuple[int, ...]  # see `FUNNEL`; counts that are left out at the end are 0
    bill: bytes  # empty if no scores were compared: a fallback decided
    candidates: tuple[str, ...]  # the workers of the bill's rows, the chosen one first
    round_robin: str  # whom its turn would have fallen on, whatever that worker holds; empty if nobody is feasible
    settings: int  # digest of the configuration in force, 64 bit


def funnel_of(why: Why) -> dict[str, int]:
    """The counts of a funnel by name."""
    return dict.fromkeys(FUNNEL, 0) | dict(zip(FUNNEL, why.funnel, strict=False))


class Weights(Struct, frozen=True):
    """What turns the columns of a bill into a score."""

    wait: float  # ms per ms of waiting
    balance_ms: float = 0.0  # per unit of load
    affinity: float = 1.0  # the others per ms of themselves: 1 in every recorded bill
    health: float = 1.0
    fit: float = 1.0


class BillRow(Struct, frozen=True):
    """What one worker would have cost. Spans in milliseconds; lower is better, so what speaks for it is negative."""

    worker: str
    wait_ms: float  # until a slot is free, before its weight
    run_ms: float  # on this worker
    transfer_ms: float  # of the payload; the same for all, `affinity_ms` gives it back
    affinity_ms: float
    health_ms: float  # what its failures cost
    load: float  # in flight / slots
    preferred_ms: float  # labels that the task would rather have
    fit_ms: float  # resources that would be left unused
    avoided_ms: float  # the task failed here before
    total_ms: float  # J of placement.md: the weighted sum
    is_open: bool = True  # the worker of round robin may have been full, or held for another task

    @property
    def promised_ms(self) -> float:
        """When the task was expected to be finished there, from the decision on."""
        return self.wait_ms + self.run_ms

    def total_by(self, weights: Weights) -> float:
        """The weighted sum, by other weights."""
        return (
            weights.wait * self.wait_ms
            + self.run_ms
            + self.transfer_ms
            + weights.affinity * self.affinity_ms
            + weights.health * self.health_ms
            + weights.balance_ms * self.load
            + self.preferred_ms
            + weights.fit * self.fit_ms
            + self.avoided_ms
        )


class Bill(Struct, frozen=True):
    """The rows, the chosen worker first, and the weights that decided."""

    weights: Weights
    margin_ms: float  # scores that are above the least one by no more counted as equal
    rows: tuple[BillRow, ...]

    def row_of(self, worker: str) -> BillRow | None:
        """The row of a worker, `None` if it has none."""
        return next((row for row in self.rows if row.worker == worker), None)


def bill_of(why: Why) -> Bill | None:
    """The bill of a decision, `None` if it has none. Raises `SnapshotUnreadable` if it is damaged."""
    blob = why.bill
    if not blob:
        return None
    if len(blob) < HEAD_BYTES or blob[0] != VERSION:
        raise SnapshotUnreadable("the bill of a decision is of another version, or cut off")
    count, there = blob[1], int.from_bytes(blob[2:4], "little")
    wait, balance_ms, transfer_ms, margin_ms = unpack_from("<4f", blob, 4)
    present = [index for index in range(len(COLUMNS)) if there >> index & 1]
    if count != len(why.candidates) or len(blob) != HEAD_BYTES + 4 * count * len(present):
        raise SnapshotUnreadable("the bill of a decision is damaged")
    columns: dict[str, tuple[float, ...]] = dict.fromkeys(COLUMNS, (0.0,) * count)
    for place, index in enumerate(present):
        columns[COLUMNS[index]] = unpack_from(f"<{count}f", blob, HEAD_BYTES + 4 * count * place)
    rows = tuple(_row(worker, columns, at, transfer_ms) for at, worker in enumerate(why.candidates))
    if there >> LAST_CLOSED:
        rows = (*rows[:-1], replace(rows[-1], is_open=False))
    return Bill(Weights(wait, balance_ms), margin_ms, rows)


def _row(worker: str, columns: dict[str, tuple[float, ...]], at: int, transfer_ms: float) -> BillRow:
    return BillRow(
        worker,
        columns["wait_ms"][at],
        columns["run_ms"][at],
        transfer_ms,
        columns["affinity_ms"][at],
        columns["health_ms"][at],
        columns["load"][at],
        columns["preferred_ms"][at],
        columns["fit_ms"][at],
        columns["avoided_ms"][at],
        columns["total_ms"][at] + transfer_ms,
    )


def reweighed(bill: Bill, weights: Weights) -> Bill:
    """The same rows by other weights, first the one that would have been chosen of them, then by total.

    Of the near ties it is the least loaded one; between equals the order is that of the bill.
    """
    rows = sorted((replace(row, total_ms=row.total_by(weights)) for row in bill.rows), key=lambda row: row.total_ms)
    least_ms = min((row.total_ms for row in rows if row.is_open), default=0.0)
    tied = [row for row in rows if row.is_open and row.total_ms <= least_ms + bill.margin_ms]
    if tied:
        chosen = min(tied, key=lambda row: row.load)
        rows = [chosen, *(row for row in rows if row is not chosen)]
    return Bill(weights, bill.margin_ms, tuple(rows))
