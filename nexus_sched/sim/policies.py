"""Policies by name: each makes the core that decides one simulation."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.fallback.least_outstanding import LeastOutstanding
from nexus_sched.fallback.round_robin import RoundRobin
from nexus_sched.model.settings import EngineSettings
from nexus_sched.sim.drive import Core
from nexus_sched.sim.early import EarlyBinding, PowerOfTwo
from nexus_sched.sim.oracle import EachItsOwnClass, OraclePredictor
from nexus_sched.sim.owners import Owners
from nexus_sched.sim.pull import SharedQueue
from nexus_sched.sim.workload import Workload

# Made for a workload, a seed and the settings of the engine.
CoreFactory = Callable[[Workload, int, EngineSettings], Core]

BASELINE = "least-outstanding"
ORACLE = "oracle"
PREDICTORS: dict[str, PredictorFactory] = {"learned": LearnedPredictor, "ema": EmaPredictor}


def _engine(predictor: str) -> CoreFactory:
    return lambda workload, _, settings: Engine(PREDICTORS, _for(workload, settings, predictor))


def _oracle(workload: Workload, seed: int, settings: EngineSettings) -> Core:  # noqa: ARG001 - a factory's
    predictor = OraclePredictor(workload, lambda: engine.now_ms)
    engine = Engine({ORACLE: lambda _: predictor}, _for(workload, settings, ORACLE))
    return EachItsOwnClass(engine)


def _for(workload: Workload, settings: EngineSettings, predictor: str) -> EngineSettings:
    """The settings with a predictor, and with the round trip that a service would have measured."""
    return structs.replace(settings, predictor=predictor, round_trip_ms=workload.rtt_ms)


POLICIES: dict[str, CoreFactory] = {
    "predictive": _engine("learned"),
    "ema": _engine("ema"),
    BASELINE: lambda *_: EarlyBinding(LeastOutstanding()),
    "pull": lambda *_: SharedQueue(),
    "p2c": lambda _, seed, __: EarlyBinding(PowerOfTwo(seed)),
    "round-robin": lambda *_: EarlyBinding(RoundRobin(early=True)),
    ORACLE: _oracle,
}


def make_core(name: str, workload: Workload, seed: int, settings: EngineSettings, owners: int = 1) -> Core:
    """The core of a policy, or of several owners of the pool that all follow it. Raises `KeyError`."""
    make = POLICIES[name]
    if owners == 1:
        return make(workload, seed, settings)
    return Owners([make(workload, seed, settings) for _ in range(owners)], workload.workers)
