"""What all tests share: reproducible properties, and an environment without settings of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nexus_sched.testing.plugin import pool, server

__all__ = ["pool", "server"]

ROOT = Path(__file__).resolve().parents[1]

# Derandomised: a failure is the same for everybody, and a green run is not luck. No deadline: machines differ.
settings.register_profile(
    "tests", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

for _name in [name for name in os.environ if name.startswith("NEXUS__")]:
    del os.environ[_name]
# Child processes of tests import the package that the tests import, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder of public traces, which are not part of the repository."""
    folder = ROOT.parent / "shared" / "traces"
    if not folder.is_dir():
        pytest.skip("the public traces are not beside the repository")
    return folder
