"""What a history table knows, told as a prediction in one step."""

from collections.abc import Callable
from typing import Generic, TypeVar, final

from nexus_sched._kernel.history_table import HistoryTable

_Made = TypeVar("_Made")
_Fields = Callable[[float, float, float, float, float, str, int, str, int, float, float], _Made]

@final
class HistoryTeller(Generic[_Made]):
    """Asks one table. `make` is called with p50, mean, p80 and p95 in ms, the confidence, the basis, the samples, the
    predictor's name and version, p10 and p90 in ms.

    The confidence is `share * hit_rate * alike / (alike + alike_half)`. The basis is the name of the expert that
    spoke, or "hint" if there was nothing but a hint; `basis` replaces both.
    """

    def __new__(
        cls,
        table: HistoryTable,
        make: _Fields[_Made],
        predictor: str,
        version: int,
        alike_half: float,
        share: float = 1.0,
        basis: str | None = None,
    ) -> HistoryTeller[_Made]: ...
    def tell(
        self,
        task_type: str,
        payload_bytes: float,
        worker_class: str,
        worker: str,
        samples_min: int = 0,
        hint_ms: float = 0.0,
        hint_weight: float = 0.0,
    ) -> _Made | None:
        """What `HistoryTable.predict` would answer; `None` without data, or with fewer than `samples_min` runs."""
