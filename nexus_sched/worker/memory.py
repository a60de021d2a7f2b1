"""The most memory that this process has held since it was last asked to forget that; where the system can tell.

Source: proc(5), `/proc/self/clear_refs` (5 resets the peak) and `VmHWM` in `/proc/self/status`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def forget_peak() -> None:
    """Let the peak be what is held now; nothing happens where that cannot be done."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")


def peak_bytes() -> int:
    """The peak in bytes, 0 if the system does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1_024
    return 0
