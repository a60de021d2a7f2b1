"""One small model for all tests of this folder."""

from __future__ import annotations

import pytest

from nexus_sched.plugins.training import train
from tests.unit.plugins.material import runs


@pytest.fixture(scope="session")
def model() -> bytes:
    pytest.importorskip("lightgbm", reason="the extra `ml` is not installed")
    return train(runs(2_000), trained_at="2026-11-21T00:00:00+00:00", source="material")
