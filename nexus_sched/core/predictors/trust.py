"""Which workers' measurements are believed. One lying worker must not move the others' estimates.

A strike is a run that others contradict (`HistoryTable.testimony`: out of all proportion, and one vote a worker
against it), or a report that is no time at all. Strikes fade with every plausible run. A worker with `STRIKES_MAX` of
them is not believed: its runs teach nothing until enough plausible ones have redeemed it, and the lies it has taught
are struck out. A merely slow worker is not a liar: factors up to 20 are learned (placement.md, fact 8). Nor is a change
of regime a lie: contradicted runs wait (quarantine.py), and whoever is confirmed by others is acquitted. Decision 0025.
"""

from __future__ import annotations

from nexus_sched.errors import SnapshotUnreadable

PROPORTION = 30.0
CONVICTED_PROPORTION = 10.0  # of a worker that is not believed, this is a lie already
STRIKES_MAX = 5.0
REDEMPTION = 0.8  # what a plausible run leaves of the strikes
STRIKES_CAP = 8.0  # however long a worker lied, this many strikes have to fade
FORGOTTEN = 0.05  # fewer strikes than this are none
WORKERS_MAX = 4_096  # with strikes; the one struck longest ago is forgotten


class Trust:
    """Strikes by worker; most workers have none and take no memory."""

    def __init__(self) -> None:
        self.strikes: dict[str, float] = {}  # the one struck longest ago first

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

    def proportion_for(self, worker: str) -> float:
        """How many times out of what others take this worker's runs may be."""
        if not self.strikes or self.believes(worker):
            return PROPORTION
        return CONVICTED_PROPORTION

    def unbelieved(self) -> list[str]:
        """Workers whose runs may not teach, the one struck longest ago first."""
        return [worker for worker, count in self.strikes.items() if count >= STRIKES_MAX]

    def acquit(self, worker: str) -> None:
        """Others have confirmed what this worker was struck for."""
        self.strikes.pop(worker, None)

    def redeem(self, worker: str) -> None:
        """A plausible run."""
        left = self.strikes.get(worker)
        if left is not None:
            left *= REDEMPTION
            if left < FORGOTTEN:
                del self.strikes[worker]
            else:
                self.strikes[worker] = left


def check_strikes(strikes: dict[str, float]) -> None:
    """Raise `SnapshotUnreadable` for strikes that no run of counting could have left."""
    if len(strikes) > WORKERS_MAX:
        raise SnapshotUnreadable(f"strikes of {len(strikes)} workers are more than {WORKERS_MAX}")
    for worker, count in strikes.items():
        if not 0.0 < count <= STRIKES_CAP:
            raise SnapshotUnreadable(f"worker {worker!r} cannot have {count!r} strikes")
