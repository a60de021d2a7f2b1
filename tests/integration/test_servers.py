"""A server for tests goes with whoever started it, however that one ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WAIT_S = 10.0
PROGRAM = """
import sys
from nexus_sched.testing.servers import TestServer
server = TestServer()
server.start()
print(server.pid, server.socket_path.parent, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_server_ends_with_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, directory = parent.stdout.readline().split()
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    give_up_at_s = time.monotonic() + WAIT_S
    while alive(pid) and time.monotonic() < give_up_at_s:
        time.sleep(0.01)
    assert not alive(pid)
    for left in Path(directory).iterdir():  # nobody was there to do it
        left.unlink()
    Path(directory).rmdir()


def alive(pid: str) -> bool:
    """Whether a process of this id runs; one that has ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
