"""Units and the bounds they are read with: `"250ms"` -> milliseconds, `"4MiB"` -> bytes.

Instants end in `_at_ns` or `_at_ms`, spans in `_ms`, sizes in `_bytes`. Integers inside, floats only
where a fraction of a millisecond carries meaning (service times).
"""

from __future__ import annotations

import re

from nexus_sched.errors import InvalidInput

NS_PER_MS = 1_000_000
MS_PER_S = 1_000

_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_QUANTITY = re.compile(r"^\s*(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]+)\s*$")


def parse_duration_ms(text: str) -> int:
    """Whole milliseconds of `"250ms"`, `"1.5s"`, `"2m"`, `"1h"` or `"1d"`.

    Raises `InvalidInput` for anything else, a bare number included: a duration without a unit is the
    most common mistake in configuration files.
    """
    return _parse(text, _DURATION_MS, "duration", '"250ms", "30s", "5m", "1h" or "1d"')


def parse_size_bytes(text: str) -> int:
    """Whole bytes of `"512B"`, `"64KB"`, `"4MiB"` or `"2GiB"`. Raises `InvalidInput` otherwise."""
    return _parse(text, _SIZE_BYTES, "size", '"512B", "64KiB", "4MiB" or "2GiB"')


def span_text(milliseconds: float) -> str:
    """For people: `12 ms`, `3.1 s`, `4.0 min` or `1.5 h`."""
    if abs(milliseconds) < 10.0:
        return f"{milliseconds:.1f} ms"
    if abs(milliseconds) < MS_PER_S:
        return f"{milliseconds:.0f} ms"
    if abs(milliseconds) < 120 * MS_PER_S:
        return f"{milliseconds / MS_PER_S:.1f} s"
    if abs(milliseconds) < 120 * 60 * MS_PER_S:
        return f"{milliseconds / (60 * MS_PER_S):.1f} min"
    return f"{milliseconds / (3_600 * MS_PER_S):.1f} h"


def amount_text(amount: float) -> str:
    """For people: an amount of a resource; large ones are taken to be bytes."""
    if amount >= _SIZE_BYTES["MiB"]:
        unit = "GiB" if amount >= _SIZE_BYTES["GiB"] else "MiB"
        return f"{amount / _SIZE_BYTES[unit]:.4g} {unit}"
    return f"{amount:.6g}"


def _parse(text: str, units: dict[str, int], what: str, examples: str) -> int:
    match = _QUANTITY.match(text)
    if match is None or match.group(2) not in units:
        raise InvalidInput(f"{text!r} is not a {what}: write it as {examples}")
    return round(float(match.group(1)) * units[match.group(2)])
