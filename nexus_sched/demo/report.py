"""What a demonstration found: one half beside the other, as values. `table` shows them to people."""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.demo.quantiles import Quantiles, Tails


class Utilisation(Struct, frozen=True):
    """Busy share of slots x time of each worker while tasks arrived; `None` without workers."""

    mean: float | None
    cv: float | None  # coefficient of variation over the workers
    spread: float | None  # busiest minus idlest
    lowest: float | None
    highest: float | None


class Overhead(Struct, frozen=True):
    """Submit to start of the tasks whose worker had a free slot and nothing waiting when they came."""

    p50: float | None
    p99: float | None
    tasks: int


class HalfReport(Struct, frozen=True, kw_only=True):
    """One half. Counts are of tasks, `_ms` of milliseconds, `_us` of microseconds; `None`: nothing to say.

    `wait_ms` is submit call to start of the function, `response_ms` submit call to its end.
    """

    mode: str
    submitted: int
    finished: int
    lost: int  # accepted, but without an accepted result or without a run seen to end
    duplicated: int  # run more than once, or ended more than once
    wait_ms: Quantiles
    response_ms: Quantiles
    submit_to_start_ms: Tails
    dispatch_overhead_ms: Overhead
    utilisation: Utilisation
    type_cv: float | None  # of response times, mean over task types weighted by count
    predictions_within_25: float | None  # of the tasks that were given a prediction when placed
    predicted: int  # how many were
    policies: dict[str, int]  # who placed how many
    decision_us: Tails  # by the scheduler's own measurement
    makespan_s: float  # first submit to last end


class DemoReport(Struct, frozen=True, kw_only=True):
    """Both halves. The figures at the top are sums, or those of the predictive half."""

    submitted: int
    finished: int
    lost: int
    duplicated: int
    decision_us: Tails
    submit_to_start_ms: Tails
    dispatch_overhead_ms: Overhead
    predictive: HalfReport
    round_robin: HalfReport
    workload: str
    workers: int
    slots: int
    rate: float
    duration_s: float
    seed: int
    server: str
    elapsed_s: float

    @property
    def sound(self) -> bool:
        """Whether nothing was lost and nothing happened twice."""
        return self.lost == 0 and self.duplicated == 0 and self.finished == self.submitted
