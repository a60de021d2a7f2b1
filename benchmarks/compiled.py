"""Builds the C functions outside of Python, with the flags that the package is really built with.

So the kernel can be timed without the cost of calling it, and compared across optimisation levels.
"""

from __future__ import annotations

import ast
import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def compiler() -> str | None:
    """The C compiler in PATH, if there is one."""
    return shutil.which("gcc") or shutil.which("cc")


def build_flags() -> list[str]:
    """`COMMON` of setup.py."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMON":
            flags: list[str] = ast.literal_eval(node.value)
            return flags
    raise AssertionError("setup.py has no COMMON flags")


def build(target: Path, flags: Sequence[str], extra_sources: Sequence[Path] = ()) -> ctypes.CDLL:
    """All of csrc and the extra sources as one shared library; warnings are errors."""
    sources = [str(path) for path in (*sorted((ROOT / "csrc").glob("*.c")), *extra_sources)]
    command = [compiler() or "cc", "-shared", "-fPIC", *build_flags(), "-Werror", f"-I{ROOT / 'csrc'}"]
    done = subprocess.run([*command, *flags, *sources, "-o", str(target)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"the C sources do not compile with {' '.join(flags)}:\n{done.stderr}")
    return ctypes.CDLL(str(target))
