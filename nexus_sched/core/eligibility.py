"""Which workers may run a task: labels, taints, resources; and why the others may not.

Tasks that ask for the same share one *group*: a column over the rows of the table, +inf where a required label or a
taint forbids, minus the worth of preferred labels elsewhere, 0 for free rows. Workers that join, leave or register anew
are noted by their row (`Roster.changes`), and a group catches up when it is asked for next, so an unused group costs
nothing. Groups are derived from workers alone: they are no state, and forgetting one changes no decision.

Cost: a group that is known, 0.5 us; a new one 1 us for each worker, so a pool whose tasks ask for more than
`GROUPS_MAX` different things in turns pays that for every decision.
"""

from __future__ import annotations

import math
from array import array
from typing import TypeAlias

from nexus_sched._kernel.bill import funnel, left_open
from nexus_sched._kernel.scorer import demand
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.resources import ROUNDING, fits
from nexus_sched.core.roster import Roster
from nexus_sched.model.bill import FUNNEL
from nexus_sched.model.terms import NO_NEEDS, Condition, Needs, Operator

GROUPS_MAX = 256
PREFER_MS_MAX = 1e9  # worth of one preferred label, either way

OPEN = "open"
DRAINING, CORDONED, BROKEN, SUSPECT = "draining", "cordoned", "breaker open", "suspect"
NOT_ACCEPTING = "not accepting"
TAINTS, LABELS, RESOURCES, BUSY, OVERRIDES = "taints", "labels", "resources", "no credit left", "overrides"
BY_TAINTS, BY_LABELS, BY_OVERRIDES = 1, 2, 9  # as in csrc/nexus_bill.h

Counts: TypeAlias = tuple[int, ...]  # of workers, in the order of `FUNNEL`


class _Group:
    """A column, why it forbids a row, how many changes of the roster are in it, and when it was asked for."""

    __slots__ = ("asked", "column", "forbidden", "funnel", "seen", "stood")

    def __init__(self) -> None:
        self.column = array("f")
        self.forbidden = array("B")  # 0 if it does not, else `BY_TAINTS`, `BY_LABELS` or `BY_OVERRIDES`
        self.seen = -1  # none: everything has to be looked at
        self.asked = 0
        self.stood = -1  # changes of standings that are in `funnel`
        self.funnel: Counts = (0,) * len(FUNNEL)  # of when that was counted


class Eligibility:
    """Masks over the fleet, one for each kind of needs."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._groups: dict[Needs, _Group] = {}
        self._asked = 0  # lookups
        self._scratch = array("f")
        self._needs: Needs | None = None  # whose group was looked up last
        self._newest = _Group()  # that one
        self._unbound = _Group()  # of tasks that no label and no taint keeps away
        self._last = self._unbound  # of the last column
        self._last_lacks = False  # whether resources are in the last column
        self.base_ms: array[float] | None = None  # of the last column: what labels and taints are to it, without fit

    def column(self, needs: Needs, fit_ms: float) -> array[float] | None:
        """What is added to the score of each row, +inf where it may not run; `None` if it may run everywhere.

        With resources the column is good until the next call only. `fit_ms` is what leaving all of a worker's
        resources unused would cost.
        """
        newest = self._newest
        if needs is self._needs and newest.seen == self._roster.changed and not needs.resources:
            self._last, self._last_lacks, self.base_ms = newest, False, newest.column
            return newest.column
        static = self._static(needs)
        self._last_lacks = bool(needs.resources)
        if not needs.resources:
            return static
        roster = self._roster
        rows = roster.table.capacity
        if len(self._scratch) < rows:
            self._scratch = array("f", bytes(4 * rows))
        columns = roster.resources.columns
        demands = []
        for name, amount in needs.resources:
            column = columns.get(name)
            if column is None:
                return array("f", [math.inf]) * rows  # nobody offers it
            column.grow(rows)
            demands.append((column.free, column.offered, amount))
        demand(self._scratch, static, tuple(demands), fit_ms / len(demands), ROUNDING)
        return self._scratch

    def _static(self, needs: Needs) -> array[float] | None:
        """The column of labels, taints and overrides."""
        if not needs.conditions and not self._roster.tainted and needs.bounds is None:
            self.base_ms, self._last = None, self._unbound
            return None
        group = self._newest if needs is self._needs else self._group(needs)
        self._asked += 1
        group.asked = self._asked
        if group.seen != self._roster.changed:
            self._catch_up(needs, group)
        self.base_ms, self._last = group.column, group
        return group.column

    def _group(self, needs: Needs) -> _Group:
        """By value, and for whoever asks with the same object next by identity: hashing needs takes 0.2 us."""
        key = Needs(needs.conditions, needs.tolerates, (), needs.bounds) if needs.resources else needs
        self._needs, self._newest = needs, self._groups.get(key) or self._new_group(key)
        return self._newest

    def _new_group(self, needs: Needs) -> _Group:
        """In place of the one that was asked for longest ago, if there are too many."""
        if len(self._groups) >= GROUPS_MAX:
            del self._groups[min(self._groups, key=lambda each: self._groups[each].asked)]
        group = self._groups[needs] = _Group()
        return group

    def _catch_up(self, needs: Needs, group: _Group) -> None:
        roster, column, forbidden = self._roster, group.column, group.forbidden
        missing = roster.table.capacity - len(column)
        column.extend(array("f", bytes(4 * missing)))
        forbidden.extend(bytes(missing))
        for row in roster.changes_since(group.seen):
            worker = roster.by_row.get(row)
            column[row] = found_ms = 0.0 if worker is None else worth_ms(worker, needs)
            forbidden[row] = 0
            if found_ms == math.inf and worker is not None:
                forbidden[row] = _forbidden_by(worker, needs)
        group.seen = roster.changed

    def counts(self, extra_ms: array[float] | None) -> Counts:
        """The funnel of the task of the last column, in the order of `FUNNEL`. Only what is open is counted anew."""
        roster, group = self._roster, self._last
        forbidden = None if group is self._unbound else group.forbidden
        if group.stood != roster.stood + roster.changed:
            group.funnel = funnel(roster.table, roster.standings, forbidden, None)
            group.stood = roster.stood + roster.changed
        lacking_ms = extra_ms if self._last_lacks else None
        return left_open(roster.table, roster.standings, forbidden, lacking_ms, group.funnel)

    def possible(self, needs: Needs) -> bool:
        """Whether there is a worker that could run it if it held nothing and were accepting. O(workers)."""
        return any(
            worth_ms(worker, needs) < math.inf and fits(worker, needs.resources, ever=True)
            for worker in self._roster.ring
        )

    def funnel(self, needs: Needs = NO_NEEDS) -> dict[str, int]:
        """How many workers are open to a task, and how many are not for which first reason. O(workers)."""
        found: dict[str, int] = {}
        for worker in self._roster.ring:
            reason = rejection(worker, needs) or OPEN
            found[reason] = found.get(reason, 0) + 1
        return found


def rejection(worker: WorkerRecord, needs: Needs) -> str | None:
    """Why a worker is not given such a task now, `None` if it may be; the first reason, lasting ones before passing."""
    if not allowed(worker.name, needs):
        return OVERRIDES
    if not tolerated(worker, needs):
        return TAINTS
    if any(each.prefer_ms is None and not holds(each, worker.labels) for each in needs.conditions):
        return LABELS
    if not fits(worker, needs.resources, ever=True):
        return RESOURCES
    if not worker.accepting:
        return _standing(worker)
    if not fits(worker, needs.resources):
        return RESOURCES
    return BUSY if worker.in_flight >= worker.credit else None


def _forbidden_by(worker: WorkerRecord, needs: Needs) -> int:
    if not allowed(worker.name, needs):
        return BY_OVERRIDES
    return BY_LABELS if tolerated(worker, needs) else BY_TAINTS


def _standing(worker: WorkerRecord) -> str:
    if worker.draining:
        return DRAINING
    if worker.cordoned:
        return CORDONED
    if worker.broken:
        return BROKEN
    return SUSPECT if worker.suspect else NOT_ACCEPTING


def worth_ms(worker: WorkerRecord, needs: Needs) -> float:
    """+inf if overrides, labels or taints forbid it, else minus the worth of the preferred labels."""
    if not (allowed(worker.name, needs) and tolerated(worker, needs)):
        return math.inf
    total_ms = 0.0
    for condition in needs.conditions:
        met = holds(condition, worker.labels)
        if condition.prefer_ms is None:
            if not met:
                return math.inf
        elif met:
            total_ms -= min(max(condition.prefer_ms, -PREFER_MS_MAX), PREFER_MS_MAX)
    return total_ms


def allowed(worker: str, needs: Needs) -> bool:
    """Whether no override keeps the task from the worker of this name."""
    bounds = needs.bounds
    if bounds is None:
        return True
    return bounds.only in ("", worker) and worker not in bounds.never


def tolerated(worker: WorkerRecord, needs: Needs) -> bool:
    """Whether every taint of the worker is tolerated."""
    return not worker.taints or all(taint in needs.tolerates for taint in worker.taints)


def holds(condition: Condition, labels: dict[str, str]) -> bool:
    """Whether labels meet a condition. What is no number is neither above nor below one."""
    value = labels.get(condition.label)
    operator = condition.operator
    if operator is Operator.EXISTS:
        return value is not None
    if operator is Operator.MISSING:
        return value is None
    if operator is Operator.NOT_IN:
        return value is None or value not in condition.values
    if value is None:
        return False
    if operator is Operator.IN:
        return value in condition.values
    return _compares(operator, value, condition.values)


def _compares(operator: Operator, value: str, values: tuple[str, ...]) -> bool:
    try:
        number, bound = float(value), float(values[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator is Operator.ABOVE else number < bound
