"""The habits of the house that a program can check. Each message says what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.sources import ROOT, package_files, read, tracked

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
# Spelled in two parts, so that this file does not contain what it looks for.
LEFTOVERS = re.compile(
    "|".join(left + right for left, right in (("TO", "DO"), ("FIX", "ME"), ("NotImplemented", "Error")))
)
SILENCED = re.compile(r"#\s*(type:\s*ignore|noqa)(?:[\[:][\w\s,\[\]-]*?)?(?P<reason>\s+-\s+\S.*)?$")
_FOREIGN = (
    ("py", r"pi\.org"),
    ("python", "hosted"),
    ("npm", "js"),
    ("deb", r"ian\.org"),
    ("/wo", "rk/"),
    ("/ro", "ot/"),
)
FOREIGN = re.compile("|".join(left + right for left, right in _FOREIGN))
BINARY_SUFFIXES = (".lock", ".svg", ".png", ".gz", ".csv", ".bin")


def sources(*suffixes: str) -> list[Path]:
    return [path for path in tracked() if path.suffix in suffixes]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_fit_on_a_screen():
    found = [
        f"{path}:{node.lineno} {node.name} has {length} lines, at most {FUNCTION_LINES_MAX}: split it by what it does"
        for path in sources(".py")
        for node in functions(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert found == []


def test_modules_stay_small():
    found = [
        f"{path} has {length} lines, at most {MODULE_LINES_MAX}: split it by noun"
        for path in sources(".py", ".pyx", ".pxd", ".c", ".h", ".lua")
        if (length := read(path).count("\n")) > MODULE_LINES_MAX
    ]
    assert found == []


@pytest.mark.parametrize("path", package_files(".py"), ids=str)
def test_module_opens_with_a_docstring(path: Path):
    docstring = ast.get_docstring(ast.parse(read(path)))
    assert docstring, f"{path}: say in a docstring what law lives here"
    assert docstring.rstrip().endswith((".", "`", ")", ":")), f"{path}: the docstring is not a sentence"


@pytest.mark.parametrize("path", package_files(".pyx", ".pxd"), ids=str)
def test_compiled_module_opens_with_words(path: Path):
    assert read(path).lstrip().startswith(('"""', "#")), f"{path}: say what law lives here"


def test_compiled_modules_have_stubs():
    missing = [str(path) for path in package_files(".pyx") if not (ROOT / path.with_suffix(".pyi")).is_file()]
    assert missing == []


def test_nothing_is_left_over():
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in sources(".py", ".pyx", ".pxd", ".c", ".h", ".lua")
        for number, line in enumerate(read(path).splitlines(), start=1)
        if LEFTOVERS.search(line)
    ]
    assert found == []


def test_silenced_checks_give_their_reason():
    found = [
        f"{path}:{number}: say why, behind ` - `: {line.strip()}"
        for path in sources(".py", ".pyi")
        for number, line in enumerate(read(path).splitlines(), start=1)
        if (match := SILENCED.search(line)) and not match["reason"] and "#" not in line[match.end() :]
    ]
    assert found == []


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    found = [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in tracked()
        if path.suffix not in BINARY_SUFFIXES
        for number, line in enumerate(read(path).splitlines(), start=1)
        if FOREIGN.search(line)
    ]
    assert found == []


def test_constraints_are_names_and_versions_only():
    lines = read(Path("constraints.txt")).splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []
