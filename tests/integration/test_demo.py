"""The demonstration as a user starts it: a real server, a real scheduler, real worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "nexus_sched", "demo", "--workers", "6", "--rate", "40"]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="processes are counted, and die together, on Linux")
STOP_TIMEOUT_S = 20.0
START_TIMEOUT_S = 60.0


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory for temporary files whose name is short enough for a socket, empty when it is left."""
    with tempfile.TemporaryDirectory(prefix="nxd-", dir="/tmp") as name:
        yield Path(name)


def environment(scratch: Path) -> dict[str, str]:
    # The setting in the environment is for other schedulers of this user: the demonstration must not follow it.
    return {**os.environ, "TMPDIR": str(scratch), "NEXUS__REDIS__URL": "redis://127.0.0.1:1/0"}


def processes_of(scratch: Path, word: bytes = b"") -> list[int]:
    """Running processes with the scratch directory in arguments or environment, and `word` in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments, variables = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(scratch) in arguments + variables and word in arguments:
            found.append(int(entry.name))
    return found


def until(condition: Callable[[], object], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def test_demo_small_run_loses_and_repeats_nothing(scratch: Path) -> None:
    command = [*COMMAND, "--duration", "4", "--seed", "1", "--json"]
    done = subprocess.run(command, env=environment(scratch), capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["submitted"], report["finished"]) == (320, 320)
    assert (report["lost"], report["duplicated"]) == (0, 0)
    for half in (report["round_robin"], report["predictive"]):
        assert half["submitted"] == half["finished"] == 160
        assert 0.0 < half["wait_ms"]["p50"] <= half["wait_ms"]["p95"] <= half["wait_ms"]["p99"]
        assert half["response_ms"]["p50"] > half["wait_ms"]["p50"]
        assert 0.0 < half["utilisation"]["mean"] < 1.0
        assert 0.0 < half["decision_us"]["p50"] <= half["decision_us"]["p99"]
        assert half["dispatch_overhead_ms"]["tasks"] > 0
        assert sum(half["policies"].values()) >= 160  # what waits behind a late task may move
    assert set(report["round_robin"]["policies"]) == {"round-robin"}
    assert report["predictive"]["policies"]["predictive"] >= 150
    assert report["predictive"]["predicted"] >= 150
    assert report["submit_to_start_ms"] == report["predictive"]["submit_to_start_ms"]
    assert report["decision_us"] == report["predictive"]["decision_us"]
    assert re.search(r"look on at http://127\.0\.0\.1:\d+/v1/stats .* Bearer nxt_demo_\S+", done.stderr)
    assert list(scratch.iterdir()) == []


def test_demo_trace_file_is_run(scratch: Path) -> None:
    trace = scratch / "trace.csv"
    rows = "".join(f"{index},resize image,{1 + index % 3},-c{index % 2}\n" for index in range(50))
    trace.write_text("submit_ts,task_type,duration_s,worker_class\n" + rows)
    command = [*COMMAND, "--duration", "2", "--trace", str(trace)]
    done = subprocess.run(command, env=environment(scratch), capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert "trace.csv workload" in done.stdout
    assert "lost" in done.stdout
    assert "predictive: 80 of 80 finished" in done.stderr
    trace.unlink()
    assert list(scratch.iterdir()) == []


@contextlib.contextmanager
def started(scratch: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A long demonstration and the file with all that it says."""
    said = scratch.with_suffix(".said")
    with said.open("wb") as output:
        demo = subprocess.Popen([*COMMAND, "--duration", "30"], env=environment(scratch), stdout=output, stderr=output)
        try:
            yield demo, said
        finally:
            demo.kill()
            demo.wait()
            said.unlink()


@linux_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["starting", "round robin"])
def test_demo_interrupted_leaves_nothing_behind(scratch: Path, number: signal.Signals, moment: str) -> None:
    with started(scratch) as (demo, said):
        until(lambda: f"{moment} ..." in said.read_text(), START_TIMEOUT_S)
        until(lambda: len(processes_of(scratch)) > 3, START_TIMEOUT_S)
        demo.send_signal(number)
        assert demo.wait(STOP_TIMEOUT_S) == 130, said.read_text()
        assert "Traceback" not in said.read_text()
    assert processes_of(scratch) == []
    assert list(scratch.iterdir()) == []


@linux_only
def test_demo_killed_takes_its_processes_along(scratch: Path) -> None:
    with started(scratch) as (demo, _):
        until(lambda: len(processes_of(scratch)) > 3, START_TIMEOUT_S)
        demo.kill()
        until(lambda: not processes_of(scratch), STOP_TIMEOUT_S)


@linux_only
@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("w-003", b"\0--name=w-003\0"),
        ("scheduler", b"\0run\0--config\0"),
        ("gateway", b"\0gateway\0"),
        ("server", b"unixsocket:"),
    ],
)
def test_demo_part_that_dies_ends_it_with_its_last_words(scratch: Path, name: str, mark: bytes) -> None:
    with started(scratch) as (demo, said):
        until(lambda: "round robin ..." in said.read_text(), START_TIMEOUT_S)
        (part,) = processes_of(scratch, mark)
        os.kill(part, signal.SIGKILL)
        assert demo.wait(STOP_TIMEOUT_S) == 1
        assert f"{name} ended unexpectedly (signal 9)" in said.read_text()
        assert "Traceback" not in said.read_text()
    assert processes_of(scratch) == []
    assert list(scratch.iterdir()) == []


def test_demo_unusable_trace_is_told_before_anything_starts(scratch: Path) -> None:
    trace = scratch / "bad.csv"
    trace.write_text("task_type,duration_s\na,fast\n")
    done = subprocess.run(
        [*COMMAND, "--trace", str(trace)],
        env=environment(scratch),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"{trace}:2: duration_s 'fast' is not a number" in done.stderr.replace("\n", "")
