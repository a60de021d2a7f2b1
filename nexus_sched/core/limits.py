"""What tasks of one type, tenant or key may take together: starts over time, and how many at once.

Law: a limit is never exceeded. Every rule that names a task's type, tenant or key holds for it, also the one for `*`
beside one for its very name; `*` counts each name by itself, and a task without a key has none to count. A task that
was handed out has used its start, whether it ran or came back.

Rates are token buckets: `burst` tokens at most, `rate_per_s` new ones a second, one for each start.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from msgspec import Struct

from nexus_sched.model.settings import Limit
from nexus_sched.model.task import Task

if TYPE_CHECKING:
    from nexus_sched.core.backlog.lane import Lane

EACH = "*"
GATES_MAX = 65_536  # names that are remembered only because their bucket is not full again
GATES_MIN = 256
WAIT_MS_MAX = 86_400_000  # look again at least this often, however slow the rate


class GateState(Struct, array_like=True, gc=False):
    """What a snapshot keeps of a gate whose bucket is not full; what is handed out follows from the tasks."""

    rule: int
    name: str
    tokens: float
    counted_at_ms: int


class Gate:
    """One limit for one name."""

    __slots__ = ("counted_at_ms", "held", "lanes", "limit", "name", "parked", "tokens")

    def __init__(self, name: tuple[int, str], limit: Limit) -> None:
        self.name = name
        self.limit = limit
        self.tokens = max(1.0, limit.burst)
        self.counted_at_ms = 0
        self.held = 0  # tasks handed out and not ended
        self.lanes = 0  # that stand before it
        self.parked: list[Lane] = []  # those that wait for an end

    def wait_ms(self, now_ms: int) -> int:
        """How long it stays shut: 0 if it is open, -1 until something ends."""
        limit = self.limit
        if 0 < limit.concurrency <= self.held:
            return -1
        if limit.rate_per_s <= 0.0:
            return 0
        self._refill(now_ms)
        if self.tokens >= 1.0:
            return 0
        return min(WAIT_MS_MAX, max(1, ceil((1.0 - self.tokens) * 1_000.0 / limit.rate_per_s)))

    def _refill(self, now_ms: int) -> None:
        passed_ms = now_ms - self.counted_at_ms
        if passed_ms > 0:
            limit = self.limit
            self.tokens = min(max(1.0, limit.burst), self.tokens + passed_ms * limit.rate_per_s / 1_000.0)
            self.counted_at_ms = now_ms

    def take(self, now_ms: int) -> None:
        """A task goes through."""
        self.held += 1
        if self.limit.rate_per_s > 0.0:
            self._refill(now_ms)
            self.tokens -= 1.0

    def is_fresh(self, now_ms: int) -> bool:
        """Whether a new gate would be just the same."""
        if self.held or self.lanes:
            return False
        self._refill(now_ms)
        return self.limit.rate_per_s <= 0.0 or self.tokens >= max(1.0, self.limit.burst)


class Limits:
    """The gates of all names that are in use. Bounded: see `GATES_MAX`."""

    def __init__(self) -> None:
        self.rules: tuple[Limit, ...] = ()
        self._scopes: list[tuple[str, dict[str, list[int]]]] = []  # those with rules: the rules by name
        self._gates: dict[tuple[int, str], Gate] = {}
        self._sweep_at = GATES_MIN

    def configure(self, rules: tuple[Limit, ...]) -> None:
        """Other rules. A bucket that is still meant keeps its tokens; what is handed out must be counted again."""
        former, self._gates = self._gates, {}
        kept = {(gate.limit, gate.name[1]): gate for gate in former.values()}
        self.rules = rules
        by_scope: dict[str, dict[str, list[int]]] = {}
        for index, limit in enumerate(rules):
            by_scope.setdefault(limit.scope, {}).setdefault(limit.name, []).append(index)
        self._scopes = list(by_scope.items())
        for index, limit in enumerate(rules):
            for (old, name), gate in kept.items():
                if old == limit:
                    same = self._new((index, name))
                    same.tokens, same.counted_at_ms = gate.tokens, gate.counted_at_ms

    def gates_of(self, task: Task) -> tuple[Gate, ...]:
        """Everything that counts this task."""
        terms = task.terms
        found = []
        for scope, rules in self._scopes:
            if scope == "tenant":
                name = terms.tenant
            else:
                name = task.type if scope == "type" else terms.key
                if not name:
                    continue
            for meant in (name, EACH) if name != EACH else (EACH,):
                if meant in rules:
                    found += [self._gates.get((index, name)) or self._new((index, name)) for index in rules[meant]]
        return tuple(found)

    def _new(self, name: tuple[int, str]) -> Gate:
        gate = self._gates[name] = Gate(name, self.rules[name[0]])
        return gate

    def take(self, gates: Sequence[Gate], now_ms: int) -> None:
        """A task goes through all of them."""
        for gate in gates:
            gate.take(now_ms)
        if len(self._gates) >= self._sweep_at:
            self._sweep(now_ms)

    def _sweep(self, now_ms: int) -> None:
        """Forget gates that are as good as new; beyond the bound also idle ones, those first that filled up longest."""
        kept = [gate for gate in self._gates.values() if not gate.is_fresh(now_ms)]
        idle = sum(not (gate.held or gate.lanes) for gate in kept)
        if idle > GATES_MAX:
            order = sorted((gate.counted_at_ms, gate.name) for gate in kept if not (gate.held or gate.lanes))
            lost = {name for _, name in order[: idle - GATES_MAX]}
            kept = [gate for gate in kept if gate.name not in lost]
        self._gates = {gate.name: gate for gate in kept}
        self._sweep_at = GATES_MIN + 2 * len(kept)

    def snapshot(self) -> tuple[list[GateState], int]:
        """The buckets, and when to look for idle ones."""
        return [GateState(*gate.name, gate.tokens, gate.counted_at_ms) for gate in self._gates.values()], self._sweep_at

    def restore(self, state: tuple[list[GateState], int]) -> None:
        """The opposite of `snapshot`, once rules and tasks are there."""
        known, self._gates = self._gates, {}
        for each in state[0]:
            name = (each.rule, each.name)
            gate = known.get(name) or Gate(name, self.rules[each.rule])
            gate.tokens, gate.counted_at_ms = each.tokens, each.counted_at_ms
            self._gates[name] = gate
        self._sweep_at = state[1]
