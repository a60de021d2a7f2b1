"""The commands of the README and of the tutorial, run as written against a real server."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from nexus_sched.testing.servers import VALKEY, TestServer
from tests.structure.documents import code_blocks, commands
from tests.structure.sources import ROOT, read

# Where the tasks of docs/how-to/place-tasks.md must run.
PLACED = {"first": "plain", "second": "big", "third": "big", "fourth": "plain", "fifth": "plain"}
COMMAND_TIMEOUT_S = 60
READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10


class Shell:
    """Runs lines as a reader would type them; those that end with & go on in the background."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        path = os.pathsep.join([str(directory), sysconfig.get_path("scripts"), os.environ["PATH"]])
        self._environment = {**os.environ, "PATH": path, "NEXUS__REDIS_URL": url, "PYTHONPATH": str(ROOT)}
        self._background: list[tuple[str, subprocess.Popen[bytes]]] = []

    def set(self, variable: str, value: str) -> None:
        """An environment variable of all that is run from now on."""
        self._environment[variable] = value

    def run(self, line: str) -> str:
        """The output of a line, empty for one in the background."""
        words = shlex.split(line.rstrip("& "))
        if words[0] == "nexus-sched":
            words[:1] = [sys.executable, "-m", "nexus_sched"]
        elif words[0] == "python":
            words[0] = sys.executable
        if line.rstrip().endswith("&"):
            self._start(line, words)
            return ""
        done = subprocess.run(
            words,
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _start(self, line: str, words: list[str]) -> None:
        log = self.directory / f"{len(self._background)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                words, cwd=self.directory, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        self._background.append((line, process))
        ready = "Serving" if "--role gateway" in line else "leading" if " run" in line else "ready"
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while ready not in log.read_text() and time.monotonic() < give_up_at and process.poll() is None:
            time.sleep(0.05)
        assert ready in log.read_text(), f"{line}\n{log.read_text()}"

    def stop(self) -> dict[str, int]:
        """Ask everything in the background to stop; gives the exit codes by line."""
        for _, process in reversed(self._background):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return {line: process.returncode for line, process in self._background}


@pytest.fixture
def server_url() -> Iterator[str]:
    with TestServer(VALKEY) as server:
        yield server.url


@pytest.fixture
def shell(tmp_path: Path, server_url: str) -> Iterator[Shell]:
    found = Shell(tmp_path, server_url)
    try:
        yield found
    finally:
        found.stop()


def test_readme_commands_run_as_written(shell: Shell):
    for name in ("quickstart_worker.py", "quickstart_submit.py"):
        (shell.directory / name).write_text(read(Path("examples") / name))
    output = [shell.run(line) for line in commands(read(Path("README.md")), "run")]
    assert output[2].strip() == "3"  # the submitter
    assert output[3].strip() == "42"  # submit --wait
    assert "1 live, 1 take tasks" in output[4]
    assert set(shell.stop().values()) == {0}


def test_tutorial_commands_run_as_written(shell: Shell):
    page = read(Path("docs/tutorial/first-tasks.md"))
    (shell.directory / "tasks.py").write_text(code_blocks(page, "python")[0])
    output = [shell.run(line) for line in commands(page, "tutorial")]
    assert output[4].strip() == "3"
    assert output[5].strip() == '"rested"'
    assert "2 live, 2 take tasks" in output[6]
    assert set(shell.stop().values()) == {0}


def test_eta_page_works_as_written(shell: Shell):
    page = read(Path("docs/how-to/ask-for-an-eta.md"))
    for name, code in zip(("tasks.py", "ask.py"), code_blocks(page, "python"), strict=True):
        (shell.directory / name).write_text(code)
    output = [shell.run(line) for line in commands(page, "eta")]
    told, asked = json.loads(output[4]), json.loads(output[5])
    assert told["eta"]["finish"]["p50_s"] > 0.0
    assert asked["eta"]["finish"]["p80_s"] >= asked["eta"]["finish"]["p50_s"]
    said, rested = output[6].splitlines()
    assert said.startswith("done in ")
    assert rested == "rested"


def test_placement_page_works_as_written(shell: Shell):
    page = read(Path("docs/how-to/place-tasks.md"))
    (shell.directory / "tasks.py").write_text(code_blocks(page, "python")[0])
    (shell.directory / "nexus.toml").write_text(code_blocks(page, "toml")[0])
    output = [shell.run(line) for line in commands(page, "place")]
    assert [line.strip() for line in output[3:8]] == ['"rendered"'] * 5
    workers = [shell.run(f"nexus-sched task get {name}").strip().rpartition(" ")[2] for name in PLACED]
    assert workers == list(PLACED.values())
    assert all(f"{name} " in output[9] for name in ("plain", "big"))
    assert "free in     now" in output[10]
    assert set(shell.stop().values()) == {0}


def test_why_page_works_as_written(shell: Shell):
    page = read(Path("docs/how-to/ask-why.md"))
    for name, code in zip(("tasks.py", "ask.py"), code_blocks(page, "python"), strict=True):
        (shell.directory / name).write_text(code)
    output = [shell.run(line) for line in commands(page, "why")]
    assert "waiting for capacity" in output[2]
    assert "no worker is registered" in output[2]
    placed = output[7]
    assert placed.startswith("second (succeeded): placed on ")
    for part in (
        "2 workers -> 2 open to it",
        "chosen",
        "round robin",
        "model",
        "decision",
        "regret",
        "why not",
        "what if",
    ):
        assert part in placed
    hopeless = json.loads(output[9])
    assert hopeless["tier"] == "misconfigured"
    assert "no worker has a label gpu" in hopeless["sentence"]
    assert output[10].startswith("placed on ")
    assert set(shell.stop().values()) == {0}


def test_intake_page_works_as_written(shell: Shell, server_url: str):
    page = read(Path("docs/how-to/take-in-a-stream.md"))
    (shell.directory / "nexus.toml").write_text(code_blocks(page, "toml")[0])
    (shell.directory / "fetch.py").write_text(code_blocks(page, "python")[0])
    (shell.directory / "quickstart_worker.py").write_text(read(Path("examples/quickstart_worker.py")))
    shell.run("nexus-sched run &")
    shell.run("nexus-sched worker quickstart_worker:app &")
    (line,) = commands(page, "intake")
    with redis.Redis.from_url(server_url) as producer:
        producer.execute_command(*shlex.split(line)[1:])
    assert shell.run("python fetch.py").strip() == "42"
    assert set(shell.stop().values()) == {0}


def run_until(shell: Shell, line: str, expected: str) -> str:
    """Run a command as a person would who looks again: until it shows this, for twenty seconds at most."""
    give_up_s = time.monotonic() + 20.0
    output = shell.run(line)
    while expected not in output and time.monotonic() < give_up_s:
        time.sleep(0.2)
        output = shell.run(line)
    return output


def test_page_of_dead_letters_works_as_written(shell: Shell):
    page = read(Path("docs/how-to/look-after-dead-letters.md"))
    (shell.directory / "letters.py").write_text(code_blocks(page, "python")[0])
    (shell.directory / "quickstart_worker.py").write_text(read(Path("examples/quickstart_worker.py")))
    shown_soon = {"nexus-sched dead list": "deadline", "nexus-sched task get late": "succeeded"}
    output = [run_until(shell, line, shown_soon.get(line, "")) for line in commands(page, "dead")]
    assert "deadline" in output[2]
    assert "[20, 22]" in output[3]
    assert "late: succeeded, attempt 1" in output[7]
    assert "there is a worker now" in output[8]
    assert shell.run("python letters.py").split() == ["0", "0"]


def test_page_of_repairs_works_as_written(shell: Shell, server_url: str):
    page = read(Path("docs/how-to/repair-a-shard.md"))
    (shell.directory / "quickstart_worker.py").write_text(read(Path("examples/quickstart_worker.py")))
    with redis.Redis.from_url(server_url) as server:  # fit to hold tasks, as `doctor` wants it
        for name, value in (("maxmemory", "100mb"), ("appendonly", "yes"), ("appendfsync", "always")):
            server.config_set(name, value)
    output = [shell.run(line) for line in commands(page, "repair")]
    assert "FAIL" not in output[3]
    assert "0 live tasks" in output[4]
    assert "0 live tasks" in output[5]
    assert set(shell.stop().values()) == {0}


def test_simulation_page_runs_as_written(shell: Shell):
    page = read(Path("docs/how-to/simulate.md"))
    for name, text in zip(("runs.csv", "durations.csv"), code_blocks(page, "csv"), strict=True):
        (shell.directory / name).write_text(text)
    output = [shell.run(line) for name in ("simulate", "owners", "report") for line in commands(page, name)]
    assert "hetero: 1000 tasks on 50 workers, 2 seeds" in output[0]
    assert list(json.loads(output[1])["policies"]) == ["oracle", "predictive", "pull"]
    assert "runs.csv: 5 tasks on 4 workers" in output[2]
    assert "durations.csv: 200 tasks on 4 workers" in output[3]
    assert "Response times" in (shell.directory / "compare.html").read_text()


def test_recorded_hour_is_simulated_as_the_page_says(shell: Shell):
    for name in ("quickstart_worker.py", "quickstart_submit.py"):
        (shell.directory / name).write_text(read(Path("examples") / name))
    shell.run("nexus-sched run &")
    shell.run("nexus-sched worker quickstart_worker:app &")
    for _ in range(3):
        shell.run("python quickstart_submit.py")
    page = read(Path("docs/how-to/simulate.md"))
    output = [shell.run(line) for name in ("what-if", "kept") for line in commands(page, name)]
    assert "3 tasks on 1 worker, with changes 11" in output[0]
    assert json.loads(output[3])["changes"] == {
        "workers": 0,
        "wait_weight": 3.0,
        "balance_ms": 20.0,
        "objective": "custom",
    }
    assert "with changes 11" in output[5]
    assert set(shell.stop().values()) == {0}
