"""The life of a predictor: chosen, tried in the shadow, promoted, rolled back, configured, restored."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import Predictor
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.errors import InvalidInput
from nexus_sched.model.effects import Noticed
from nexus_sched.model.events import EpochBegan, EstimatePinned, PredictorChosen
from nexus_sched.model.settings import EngineSettings
from nexus_sched.testing.builders import Bench, ToldPredictor, finished, joined, prediction, raising, submitted, task

EMA = EngineSettings(predictor="ema")


def broken(settings: EngineSettings) -> Predictor:
    raise ImportError(f"a library is missing for {settings.predictor}")


def misnamed(settings: EngineSettings) -> Predictor:
    return EmaPredictor(settings)


def told(settings: EngineSettings) -> Predictor:
    return ToldPredictor(lambda _: prediction(settings.breaker_cooldown_ms / 100))


PREDICTORS = {
    "ema": EmaPredictor,
    "learned": LearnedPredictor,
    "told": told,
    "broken": broken,
    "misnamed": misnamed,
}


class Life(Bench):
    """One worker, one type of task, several predictors."""

    def __init__(self, settings: EngineSettings = EMA) -> None:
        self.engine = Engine(PREDICTORS, settings)
        self.forecasts = self.engine.forecasts
        self.now_ms = 0
        self._count = 0
        self.turn(joined("w1"))

    def run(self, times: int, run_ms: float = 40.0) -> None:
        for _ in range(times):
            self._count += 1
            self.turn(submitted(f"r{self._count}"), after_ms=1)
            self.turn(finished(f"r{self._count}", run_ms=run_ms), after_ms=int(run_ms))

    def choose(self, name: str, *, shadow: bool = False):
        return self.turn(PredictorChosen(name, shadow))

    @property
    def rungs(self) -> tuple[str, str, str]:
        """Names of the active one, the one in the shadow, the baseline."""
        found = (self.forecasts.active, self.forecasts.shadow, self.forecasts.baseline)
        return tuple("" if each is None else each.name for each in found)


# -- choosing


def test_candidate_is_promoted_with_what_it_learned_and_rolled_back_with_nothing_forgotten():
    life = Life()
    assert life.choose("learned", shadow=True) == []
    assert life.rungs == ("ema", "learned", "")
    life.run(20)
    ema, learned = life.forecasts.active, life.forecasts.shadow
    assert learned.predict(task()).samples == 20
    life.choose("learned")
    assert life.forecasts.active is learned
    assert life.forecasts.baseline is ema, "the former one goes on learning, behind the active one"
    life.run(5)
    life.choose("ema")
    assert (life.forecasts.active, life.forecasts.shadow, life.forecasts.baseline) == (ema, learned, None)
    assert ema.predict(task()).samples == learned.predict(task()).samples == 25


def test_predictor_behind_the_active_one_takes_its_place_in_the_shadow():
    life = Life(EngineSettings(predictor="learned"))
    life.run(3)
    learned = life.forecasts.active
    life.choose("told")
    assert life.rungs == ("told", "learned", "ema")
    assert life.forecasts.shadow is learned
    life.choose("learned")
    assert life.rungs == ("learned", "told", "ema")
    assert life.forecasts.active is learned


def test_swap_of_the_baseline_leaves_the_candidate_where_it_is():
    life = Life()
    life.choose("told", shadow=True)
    candidate = life.forecasts.shadow
    life.choose("learned")
    assert life.rungs == ("learned", "told", "ema")
    assert life.forecasts.shadow is candidate


def test_baseline_in_the_shadow_begins_with_what_it_knows():
    life = Life(EngineSettings(predictor="learned"))
    life.run(10)
    life.choose("ema", shadow=True)
    assert life.rungs == ("learned", "ema", "ema")
    life.run(10)
    assert life.forecasts.shadow.digest() == life.forecasts.baseline.digest()
    assert life.forecasts.shadow.predict(task()).samples == 20
    life.choose("ema")
    assert life.rungs == ("ema", "learned", "")


def test_choosing_what_is_there_changes_nothing_and_an_empty_name_ends_the_shadow():
    life = Life()
    life.choose("learned", shadow=True)
    life.run(3)
    before = life.engine.digest(), life.forecasts.shadow
    assert life.choose("ema") == life.choose("learned", shadow=True) == []
    assert life.forecasts.shadow is before[1]
    assert life.choose("", shadow=True) == []
    assert life.rungs == ("ema", "", "")


@pytest.mark.parametrize("shadow", [False, True], ids=["to speak", "into the shadow"])
@pytest.mark.parametrize("name", ["unknown", "broken", "misnamed"])
def test_predictor_that_cannot_be_had_is_refused_and_nothing_changes(name: str, shadow: bool):
    life, plain = Life(), Life()
    for each in (life, plain):
        each.choose("learned", shadow=True)
        each.run(5)
    (notice,) = life.choose(name, shadow=shadow)
    plain.turn()
    assert isinstance(notice, Noticed)
    assert notice.kind == "refused"
    assert name in notice.detail
    assert life.engine.digest() == plain.engine.digest()
    assert life.rungs == ("ema", "learned", "")


def test_active_predictor_cannot_be_its_own_shadow():
    life = Life()
    (notice,) = life.choose("ema", shadow=True)
    assert notice.kind == "refused"


def test_choice_of_another_one_closes_the_breaker():
    life = Life(EngineSettings(predictor="told"))
    life.forecasts.active.answer = raising
    life.run(3)
    assert life.forecasts.breaker.opened_at_ms is not None
    life.choose("learned")
    assert life.forecasts.breaker.opened_at_ms is None


# -- configuration


def test_configuration_of_another_predictor_swaps_and_comes_back_with_nothing_forgotten():
    life = Life(EngineSettings(predictor="learned"))
    life.run(10)
    life.turn(EpochBegan(2, "leader", EMA))
    assert life.rungs == ("ema", "learned", "")
    assert life.forecasts.active.predict(task()).samples == 10
    life.turn(EpochBegan(3, "leader", EngineSettings(predictor="learned")))
    assert life.forecasts.active.predict(task()).samples == 10


def test_new_shard_has_nothing_in_the_shadow_that_was_not_asked_for():
    engine = Engine(PREDICTORS)  # as recovery makes one, before the first turn says how it is configured
    engine.handle([EpochBegan(1, "leader", EMA)], 0)
    assert (engine.forecasts.active.name, engine.forecasts.shadow) == ("ema", None)


def test_shadow_by_configuration_is_there_from_the_start_and_goes_with_it():
    settings = EngineSettings(predictor="learned", shadow_predictor="told")
    life = Life(settings)
    assert life.rungs == ("learned", "told", "ema")
    life.turn(EpochBegan(2, "leader", EngineSettings(predictor="learned")))
    assert life.rungs == ("learned", "", "ema")


def test_configuration_of_an_unknown_predictor_says_what_is_wrong():
    life = Life()
    with pytest.raises(InvalidInput, match="no predictor is called 'unknown'"):
        life.turn(EpochBegan(2, "leader", EngineSettings(predictor="unknown")))
    with pytest.raises(InvalidInput, match="calls itself 'ema'"):
        Engine(PREDICTORS, EngineSettings(predictor="misnamed"))


@pytest.mark.parametrize("chosen", ["ema", "learned", "told"])
@pytest.mark.parametrize("shadow", ["", "ema", "learned", "told"])
def test_after_a_change_of_settings_all_predictors_are_as_a_restored_engine_has_them(chosen: str, shadow: str):
    life = Life()
    life.choose(shadow, shadow=True)
    life.choose(chosen)
    life.run(3)
    life.turn(EpochBegan(2, "leader", EngineSettings(predictor="ema", min_samples=9, breaker_cooldown_ms=700)))
    restored = snapshot.restore(snapshot.take(life.engine), PREDICTORS)
    for ours, theirs in zip(life.forecasts.predictors(), restored.forecasts.predictors(), strict=True):
        assert ours.name == theirs.name
        assert ours.predict(task()) == theirs.predict(task())


# -- snapshots


def stories():
    names = ("ema", "learned", "told")
    for first in names:
        for shadow in ("", *names):
            for second in names:
                for pinned in (False, True):
                    yield pytest.param(first, shadow, second, pinned, id=f"{first}-{shadow}-{second}-{pinned}")


@pytest.mark.parametrize(("first", "shadow", "second", "pinned"), list(stories()))
def test_restored_engine_goes_on_to_the_bit(first: str, shadow: str, second: str, pinned: bool):
    life = Life(EngineSettings(predictor=first, prefetch=3))
    life.choose(shadow, shadow=True)
    life.run(6)
    if pinned:
        life.turn(EstimatePinned("kind", None, 3.0, life.now_ms + 400, "slow disks", "ada"))
    life.choose(second)
    life.run(2)
    life.turn(*(submitted(f"open{number}") for number in range(5)), after_ms=5)
    blob = snapshot.take(life.engine)
    twin = Bench()
    twin.engine, twin.now_ms = snapshot.restore(blob, PREDICTORS), life.now_ms
    assert snapshot.take(twin.engine) == blob
    assert twin.engine.digest() == life.engine.digest()
    for number in range(5):
        after = [finished(f"open{number}", run_ms=90.0), submitted(f"more{number}")]
        assert life.turn(*after, after_ms=170) == twin.turn(*after, after_ms=170)
    assert life.choose(first) == twin.turn(PredictorChosen(first))
    assert twin.engine.digest() == life.engine.digest()
    assert snapshot.take(twin.engine) == snapshot.take(life.engine)


def test_digest_tells_apart_what_would_decide_differently():
    def digest(*events) -> int:
        life = Life()
        life.turn(*events)
        return life.engine.digest()

    stories = [
        digest(),
        digest(PredictorChosen("learned")),
        digest(PredictorChosen("learned", shadow=True)),
        digest(PredictorChosen("told", shadow=True)),
        *(
            digest(EstimatePinned("kind", value_ms, factor, until_ms, "", ""))
            for value_ms, factor, until_ms in ((None, 2.0, 9), (None, 3.0, 9), (None, 2.0, 8), (2.0, 2.0, 9))
        ),
    ]
    assert len(set(stories)) == len(stories)
    assert digest(PredictorChosen("learned")) == stories[1]


def test_snapshot_of_a_predictor_that_is_no_longer_installed_is_refused_by_name():
    life = Life()
    life.choose("told", shadow=True)
    installed = {name: factory for name, factory in PREDICTORS.items() if name != "told"}
    with pytest.raises(InvalidInput, match="no predictor is called 'told'"):
        snapshot.restore(snapshot.take(life.engine), installed)
