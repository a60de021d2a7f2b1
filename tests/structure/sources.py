"""The files of the repository as the structure tests see them: what is tracked, or would be."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "nexus_sched"


@cache
def tracked() -> tuple[Path, ...]:
    """All files of the repository, relative to its top, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = listed.stdout.decode().split("\0")
    return tuple(path for path in map(Path, sorted(names)) if path.name and (ROOT / path).is_file())


def package_files(*suffixes: str) -> list[Path]:
    """Files of the package with one of these suffixes."""
    return [path for path in tracked() if path.parts[0] == PACKAGE and path.suffix in suffixes]


def read(path: Path) -> str:
    """The text of a file given relative to the top."""
    return (ROOT / path).read_text(encoding="utf-8")


def module_of(path: Path) -> str:
    """The dotted name of a source file: `nexus_sched/core/__init__.py` -> `nexus_sched.core`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
