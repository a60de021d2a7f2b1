"""What people write when they call us, turned into the words of the model: `"30s"`, `"any"`."""

from __future__ import annotations

from nexus_sched.errors import InvalidInput
from nexus_sched.model.task import DURATION_MS_MAX, Retry
from nexus_sched.units import MS_PER_S, parse_duration_ms


def span_ms(value: str | float) -> float:
    """Milliseconds of `"30s"` or of a number of seconds; raises `InvalidInput` out of bounds."""
    milliseconds = float(parse_duration_ms(value)) if isinstance(value, str) else value * MS_PER_S
    if not 0.0 < milliseconds <= DURATION_MS_MAX:  # also refuses a NaN
        raise InvalidInput(f"a duration of {value!r} is out of bounds: write it as 30.0 (seconds) or '30s'")
    return milliseconds


def retry_of(value: str | Retry) -> Retry:
    """The retry rule of this name; raises `InvalidInput` if there is none."""
    try:
        return Retry(value)
    except ValueError:
        raise InvalidInput(f"retry is {value!r}, allowed are never, lost and any") from None
