"""Per-type moving averages of service times, in contiguous columns."""

from typing import NamedTuple, Self, final

class Estimate(NamedTuple):
    """What is known of a type. Milliseconds, except `samples`."""

    mean_ms: float
    deviation_ms: float  # standard deviation
    samples: int

@final
class EstimatorTable:
    """Warm-started exponential moving average and decayed variance per task type.

    n += 1; a = max(alpha, 1 / n); d = x - mean; mean += a * d; var = (1 - a) * (var + a * d * d).
    float64, no libm transcendental (sqrt is exact in IEEE 754). Type -> row in O(1).
    """

    def __new__(cls, alpha: float = 0.1, capacity: int = 256) -> Self: ...
    def __len__(self) -> int: ...
    def learn(self, task_type: str, run_ms: float) -> None:
        """Take in one service time. Raises `KernelError` if it is negative, NaN or infinite."""
    def estimate(self, task_type: str) -> Estimate | None:
        """`None` if the type was never seen."""
    def mean_ms(self, task_type: str) -> float:
        """The bare average, -1.0 if the type was never seen; the cheapest read."""
    def overall_ms(self) -> float:
        """The same average over all types together, -1.0 before the first sample."""
    def snapshot(self) -> bytes: ...
    def restore(self, blob: bytes) -> None: ...
    def digest(self, seed: int = 0) -> int: ...
