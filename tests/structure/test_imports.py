"""Imports only run downwards, in Python and in Cython."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.structure.rooms import ROOMS, cython_imports, python_imports, room_of, violations
from tests.structure.sources import module_of, package_files, read

PYTHON = package_files(".py", ".pyi")
CYTHON = package_files(".pyx", ".pxd")


def own(path: Path) -> str:
    return module_of(path).removeprefix("nexus_sched").removeprefix(".")


@pytest.mark.parametrize("path", PYTHON, ids=str)
def test_python_file_imports_only_what_its_room_may(path: Path):
    module = own(path)
    found = violations(module, python_imports(read(path), module, path.stem == "__init__"))
    if path == Path("nexus_sched/__init__.py"):  # the lazy names, for type checkers only
        found = [line for line in found if not _is_lazy(line)]
    assert found == []


def _is_lazy(line: str) -> bool:
    return line.split(" imports ")[1] in ("client.AsyncClient", "client.Client", "worker.App")


@pytest.mark.parametrize("path", CYTHON, ids=str)
def test_cython_file_imports_only_what_its_room_may(path: Path):
    assert violations(own(path), cython_imports(read(path))) == []


def test_every_folder_of_the_package_is_a_room():
    folders = {own(path) for path in PYTHON} - {""}
    without = {module for module in folders if room_of(module) is None} - {"adapters"}
    assert without == set()


def test_rules_find_what_breaks_them():
    source = "import nexus_sched.adapters.redis\nfrom nexus_sched.runtime import turn\nfrom ..cli import main\n"
    found = violations("core.engine", python_imports(source, "core.engine", is_package=False))
    assert [line.split(" imports ")[1] for line in found] == ["adapters.redis", "runtime.turn", "cli.main"]
    inner = "def f():\n    from nexus_sched.adapters.memory import store\n"
    assert violations("adapters.redis.leader", python_imports(inner, "adapters.redis.leader", is_package=False))
    assert violations("worker.app", python_imports("from nexus_sched.runtime import turn", "worker.app", False))
    assert not violations(
        "worker.app", python_imports("from nexus_sched.runtime.ports import Ended", "worker.app", False)
    )
    assert violations("config.schema", python_imports("from nexus_sched.config import load", "config.schema", False))
    cython = "from nexus_sched.core.engine cimport Engine\ncimport nexus_sched.model.task as t\n"
    assert violations("_kernel.scorer", cython_imports(cython)) == [
        "_kernel.scorer (_kernel) imports core.engine.Engine"
    ]


def test_nobody_but_the_entry_may_import_the_command_line():
    assert [room for room, allowed in ROOMS.items() if "cli" in allowed] == ["__main__"]
    assert not any("testing" in allowed for allowed in ROOMS.values())


def test_core_stands_without_clock_randomness_environment_and_logging():
    forbidden = {"time", "datetime", "random", "secrets", "os", "logging", "structlog", "asyncio", "socket", "uuid"}
    forbidden |= {"threading", "subprocess", "pathlib", "redis", "numpy.random"}
    found = []
    for path in PYTHON:
        if path.parts[1] not in ("core", "fallback", "model"):
            continue
        for node in ast.walk(ast.parse(read(path))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            found += [f"{path}:{node.lineno} imports {name}" for name in names if name.split(".")[0] in forbidden]
            if isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter):
                found.append(f"{path}:{node.iter.lineno} iterates over a set, whose order is not defined")
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("hash", "id", "open")
            ):
                found.append(f"{path}:{node.lineno} calls {node.func.id}()")
    assert found == []


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    return isinstance(node, ast.Set | ast.SetComp)


def test_fallback_stands_without_what_it_guards():
    for path in PYTHON:
        if path.parts[1] == "fallback":
            assert "numpy" not in read(path), path
            assert "_kernel" not in read(path), path


@pytest.mark.parametrize(
    "module", ["nexus_sched", "nexus_sched.client", "nexus_sched.worker", "nexus_sched.model.task"]
)
def test_import_of_what_users_touch_does_not_load_numpy_or_the_scheduler(module: str):
    script = (
        f"import sys, {module}; print(*[n for n in ('numpy', 'redis', 'nexus_sched.core.engine') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
