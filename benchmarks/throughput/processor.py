"""CPU time and memory of processes by id, from Linux's /proc, and the load of the machine."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process and all its threads, in steps of 10 ms."""
    # behind the name, which may hold anything but ends at the last bracket
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def waited_s(pid: int) -> float:
    """Time for which a process could have run and did not, because others did; of its main thread."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def machine_cpu_s() -> float:
    """Time that all cores together were busy since the machine started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) * _TICK_S  # without idle and waiting for disks


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in use now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def resident_bytes_max(pid: int) -> int:
    """The most memory a process has had in use so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} tells no VmHWM")


def load_1min() -> float:
    """Processes that wanted to run, averaged over the last minute."""
    return os.getloadavg()[0]
