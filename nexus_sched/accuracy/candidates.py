"""Predictors by name: those that ship with the package, entry points, and `module:factory`.

Laws of this file: nothing is imported before it is asked for; one that cannot be had is told by name with the cause.
Here `boosting` is the one that trains itself while the trace goes by, on the runs that have ended: the plug-in
of that name needs a model that was trained before, and there is none for a trace that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from nexus_sched.core.predictors.base import Predictor, PredictorFactory
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.errors import NexusError
from nexus_sched.model.settings import EngineSettings

GROUP = "nexus_sched.predictors"
BASELINE = "boosting"  # learned in batches; needs an extra of the package
BUILT_IN: dict[str, PredictorFactory] = {"learned": LearnedPredictor, "ema": EmaPredictor}
DEFAULT = ("learned", "ema")


class PredictorUnavailable(NexusError):
    """No predictor is known by this name, or it cannot be loaded."""

    code = "PREDICTOR_UNAVAILABLE"
    exit_code = 5


def known() -> list[str]:
    """All names that can be tried, without those of modules."""
    return sorted({*BUILT_IN, BASELINE, *(point.name for point in entry_points(group=GROUP))})


def make(name: str) -> Predictor:
    """An untrained predictor. Raises `PredictorUnavailable`."""
    factory = _factory(name)
    try:
        return factory(EngineSettings(predictor=name))
    except NexusError as error:
        raise PredictorUnavailable(f"predictor {name!r} cannot be made: {error}") from error
    except Exception as error:  # a plug-in may miss its own packages only now
        raise PredictorUnavailable(f"predictor {name!r} cannot be made: {error!r}") from error


def _factory(name: str) -> PredictorFactory:
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name == BASELINE:
        return _boosting
    load: Callable[[], object]
    if ":" in name:
        module, _, attribute = name.partition(":")

        def load() -> object:
            return getattr(import_module(module), attribute)
    else:
        points = {point.name: point for point in entry_points(group=GROUP)}
        if name not in points:
            raise PredictorUnavailable(f"no predictor is called {name!r}; known are {', '.join(known())}")
        load = points[name].load
    try:
        return cast(PredictorFactory, load())
    except Exception as error:  # whatever a plug-in does wrong, people must read which one it was
        raise PredictorUnavailable(f"predictor {name!r} cannot be loaded: {error!r}") from error


def _boosting(settings: EngineSettings) -> Predictor:
    from nexus_sched.plugins.model import lightgbm
    from nexus_sched.plugins.retrained import RetrainedPredictor

    lightgbm()  # raises now, and not only at the first training
    return RetrainedPredictor(settings)
