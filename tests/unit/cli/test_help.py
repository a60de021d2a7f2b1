"""Help is quick and loads nothing heavy; every command has it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from nexus_sched.cli.app import COMMANDS, GROUPS

HELP_CPU_S_MAX = 0.25
HEAVY = ("redis", "numpy", "litestar", "structlog", "hiredis", "nexus_sched.core", "nexus_sched.adapters")


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


def cpu_of_children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_help_costs_less_than_a_quarter_of_a_second_of_cpu():
    costs = []
    for _ in range(3):  # the first one may have to compile byte code
        before = cpu_of_children_s()
        assert child("-m", "nexus_sched", "--help").returncode == 0
        costs.append(cpu_of_children_s() - before)
    assert min(costs) < HELP_CPU_S_MAX


def test_help_names_every_command_and_loads_nothing_heavy():
    script = (
        "import sys; from nexus_sched.cli import main; code = main(['--help']); "
        f"print('loaded:', *[name for name in {HEAVY} if name in sys.modules]); sys.exit(code)"
    )
    done = child("-c", script)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "loaded:"
    for name, (_, line) in COMMANDS.items():
        assert name in done.stdout
        assert line in done.stdout


@pytest.mark.parametrize(
    "command",
    [*([name] for name in COMMANDS), *([group, name] for group, (commands, _) in GROUPS.items() for name in commands)],
    ids=" ".join,
)
def test_help_of_a_command_exits_cleanly(command: list[str]):
    done = child("-m", "nexus_sched", *command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: nexus-sched {' '.join(command)}")


def test_version_flag_and_command_agree():
    flag, command = child("-m", "nexus_sched", "--version"), child("-m", "nexus_sched", "version")
    assert flag.stdout.strip() in command.stdout
