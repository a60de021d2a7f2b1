"""An objective is one set of weights, resolved in one place."""

from __future__ import annotations

import pytest

from nexus_sched.core.objective import BALANCE_MS, BALANCE_SHARE, FIT_MS, weights_of
from nexus_sched.model.settings import BALANCE, CUSTOM, LATENCY, OBJECTIVES, THROUGHPUT, EngineSettings

CONFIGURED = {"wait_weight": 3.0, "balance_ms": 7.0, "fit_ms": 5.0, "near_tie_share": 0.2, "near_tie_ms": 4.0}


def test_latency_looks_at_waiting_and_running_alone():
    weights = weights_of(EngineSettings(objective=LATENCY, **CONFIGURED))
    assert (weights.wait_weight, weights.balance_ms, weights.fit_ms) == (3.0, 0.0, 0.0)


def test_throughput_lets_a_task_wait_for_a_worker_that_is_good_at_it_and_keeps_room():
    weights = weights_of(EngineSettings(objective=THROUGHPUT))
    assert weights.wait_weight < EngineSettings().wait_weight
    assert (weights.balance_ms, weights.fit_ms) == (0.0, FIT_MS)
    assert weights_of(EngineSettings(objective=THROUGHPUT, fit_ms=5.0)).fit_ms == 5.0


def test_balance_levels_utilisation():
    weights = weights_of(EngineSettings(objective=BALANCE))
    assert (weights.balance_ms, weights.near_tie_share, weights.fit_ms) == (BALANCE_MS, BALANCE_SHARE, 0.0)
    assert weights_of(EngineSettings(objective=BALANCE, balance_ms=7.0)).balance_ms == 7.0


def test_custom_takes_every_weight_as_it_is():
    weights = weights_of(EngineSettings(objective=CUSTOM, **CONFIGURED))
    assert {name: getattr(weights, name) for name in CONFIGURED} == CONFIGURED


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("share", "below"), [(0.0, 0), (0.5, 2**63), (1.0, 2**64), (7.0, 2**64), (-1.0, 0)])
def test_share_that_explores_is_a_share_under_every_objective(objective: str, share: float, below: int):
    weights = weights_of(EngineSettings(objective=objective, explore_share=share))
    assert weights.explore_below == below
    assert weights.explore_margin >= weights.near_tie_share
