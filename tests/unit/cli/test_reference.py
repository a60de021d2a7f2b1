"""The generated pages are what the program says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULES = {"cli": "nexus_sched.cli", "errors": "nexus_sched.cli", "http": "nexus_sched.gateway.http"}


@pytest.mark.parametrize("page", MODULES)
def test_reference_page_is_fresh(page: str, root: Path):
    # In a process of its own: errors that other tests define must not show up in it.
    command = [sys.executable, "-m", f"{MODULES[page]}.reference", page]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
    assert (root / f"docs/reference/{page}.md").read_text() == rendered, "run `make docs` and commit the result"
