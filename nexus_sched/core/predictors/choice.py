"""Which predictor a configuration names, and how one takes over from another.

Law: after a change of settings the live engine has a predictor made with them, exactly as an engine has that is
restored from a snapshot; otherwise the two would decide differently.
"""

from __future__ import annotations

from collections.abc import Mapping

from nexus_sched.core.predictors.base import Predictor, PredictorFactory
from nexus_sched.errors import InvalidInput
from nexus_sched.model.settings import EngineSettings


def make_predictor(predictors: Mapping[str, PredictorFactory], settings: EngineSettings) -> Predictor:
    """The predictor that `settings` name, untrained.

    Raises `InvalidInput` if there is none of that name, or if it calls itself otherwise: a snapshot finds it again
    by its name.
    """
    factory = predictors.get(settings.predictor)
    if factory is None:
        raise InvalidInput(f"no predictor is called {settings.predictor!r}: {', '.join(sorted(predictors))}")
    made = factory(settings)
    if made.name != settings.predictor:
        raise InvalidInput(f"predictor {settings.predictor!r} calls itself {made.name!r}; both names must be the same")
    return made


def successor(
    present: Predictor,
    former: EngineSettings,
    predictors: Mapping[str, PredictorFactory],
    settings: EngineSettings,
) -> Predictor:
    """A predictor made with `settings`, which knows what `present`, made with `former`, has learned.

    What was learned goes over only to a predictor of the same name. A snapshot may hold parameters as well;
    while nothing was learned there is none to take over, so that the new ones win.
    """
    made = make_predictor(predictors, settings)
    if present.name == made.name:
        learned = present.snapshot()
        if learned != make_predictor(predictors, former).snapshot():
            made.restore(learned)
    return made
