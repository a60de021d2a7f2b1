"""Where tasks of one affinity key ran lately, and what it is worth to run there again.

A key lives on the workers where its tasks were sent, the newest `WORKERS_MAX` of them. It is worth its bonus, and the
payload that need not be moved there again, both halved with every half life that has passed. That is finite: a worker
with too much to do loses, the task spills to another one, and the key lives there as well.
"""

from __future__ import annotations

from collections.abc import Iterable

from nexus_sched._kernel.scorer import halved
from nexus_sched._kernel.worker_table import WorkerTable

WORKERS_MAX = 8  # of one key
HALVINGS_MAX = 64.0  # after that nothing is left

AffinityState = list[tuple[str, list[tuple[str, int]]]]


class Affinity:
    """Keys in the order of use, the least recently used first; at most `keys_max` of them."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[str, int]] = {}  # key -> worker -> instant of the newest task sent there

    def __len__(self) -> int:
        return len(self._keys)

    def sent(self, key: str, worker: str, now_ms: int, keys_max: int) -> None:
        """A task of this key goes to this worker."""
        workers = self._keys.pop(key, None) or {}
        workers.pop(worker, None)
        workers[worker] = now_ms
        if len(workers) > WORKERS_MAX:
            del workers[next(iter(workers))]
        self._keys[key] = workers
        while len(self._keys) > max(1, keys_max):
            del self._keys[next(iter(self._keys))]

    def terms(
        self, key: str, worth_ms: float, half_life_ms: float, table: WorkerTable, now_ms: int
    ) -> tuple[tuple[int, float], ...]:
        """`(row, ms)` of every live worker where the key lives; negative, as lower scores are better."""
        lives = self._keys.get(key)
        return () if lives is None else halved(table, lives, worth_ms, half_life_ms, now_ms, HALVINGS_MAX)

    def snapshot(self) -> AffinityState:
        """Everything, in order."""
        return [(key, list(workers.items())) for key, workers in self._keys.items()]

    def restore(self, state: Iterable[tuple[str, list[tuple[str, int]]]]) -> None:
        """The opposite of `snapshot`."""
        self._keys = {key: dict(workers) for key, workers in state}
