"""How busy this machine is, by everybody: processors, memory, network. Measured with psutil, so wherever that runs.

If a worker is alone on its machine the scheduler takes off what its own tasks account for; what is left are others, and
makes its slots count less. Where workers share a machine the figures are kept, and weigh nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

SHARE_STEP = 0.05  # smaller differences are not worth a report


class Load(NamedTuple):
    """What was used since the last look. `None` where it cannot be known."""

    cpu: float | None = None  # share of all processors, in steps of `SHARE_STEP`
    memory: float | None = None  # share in use, likewise
    network_bytes_s: float | None = None  # in and out together, to one digit


class MachineLoad:
    """Looks at the machine; psutil is loaded with the first look."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._busy_s, self._total_s = _processor_times()
        self._network_bytes, self._at_s = _network_bytes(), clock_s()

    def look(self) -> Load:
        """The load since the last look, or since this object was made."""
        import psutil

        try:
            memory = stepped(psutil.virtual_memory().percent / 100.0)
        except (OSError, RuntimeError, AttributeError):
            memory = None
        return Load(self._cpu(), memory, self._network())

    def _cpu(self) -> float | None:
        busy_s, total_s = _processor_times()
        spent_s = total_s - self._total_s
        share = (busy_s - self._busy_s) / spent_s if spent_s > 0.0 else None
        self._busy_s, self._total_s = busy_s, total_s
        return None if share is None else stepped(share)

    def _network(self) -> float | None:
        sent, at_s = _network_bytes(), self._clock_s()
        before, since_s = self._network_bytes, at_s - self._at_s
        self._network_bytes, self._at_s = sent, at_s
        if sent is None or before is None or since_s <= 0.0:
            return None
        return float(f"{max(0, sent - before) / since_s:.0e}")


def stepped(share: float) -> float:
    """A share of 0 to 1 in steps of `SHARE_STEP`."""
    return round(round(min(max(share, 0.0), 1.0) / SHARE_STEP) * SHARE_STEP, 2)


def _processor_times() -> tuple[float, float]:
    """Seconds in use and all seconds since the machine started, over all processors; zeros where nobody counts."""
    import psutil

    try:
        times = psutil.cpu_times()
    except (OSError, RuntimeError):
        return 0.0, 0.0
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # user and nice hold them already
    total_s = sum(times) - guests
    return total_s - times.idle - getattr(times, "iowait", 0.0), total_s


def _network_bytes() -> int | None:
    import psutil

    try:
        counted = psutil.net_io_counters()
    except (OSError, RuntimeError):
        return None
    return None if counted is None else counted.bytes_sent + counted.bytes_recv
