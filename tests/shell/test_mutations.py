"""The simulator finds mistakes: each that is planted breaks a law within a few dozen seeds."""

from __future__ import annotations

import pytest

from tests.shell.mutations import MUTATIONS, planted
from tests.shell.run import run

SEEDS_MAX = 120


@pytest.mark.parametrize("name", MUTATIONS)
def test_planted_mistake_is_found(name: str):
    with planted(name) as kind:
        assert any(run(seed, kind).broken for seed in range(SEEDS_MAX))
