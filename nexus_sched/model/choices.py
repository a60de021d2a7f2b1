"""What people write when they call us, turned into the words of the model: `"30s"`, `"any"`, `"memory=8GiB"`."""

from __future__ import annotations

from collections.abc import Mapping

from nexus_sched.errors import InvalidInput
from nexus_sched.model.conditions import number_of
from nexus_sched.model.ids import check_resource
from nexus_sched.model.task import DURATION_MS_MAX, Retry
from nexus_sched.units import MS_PER_S, parse_duration_ms, parse_size_bytes

RESOURCE_AMOUNT_MAX = 1e15


def span_ms(value: str | float) -> float:
    """Milliseconds of `"30s"` or of a number of seconds; raises `InvalidInput` out of bounds."""
    milliseconds = pause_ms(value)
    if milliseconds == 0.0:
        raise _out_of_bounds(value)
    return milliseconds


def pause_ms(value: str | float) -> float:
    """The same for a span that may be nothing."""
    milliseconds = float(parse_duration_ms(value)) if isinstance(value, str) else value * MS_PER_S
    if not 0.0 <= milliseconds <= DURATION_MS_MAX:  # also refuses a NaN
        raise _out_of_bounds(value)
    return milliseconds


def _out_of_bounds(value: str | float) -> InvalidInput:
    return InvalidInput(f"a duration of {value!r} is out of bounds: write it as 30.0 (seconds) or '30s'")


def retry_of(value: str | Retry) -> Retry:
    """The retry rule of this name; raises `InvalidInput` if there is none."""
    try:
        return Retry(value)
    except ValueError:
        raise InvalidInput(f"retry is {value!r}, allowed are never, lost and any") from None


def resources_of(written: str | Mapping[str, str | float]) -> dict[str, float]:
    """Amounts by name, from `"gpu=1,memory=8GiB"` or `{"gpu": 1, "memory": "8GiB"}`; raises `InvalidInput`."""
    pairs = pairs_of(written, "a resource").items() if isinstance(written, str) else written.items()
    return {check_resource(name): amount_of(value) for name, value in pairs}


def amount_of(value: str | float) -> float:
    """A number, or the bytes of a size such as `"8GiB"`; raises `InvalidInput` unless it is above 0."""
    amount = value if isinstance(value, int | float) else number_of(value)
    if amount is None:
        amount = parse_size_bytes(str(value))
    if not 0.0 < amount <= RESOURCE_AMOUNT_MAX:
        raise InvalidInput(f"an amount of {value!r} is out of bounds: write a number above 0, or a size such as '8GiB'")
    return float(amount)


def pairs_of(text: str, what: str) -> dict[str, str]:
    """`"zone=a,rack=7"` as a mapping. Raises `InvalidInput` for what has no name, or one that stands twice."""
    pairs: dict[str, str] = {}
    for pair in text.split(","):
        name, separator, value = (part.strip() for part in pair.partition("="))
        if not separator or not name:
            raise InvalidInput(f"{what} is written as name=value, not {pair.strip()[:80]!r}")
        if name in pairs:
            raise InvalidInput(f"{what} {name[:80]!r} is given twice")
        pairs[name] = value
    return pairs
