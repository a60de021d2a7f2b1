"""The nemesis in short: a few faults on real processes, and proof that its judge can say no.

All scenarios at higher counts: `make chaos`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from nexus_sched.testing.servers import REDIS, VALKEY, ServerMissing, find_binary
from tests.chaos.checker import started_twice
from tests.chaos.options import RELAXED, Options, Skipped, Stuck
from tests.chaos.producer import COMMON, ONCE
from tests.chaos.proxy import commands
from tests.chaos.run import run
from tests.chaos.verdict import Verdict
from tests.chaos.versions import ADDED, NEXT_VERSION, Change, make_next
from tests.integration.programs import ROOT

SHORT = (
    ("leader-failpoints", 2, VALKEY),
    ("leader-stop", 1, REDIS),
    ("worker-kill", 1, VALKEY),
    ("redis-power-cut", 2, REDIS),
    ("replies-dropped", 3, VALKEY),
    ("version-skew", 4, REDIS),
)
STARTED_TIMEOUT_S, STOPPED_TIMEOUT_S = 30.0, 20.0
POLL_S = 0.05


async def judged(options: Options) -> Verdict:
    try:
        return await run(options)
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(("scenario", "faults", "server"), SHORT)
async def test_scenario_loses_nothing_and_accepts_nothing_twice(scenario: str, faults: int, server: str) -> None:
    options = Options(scenario=scenario, faults=faults, seed=7, server=server, workers=3, inspect_live=False)
    verdict = await judged(options)
    assert verdict.good, verdict
    assert (verdict.faults, verdict.re_executed_elsewhere) == (faults, 0), verdict
    assert verdict.acknowledged > 0


async def test_power_cut_without_syncs_is_found_to_have_lost_tasks() -> None:
    options = Options(scenario="redis-power-cut", faults=1, seed=7, durability=RELAXED, workers=2, inspect_live=False)
    verdict = await judged(options)
    assert verdict.unsynced_bytes > 0
    assert verdict.lost > 0
    assert not verdict.good


def test_next_version_is_made_of_this_one_and_says_more_in_every_message(tmp_path: Path) -> None:
    tree = make_next(tmp_path)
    program = (
        "import nexus_sched.runtime.recovery as r, nexus_sched.model.worker as w, nexus_sched.version as v;"
        "import msgspec, nexus_sched.cli.run; print(v.VERSION, msgspec.json.encode(w.WorkerOffer()).decode())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split(" ", 1)[0] == NEXT_VERSION
    assert ADDED in said.stdout


def test_next_version_cannot_be_made_of_a_file_that_has_moved_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Change("nexus_sched/version.py", "a text of former times", "another")
    monkeypatch.setattr("tests.chaos.versions.CHANGES", (gone,))
    with pytest.raises(Stuck, match=r"nexus_sched/version\.py holds 'a text of former times' not exactly once"):
        make_next(tmp_path)


@pytest.mark.parametrize("starts", [1, 2])
def test_second_start_of_a_task_that_may_start_once_is_found(starts: int) -> None:
    lines = [["begin", f"{ONCE}1", str(number), "worker", "7"] for number in range(starts)]
    stage = SimpleNamespace(executions=lambda: [*lines, ["begin", f"{COMMON}2", "1", "worker", "7"]])
    assert len(started_twice(stage)) == starts - 1


def test_commands_on_the_wire_are_found_where_they_begin_and_end() -> None:
    first, second = b"*2\r\n$4\r\nECHO\r\n$3\r\n*1\r\r\n", b"*1\r\n$4\r\nPING\r\n"
    found = list(commands(first + second + b"*2\r\n$4\r\nEC"))
    assert found == [(0, len(first), [b"ECHO", b"*1\r"]), (len(first), len(first + second), [b"PING"])]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="nx-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def living_in(place: Path) -> list[str]:
    """Processes whose working directory is in `place`, removed or not."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            where = str(link.readlink())
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
        if where.startswith(str(place)):
            found.append(where)
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="there is no /proc to look for processes in")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_nemesis_leaves_no_process_and_no_file(place: Path, number: signal.Signals) -> None:
    try:
        find_binary(VALKEY)
    except ServerMissing as reason:
        pytest.skip(str(reason))
    command = [sys.executable, "-m", "tests.chaos", "--scenario", "leader-stop", "--faults", "50"]
    nemesis = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(place)}, stdout=subprocess.DEVNULL)
    try:
        give_up_at_s = time.monotonic() + STARTED_TIMEOUT_S
        while len(living_in(place)) < 7:  # a server, two schedulers, four workers
            assert nemesis.poll() is None
            assert time.monotonic() < give_up_at_s
            time.sleep(POLL_S)
        nemesis.send_signal(number)
        assert nemesis.wait(STOPPED_TIMEOUT_S) != 0
    finally:
        nemesis.kill()
        nemesis.wait()
    assert living_in(place) == []
    assert list(place.iterdir()) == []
