"""Which predictors there are: those of the package, those of entry points, trained models by their digest.

Law: a name that arrives from outside (a command, a journal) finds what is installed or was trained here, and never
makes this process import a module of the sender's choice. `module:factory` works for configured names only.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nexus_sched.config.suggest import hint
from nexus_sched.core.predictors.base import Predictor, PredictorFactory
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.errors import ConfigInvalid, NexusError
from nexus_sched.model.settings import EngineSettings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "nexus_sched.predictors"
BOOSTING = "boosting"
_MODEL = re.compile(r"^boosting-([0-9a-f]+)$")


def _boosting(settings: EngineSettings) -> Predictor:
    # imported where it is used, here and below: it needs numpy, 14 MB that a scheduler without it does not pay
    from nexus_sched.plugins.boosting import BoostingPredictor

    return BoostingPredictor(settings)


BUILT_IN: Mapping[str, PredictorFactory] = {
    "ema": EmaPredictor,
    "learned": LearnedPredictor,
    BOOSTING: _boosting,
}


class Catalogue(Mapping[str, PredictorFactory]):
    """Predictors by name, loaded when they are first asked for.

    `configured`: names that the operator wrote down; each of them is loaded at once, so that a mistake is heard at
    the start. `model`: the model file of `boosting`; what it needs is imported at once as well, because that takes a
    quarter of a second which nobody has later. Raises `ConfigInvalid`, `ExtraMissing` or `ModelUnreadable`.
    """

    def __init__(self, configured: Sequence[str] = (), model: Path | None = None) -> None:
        self._model = model
        self._loaded: dict[str, PredictorFactory] = {}
        if model is not None:
            from nexus_sched.plugins.model import lightgbm

            lightgbm()
        for name in map(self.resolve, configured):
            if name:
                self._loaded[name] = self._configured(name)

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        """Those of other packages; found when one is asked for, because that reads the metadata of all packages."""
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=GROUP)}

    def __getitem__(self, name: str) -> PredictorFactory:
        if name not in self._loaded:
            try:
                self._loaded[name] = self._load(name)
            except NexusError as error:
                raise KeyError(str(error)) from error
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*BUILT_IN, *self._plugins, *self._loaded]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def resolve(self, name: str) -> str:
        """The name that settings should carry: `boosting` becomes the model that is in the file now.

        A journal must not name a file whose content changes. Where there is no file yet, `boosting` collects runs.
        """
        if name == BOOSTING and self._model is not None and self._model.exists():
            from nexus_sched.plugins.model_file import read, unpack

            return unpack(read(self._model), str(self._model)).called
        return name

    def why_not(self, name: str) -> str:
        """Why a predictor cannot be used, in words; empty if it can."""
        try:
            self._load(name)
        except NexusError as error:
            return str(error)
        return ""

    def _configured(self, name: str) -> PredictorFactory:
        return partial(_named, _imported(name), name) if ":" in name else self._load(name)

    def _load(self, name: str) -> PredictorFactory:
        digest = _MODEL.match(name)
        if digest is not None:
            return self._trained(name, digest[1])
        if name in BUILT_IN:
            return BUILT_IN[name]
        if name not in self._plugins:
            raise ConfigInvalid([f"`predictor.name`: no predictor is called {name!r}{hint(name, self)}"])
        try:
            return partial(_named, cast("PredictorFactory", self._plugins[name].load()), name)
        except Exception as error:  # whatever a plug-in does wrong, the operator must read which one it was
            raise ConfigInvalid([f"`predictor.name`: {name!r} cannot be loaded: {error!r}"]) from error

    def _trained(self, name: str, digest: str) -> PredictorFactory:
        if self._model is None:
            raise ConfigInvalid([f"`predictor.model` is needed to find {name!r}: the file that training writes"])
        from nexus_sched.plugins.boosting import BoostingPredictor
        from nexus_sched.plugins.model_file import ModelUnreadable, kept_path, read, unpack

        kept = kept_path(self._model, digest)
        path = kept if kept.is_file() else self._model
        found = unpack(read(path), str(path)).called
        if found != name:
            raise ModelUnreadable(f"{path} holds {found}, not {name}; copy the model that was trained to {kept}")
        return BoostingPredictor.from_file(path, name=name)


def _named(factory: PredictorFactory, name: str, settings: EngineSettings) -> Predictor:
    """A predictor that calls itself as the catalogue does: by that name a snapshot finds it again."""
    predictor = factory(settings)
    if predictor.name != name:
        predictor.name = name
    return predictor


def _imported(place: str) -> PredictorFactory:
    """The factory at `module:name`. Raises `ConfigInvalid`."""
    module_name, _, attribute = place.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # like python -m: a plug-in in the working directory is found
    try:
        found: object = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a plug-in does wrong, the operator must read which one it was
        raise ConfigInvalid([f"`predictor.name`: {place!r} cannot be loaded: {error!r}"]) from error
    return cast("PredictorFactory", found)
