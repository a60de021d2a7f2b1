"""What workers have left of each resource: offered less what the tasks they hold have asked for.

Laws
* A worker that offers no figure for a resource is not given a task that asks for it.
* Only tasks in flight count, with the amounts they asked for. Where nobody asks for a resource any more all of it is
  free, to the bit, so sums do not drift for longer than it is in use.
* The records of workers are the truth (`WorkerRecord.used` is in the snapshot); the columns are derived.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.core.records import WorkerRecord

Amounts = Sequence[tuple[str, float]]
ROUNDING = 1e-9  # share of an amount that is nothing: 0.1 + 0.2 fits into 0.3


class ResourceColumn:
    """One resource over the rows of the table; 0 offered where there is none."""

    def __init__(self, rows: int) -> None:
        self.free = array("d", bytes(8 * rows))
        self.offered = array("d", bytes(8 * rows))
        self.workers = 0  # that offer it

    def grow(self, rows: int) -> None:
        """Make room for as many rows."""
        missing = rows - len(self.free)
        if missing > 0:
            self.free.extend(array("d", bytes(8 * missing)))
            self.offered.extend(array("d", bytes(8 * missing)))

    def set(self, row: int, offered: float, used: float) -> None:
        """What a worker offers, and what of it is taken."""
        self.workers += (offered > 0.0) - (self.offered[row] > 0.0)
        self.offered[row], self.free[row] = offered, offered - used


class Resources:
    """Columns by the name of a resource; those that no worker offers are not kept."""

    def __init__(self, table: WorkerTable) -> None:
        self._table = table
        self.columns: dict[str, ResourceColumn] = {}

    def offer(self, worker: WorkerRecord, offered: dict[str, float]) -> None:
        """A worker says, perhaps anew, what it has."""
        former, worker.resources = worker.resources, offered
        for name in {**former, **offered}:
            self._set(worker, name)

    def withdraw(self, worker: WorkerRecord) -> None:
        """It is gone."""
        worker.used = {}
        self.offer(worker, {})

    def take(self, worker: WorkerRecord, amounts: Amounts) -> None:
        """A task that asks for this much is with the worker."""
        for name, amount in amounts:
            worker.used[name] = worker.used.get(name, 0.0) + amount
            self._set(worker, name)

    def give(self, worker: WorkerRecord, amounts: Amounts) -> None:
        """It is no longer; `in_flight` of the worker does not count it any more."""
        for name, amount in amounts:
            left = worker.used.get(name, 0.0) - amount
            if worker.in_flight and left > ROUNDING * amount:
                worker.used[name] = left
            else:
                worker.used.pop(name, None)
            self._set(worker, name)

    def restore(self, worker: WorkerRecord) -> None:
        """Derive the columns of a worker of a snapshot."""
        for name in worker.resources:
            self._set(worker, name)

    def _set(self, worker: WorkerRecord, name: str) -> None:
        offered = worker.resources.get(name, 0.0)
        column = self.columns.get(name)
        if column is None:
            if offered <= 0.0:
                return
            column = self.columns[name] = ResourceColumn(self._table.capacity)
        column.grow(self._table.capacity)
        column.set(worker.row, offered, worker.used.get(name, 0.0))
        if column.workers == 0:
            del self.columns[name]


def fits(worker: WorkerRecord, amounts: Amounts, instead: Amounts = (), *, ever: bool = False) -> bool:
    """Whether the worker has this much left if it gives `instead` back, or `ever`: if it held nothing at all."""
    given = dict(instead) if amounts else {}
    for name, amount in amounts:
        offered = worker.resources.get(name, 0.0)
        used = 0.0 if ever else worker.used.get(name, 0.0) - given.get(name, 0.0)
        if offered <= 0.0 or amount > offered - used + ROUNDING * offered:
            return False
    return True
