"""The name under which a process holds leases, and the proof that the holder of a lease is dead.

A lease that stands still is free after its time, wherever its holder ran. If the holder ran on this very machine,
the kernel knows at once whether the process exists, so nobody has to wait. The name therefore says which process it
is: `<host>:<kernel and start>:<process id>`, where the middle part is the boot of the kernel with the namespace in
which the id counts, and the tick at which the process started (an id is given out again, a start is not).

A wrong proof would cost a change of leaders and no task, because every write is fenced by the lease's epoch.
"""

from __future__ import annotations

import os
import socket
from hashlib import blake2b
from pathlib import Path

PROC = Path("/proc")
START_FIELD = 19  # of /proc/<pid>/stat behind the name: when it started, in ticks since the boot (proc(5))
DEAD_STATES = ("Z", "X")  # killed, and only not yet waited for


def own_name() -> str:
    """This process's name. Without a proof in it where the kernel offers none."""
    host, process = socket.gethostname().replace(":", "-"), os.getpid()
    kernel, stat = _kernel(), _stat(process)
    if kernel is None or stat is None:
        return f"{host}:{process}"
    return f"{host}:{kernel}.{stat[1]}:{process}"


def is_dead(owner: str) -> bool:
    """Whether the process of this name is proven to be dead. `False` also if nothing is known of it."""
    parts = owner.split(":")
    kernel, _, started = parts[1].partition(".") if len(parts) == 3 else ("", "", "")
    if not started or kernel != _kernel() or not parts[2].isdigit():
        return False
    process = int(parts[2])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it exists, and is somebody else's
        pass
    stat = _stat(process)
    return stat is not None and (stat[1] != started or stat[0] in DEAD_STATES)


def _kernel() -> str | None:
    """Which boot of which kernel, and which of its process namespaces."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text()
        namespace = (PROC / "self/ns/pid").readlink()
    except OSError:
        return None
    return blake2b(f"{boot.strip()} {namespace}".encode(), digest_size=6).hexdigest()


def _stat(process: int) -> tuple[str, str] | None:
    """State and start of a process, `None` if it cannot be seen."""
    try:
        text = (PROC / str(process) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], fields[START_FIELD]
