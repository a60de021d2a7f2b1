"""Which workers' measurements are believed. One lying worker must not move the others' estimates.

A run counts as a strike when it is out of all proportion (`PROPORTION` times more or less) to what other workers
took for the same type. Strikes fade with every plausible run. A worker with `STRIKES_MAX` of them is not believed:
its runs teach nothing until enough plausible ones have redeemed it. A merely slow worker is not a liar: factors up
to 20 are learned (placement.md, fact 8).
"""

from __future__ import annotations

PROPORTION = 30.0
STRIKES_MAX = 5.0
REDEMPTION = 0.8  # what a plausible run leaves of the strikes
STRIKES_CAP = 8.0  # however long a worker lied, this many strikes have to fade
FORGOTTEN = 0.05  # fewer strikes than this are none
WORKERS_MAX = 4_096  # with strikes; the one struck longest ago is forgotten


class Trust:
    """Strikes by worker; most workers have none and take no memory."""

    samples_min = 16  # runs of a type before it may testify against anybody

    def __init__(self) -> None:
        self.strikes: dict[str, float] = {}

    def plausible(self, run_ms: float, expected_ms: float) -> bool:
        """Whether a run is within proportion."""
        return expected_ms <= PROPORTION * run_ms and run_ms <= PROPORTION * expected_ms

    def believes(self, worker: str) -> bool:
        """Whether this worker's runs may teach."""
        return self.strikes.get(worker, 0.0) < STRIKES_MAX

    def strike(self, worker: str) -> str | None:
        """Count an implausible run; says so when it is the one that ends the belief."""
        before = self.strikes.pop(worker, 0.0)
        if len(self.strikes) >= WORKERS_MAX:
            del self.strikes[next(iter(self.strikes))]
        self.strikes[worker] = min(before + 1.0, STRIKES_CAP)
        if before < STRIKES_MAX <= before + 1.0:
            return f"distrust: worker {worker} reports times out of all proportion"
        return None

    def redeem(self, worker: str) -> None:
        """A plausible run."""
        left = self.strikes.get(worker)
        if left is not None:
            left *= REDEMPTION
            if left < FORGOTTEN:
                del self.strikes[worker]
            else:
                self.strikes[worker] = left
