"""The configuration changes under a running engine: it counts at once, and what people chose stays."""

from __future__ import annotations

from nexus_sched.model.events import EpochBegan, ModeChanged, SettingsChanged
from nexus_sched.model.settings import PREDICTIVE, ROUND_ROBIN, SHADOW, EngineSettings, Limit
from nexus_sched.testing.builders import Bench, joined, submitted, task


def tasks(*names: str):
    return [submitted(task(name, hint_ms=100.0)) for name in names]


def test_prefetch_counts_at_once():
    bench = Bench(EngineSettings(prefetch=0))
    assert len(bench.dispatched(joined("w1", slots=1), *tasks("a", "b", "c"))) == 1
    assert len(bench.dispatched(SettingsChanged(EngineSettings(prefetch=1, prefetch_reach=1e6), "ops"))) == 1


def test_limit_holds_for_what_comes_after_it_and_is_lifted_again():
    bench = Bench()
    bench.turn(joined("w1", slots=8))
    limited = EngineSettings(limits=(Limit("type", "*", concurrency=1),))
    assert len(bench.dispatched(SettingsChanged(limited, "ops"), *tasks("a", "b", "c"))) == 1
    assert len(bench.dispatched(SettingsChanged(EngineSettings(), "ops"))) == 2


def test_mode_that_an_operator_chose_stays_until_another_is_configured():
    bench = Bench()
    bench.turn(ModeChanged(ROUND_ROBIN))
    bench.turn(SettingsChanged(EngineSettings(order_weight=0.5), "ops"))
    assert bench.engine.placement.mode == ROUND_ROBIN
    bench.turn(EpochBegan(2, "next", EngineSettings(order_weight=0.6)))
    assert bench.engine.placement.mode == ROUND_ROBIN
    bench.turn(SettingsChanged(EngineSettings(mode=SHADOW), "ops"))
    assert bench.engine.placement.mode == bench.engine.forecasts.mode == SHADOW
    bench.turn(SettingsChanged(EngineSettings(), "ops"))
    assert bench.engine.placement.mode == PREDICTIVE


def test_settings_that_did_not_change_change_nothing():
    digests = []
    for events in ([], [SettingsChanged(EngineSettings(), "ops")]):
        bench = Bench()
        bench.turn(joined("w1", slots=2), *tasks("a", "b", "c", "d"))
        assert bench.turn(*events) == []
        digests.append(bench.engine.digest())
    assert digests[0] == digests[1]
