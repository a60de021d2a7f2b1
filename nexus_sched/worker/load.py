"""How busy the processors of this machine are, by everybody: `/proc/stat`, so on Linux only.

The scheduler takes off what a worker's own tasks account for; what is left are others, and makes its slots count less.
"""

from __future__ import annotations

from pathlib import Path

SHARE_STEP = 0.05  # smaller differences are not worth a report
_IDLE, _WAITING = 3, 4  # positions in the line `cpu`; the last two repeat what user and nice hold already
_GUEST = 8


class MachineLoad:
    """The share of processor time that was used since the last look."""

    def __init__(self, source: Path = Path("/proc/stat")) -> None:
        self._source = source
        self._busy, self._total = self._read() or (0, 0)

    def share(self) -> float | None:
        """0 to 1 in steps of `SHARE_STEP`, `None` where it cannot be known."""
        read = self._read()
        if read is None or read[1] <= self._total:
            return None
        busy, total = read
        share = (busy - self._busy) / (total - self._total)
        self._busy, self._total = busy, total
        return round(round(min(max(share, 0.0), 1.0) / SHARE_STEP) * SHARE_STEP, 2)

    def _read(self) -> tuple[int, int] | None:
        """Ticks in use, and all ticks, since the machine started."""
        try:
            with self._source.open() as stream:
                name, *ticks = stream.readline().split()
            counts = [int(tick) for tick in ticks[:_GUEST]]
        except (OSError, ValueError):
            return None
        if name != "cpu" or len(counts) <= _WAITING:
            return None
        return sum(counts) - counts[_IDLE] - counts[_WAITING], sum(counts)
