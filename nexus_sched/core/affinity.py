"""Where tasks of one affinity key ran lately, and what it is worth to run there again.

A key lives on the workers where its tasks were sent, the newest `WORKERS_MAX` of them. It is worth its bonus, and the
payload that need not be moved there again, both halved with every half life that has passed. That is finite: a worker
with too much to do loses, the task spills to another one, and the key lives there as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nexus_sched._kernel.history_table import exp2
from nexus_sched.core.records import WorkerRecord

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
        self, key: str, worth_ms: float, half_life_ms: float, workers: Mapping[str, WorkerRecord], now_ms: int
    ) -> list[tuple[int, float]]:
        """`(row, ms)` of every live worker where the key lives; negative, as lower scores are better."""
        lives: Mapping[str, int] | None = self._keys.get(key)
        if lives is None:
            return []
        found = []
        oldest_ms = now_ms - HALVINGS_MAX * half_life_ms
        for name, at_ms in lives.items():
            worker = workers.get(name)
            if worker is not None and at_ms >= oldest_ms:
                left = exp2((at_ms - now_ms) / half_life_ms) if at_ms < now_ms else 1.0
                found.append((worker.row, -worth_ms * left))
        return found

    def snapshot(self) -> AffinityState:
        """Everything, in order."""
        return [(key, list(workers.items())) for key, workers in self._keys.items()]

    def restore(self, state: Iterable[tuple[str, list[tuple[str, int]]]]) -> None:
        """The opposite of `snapshot`."""
        self._keys = {key: dict(workers) for key, workers in state}
