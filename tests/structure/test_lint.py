"""The linters and type checkers, as one test each, so that the test command covers them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.structure.sources import ROOT, module_of, package_files

SCRIPTS = sysconfig.get_path("scripts")


def run(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}  # cython-lint calls pycodestyle
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def tool(name: str) -> str:
    """A tool of the environment that runs the tests, not one that happens to be in PATH."""
    found = shutil.which(name, path=SCRIPTS)
    assert found, f"{name} is missing: install the group `dev`"
    return found


def test_ruff_check_finds_nothing():
    run(tool("ruff"), "check", ".")


def test_ruff_format_would_change_nothing():
    run(tool("ruff"), "format", "--check", ".")


def test_mypy_strict_finds_nothing():
    run(sys.executable, "-m", "mypy", "--strict", "nexus_sched")


def test_cython_lint_finds_nothing():
    run(tool("cython-lint"), *map(str, package_files(".pyx", ".pxd")))


def test_stubs_agree_with_the_compiled_modules():
    run(sys.executable, "-m", "mypy.stubtest", *sorted(map(_stubbed, package_files(".pyx"))))


def _stubbed(path: Path) -> str:
    return module_of(path)
