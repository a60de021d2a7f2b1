"""Children of the demonstration: told apart, stopped together, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nexus_sched.demo.options import DemoFailed
from nexus_sched.demo.processes import Children, last_words


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet waited for by its new parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def until(condition: object, timeout_s: float = 10.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_stop_ends_polite_and_stubborn_children_within_the_grace(tmp_path: Path) -> None:
    children = Children(tmp_path)
    polite = children.start("polite", ["sleep", "60"])
    stubborn = children.start("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"])
    await until(lambda: stubborn.log.read_text() == "ready\n")
    children.check()
    began_s = time.monotonic()
    await children.stop(grace_s=0.3)
    assert time.monotonic() - began_s < 5.0
    assert (polite.process.returncode, stubborn.process.returncode) == (-signal.SIGTERM, -signal.SIGKILL)


async def test_stop_takes_grandchildren_along(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = children.start("parent", ["sh", "-c", "sleep 60 & echo $!; wait"])
    await until(lambda: child.log.read_text().endswith("\n"))
    grandchild = int(child.log.read_text())
    assert alive(grandchild)
    await children.stop(grace_s=5.0)
    await until(lambda: not alive(grandchild))


async def test_stop_cancelled_in_its_grace_still_kills(tmp_path: Path) -> None:
    children = Children(tmp_path)
    stubborn = children.start("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"])
    await until(lambda: stubborn.log.read_text() == "ready\n")
    stopping = asyncio.create_task(children.stop(grace_s=60.0))
    await asyncio.sleep(0.05)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert stubborn.process.returncode == -signal.SIGKILL


async def test_check_child_that_ended_by_itself_fails_with_its_last_words(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = children.start("worker", ["sh", "-c", "echo out of luck >&2; exit 3"])
    await until(lambda: child.failure() is not None)
    with pytest.raises(DemoFailed, match=r"worker ended unexpectedly \(exit code 3\)(?s:.)*out of luck"):
        children.check()
    await children.stop(grace_s=0.1)


def test_start_missing_program_fails_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match="server cannot be started"):
        Children(tmp_path).start("server", ["/no/such/program"])


def test_last_words_of_long_log_are_its_end(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("x" * 10_000 + "\nthe end\n")
    assert last_words(log).endswith("the end")
    assert len(last_words(log)) < 5_000
    assert last_words(tmp_path / "none.log") == "(nothing)"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
async def test_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from nexus_sched.demo.processes import Children\n"
        "child = Children(pathlib.Path(sys.argv[1])).start('child', ['sleep', '60'])\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    await until(lambda: not alive(child))
