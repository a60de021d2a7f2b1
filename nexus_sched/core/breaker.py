"""The circuit breaker around prediction: three states, no clock of its own.

Closed -> open after `threshold` consecutive failures; open -> half-open when `cooldown_ms` have passed
on the clock of the turns; half-open -> closed on the next success, -> open again on the next failure.
Any success resets the count. Time is an argument, so a replay takes the very same turns.
"""

from __future__ import annotations

from enum import Enum


class BreakerState(Enum):
    """Whether predictions are asked for."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"  # one attempt at a time decides


class Breaker:
    """Counts consecutive failures. All times in milliseconds of the engine's clock."""

    def __init__(self, threshold: int, cooldown_ms: int) -> None:
        self.threshold = threshold
        self.cooldown_ms = cooldown_ms
        self.failures = 0  # consecutive
        self.opened_at_ms: int | None = None
        self.trips = 0  # how often it opened, for counters

    def allows(self, now_ms: int) -> bool:
        """Whether to ask the predictor now."""
        return self.opened_at_ms is None or now_ms - self.opened_at_ms >= self.cooldown_ms

    def succeeded(self) -> None:
        """A prediction was made and used."""
        self.failures = 0
        self.opened_at_ms = None

    def failed(self, now_ms: int) -> None:
        """A prediction raised, was not finite, or overran its budget."""
        if not self.allows(now_ms):
            return  # it is open already, and what fails on the side must not keep it so
        self.failures += 1
        if self.failures >= self.threshold:
            if self.opened_at_ms is None:
                self.trips += 1
            self.opened_at_ms = now_ms

    def state(self, now_ms: int) -> BreakerState:
        """The state as seen at `now_ms`."""
        if self.opened_at_ms is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self.allows(now_ms) else BreakerState.OPEN

    def snapshot(self) -> tuple[int, int | None, int]:
        """`(failures, opened_at_ms, trips)`."""
        return self.failures, self.opened_at_ms, self.trips

    def restore(self, state: tuple[int, int | None, int]) -> None:
        """The opposite of `snapshot`."""
        self.failures, self.opened_at_ms, self.trips = state
