"""Who predicts: the active predictor, the baseline behind it, a candidate in its shadow, and pinned estimates.

The ladder of prediction: a pinned estimate (people know better) -> the active predictor, while its breaker lets it
and it has data -> the baseline (`ema`, always learning) -> `None`, and the fallback places the task.
All predictors learn from every run; only one speaks. The one in the shadow is asked at every dispatch as well, and
scored beside the active one.

Swapping is an event: what learns already (the candidate in the shadow, or the baseline) is promoted as it is, and the
former one takes its place there, so that choosing it again rolls back without having forgotten anything. The baseline
never goes into the shadow: its place is behind the active one.

Predictors may be anybody's code, and none of it ends a leadership. What fails within a turn has its consequence in that
turn. What fails between turns (`snapshot`, for a checkpoint) raises `PredictorUnkept`, and the leader feeds the choice
that ends the failing one's part as an event, so that it is in the journal and every follower makes it at the same
place. The digest holds what decisions depend on: a candidate's name, but not what it has learned.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from msgspec import Struct, structs

from nexus_sched._kernel.digest import digest64
from nexus_sched._kernel.pace import DEAD_BAND
from nexus_sched.core.breaker import Breaker
from nexus_sched.core.predictors.base import CompletedRun, Predictor, PredictorFactory
from nexus_sched.core.predictors.choice import make_predictor, successor
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.core.predictors.usable import checked, scaled
from nexus_sched.core.records import Booking, WorkerRecord
from nexus_sched.core.roster import banded
from nexus_sched.errors import InvalidInput, PredictorUnkept
from nexus_sched.model.events import EstimatePinned
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import ROUND_ROBIN, EngineSettings
from nexus_sched.model.task import Task

BASELINE = "ema"
PINNED = "pinned"
OWN = (LearnedPredictor, EmaPredictor)  # bounded and of built-in types by construction: not checked every time
PINS_MAX = 256  # in force at once; whoever needs more needs another predictor, and a frame shows them all
TOLERANCE = 0.25  # a prediction is right if the run took at most this share more or less


class Score(Struct, array_like=True):
    """How often a predictor was right, over the runs it had predicted at dispatch."""

    predictions: int = 0
    within: int = 0


class ForecastState(Struct, array_like=True):
    """What a snapshot keeps. Predictors as `(name, blob)`; an empty name is none."""

    active: tuple[str, bytes]
    shadow: tuple[str, bytes]
    baseline: tuple[str, bytes]
    breaker: tuple[int, int | None, int]
    failures: int
    scoring_failed: bool
    pins: list[EstimatePinned]
    scores: dict[str, Score]


class Forecasts:
    """Asks the right predictor, and keeps a failing one from doing harm."""

    def __init__(self, predictors: Mapping[str, PredictorFactory], settings: EngineSettings) -> None:
        self._predictors = predictors
        self.settings = settings
        self.mode = settings.mode
        self.active = make_predictor(predictors, settings)
        self.shadow: Predictor | None = None
        self.baseline: Predictor | None = None
        self._set_baseline()
        self.breaker = Breaker(settings.fallback_threshold, settings.breaker_cooldown_ms)
        self.failures = 0  # of prediction or scoring, ever
        self.scoring_failed = False  # the last score did; until one succeeds, predictions do not close the breaker
        self.pins: dict[str, EstimatePinned] = {}
        self.scores: dict[str, Score] = {}
        self.choose_shadow(settings.shadow_predictor)

    # -- asking ------------------------------------------------------------------------------------

    def predict(self, task: Task, now_ms: int) -> TaskPrediction | None:
        """A finite prediction for no worker in particular, or `None`: no data, or switched off."""
        if self.mode == ROUND_ROBIN:
            return None
        prediction = self._ask(task, None, "", now_ms)
        pin = self.pins.get(task.type)
        return prediction if pin is None else self._pinned(pin, prediction, now_ms)

    def on_class(self, task: Task, worker_class: str, now_ms: int) -> TaskPrediction | None:
        """The same for any worker of a class, without people's pins."""
        return None if self.mode == ROUND_ROBIN else self._ask(task, None, worker_class, now_ms)

    def class_means(self, task: Task, classes: tuple[str, ...], means_ms: array[float], now_ms: int) -> bool:
        """Fill `means_ms` with the mean on each class, if the active predictor tells classes apart and has data."""
        active, breaker = self.active, self.breaker
        if (
            self.mode == ROUND_ROBIN
            or task.type in self.pins
            or not (breaker.opened_at_ms is None or breaker.allows(now_ms))
        ):
            return False
        if not hasattr(active, "predict_classes"):
            return False
        try:
            told: bool = active.predict_classes(task, classes, means_ms)
        except Exception:
            # A predictor may be anybody's code; whatever it raises, the task is placed all the same.
            self.failed(now_ms)
            return False
        if breaker.failures and told and not self.scoring_failed:
            breaker.succeeded()
        return told

    def refine(
        self, task: Task, worker: WorkerRecord, first: TaskPrediction | None, now_ms: int
    ) -> TaskPrediction | None:
        """The prediction for the worker that was chosen, with its own pace.

        `first` is what the choice was based on if that was one prediction for all workers. `None` if the predictor
        has failed meanwhile and nobody else has data.
        """
        if first is not None and first.basis == PINNED:
            return first
        active = self.active
        if first is None or (first.predictor == active.name and active.knows_workers):
            name = worker.name if active.knows_workers else None
            refined = self._ask(task, name, worker.worker_class, now_ms)
            if refined is not None and refined.predictor == active.name and active.knows_workers:
                pace = worker.pace
                return refined if -DEAD_BAND <= pace - 1.0 <= DEAD_BAND else scaled(refined, pace)
            first = refined or first  # the active one has just failed: the baseline knows no workers
        return None if first is None else scaled(first, worker.factor * banded(worker.pace))

    def ask_shadow(self, task: Task, worker: WorkerRecord) -> TaskPrediction | None:
        """What the candidate would say; its failures are its own."""
        if self.shadow is None:
            return None
        try:
            prediction = checked(self.shadow.predict(task, worker.name, worker.worker_class))
        except Exception:
            # Anybody's code, and nothing depends on it yet: a candidate that fails has no score.
            return None
        if prediction is None or self.shadow.knows_workers:
            return prediction
        return scaled(prediction, worker.factor)

    def _ask(self, task: Task, worker: str | None, worker_class: str, now_ms: int) -> TaskPrediction | None:
        active, breaker = self.active, self.breaker
        if breaker.opened_at_ms is None or breaker.allows(now_ms):
            try:
                prediction = active.predict(task, worker, worker_class)
                if type(active) not in OWN:
                    prediction = checked(prediction)
                if prediction is not None:
                    if breaker.failures and not self.scoring_failed:
                        breaker.succeeded()
                    if prediction.predictor == active.name:
                        return prediction
                    # under the name by which it was chosen: it is scored by that, and asked again
                    return structs.replace(prediction, predictor=active.name)
            except Exception:
                # A predictor may be anybody's code; whatever it raises, the task is placed all the same.
                self.failed(now_ms)
        return None if self.baseline is None else self.baseline.predict(task)

    def _pinned(self, pin: EstimatePinned, prediction: TaskPrediction | None, now_ms: int) -> TaskPrediction | None:
        if now_ms >= pin.until_ms:
            del self.pins[pin.task_type]
            return prediction
        if pin.value_ms is not None:
            value = pin.value_ms
            return TaskPrediction(value, value, value, value, 1.0, PINNED, 0, PINNED, 1, value, value)
        if prediction is None:
            return None
        return structs.replace(scaled(prediction, pin.factor), basis=PINNED, predictor=PINNED, version=1)

    # -- failing -----------------------------------------------------------------------------------

    def failed(self, now_ms: int) -> None:
        """Count a failure of prediction or scoring."""
        self.failures += 1
        self.breaker.failed(now_ms)

    def overran(self, name: str, now_ms: int) -> str | None:
        """The shell has measured `fallback_threshold` overruns in a row.

        That opens the breaker at once, if the active predictor is the slow one. A candidate costs time as well, and
        is not worth it: it leaves the shadow, and that is said. Whoever plays no part any more has been dealt with.
        """
        if name in ("", self.active.name):
            for _ in range(self.breaker.threshold):
                self.failed(now_ms)
        elif self.shadow is not None and name == self.shadow.name:
            self.shadow = None
            return f"overran: {name} takes longer than the budget of a prediction, and has left the shadow"
        return None

    # -- learning ----------------------------------------------------------------------------------

    def count(self, booking: Booking, prediction: TaskPrediction, run_ms: float) -> bool:
        """Count a run for whoever had predicted it; whether the prediction was right."""
        score = self.scores.get(prediction.predictor) or self._new_score(prediction.predictor)
        if booking.shadow:
            shadow = self.scores.get(booking.shadow) or self._new_score(booking.shadow)
            shadow.predictions += 1
            shadow.within += is_right(booking.shadow_p50_ms, run_ms)
        score.predictions += 1
        most_ms = TOLERANCE * run_ms  # as `is_right`, which would double the cost of this
        if -most_ms <= prediction.p50_ms - run_ms <= most_ms:
            score.within += 1
            return True
        return False

    def _new_score(self, name: str) -> Score:
        score = self.scores[name] = Score()
        return score

    def learn(
        self, task: Task, name: str, worker_class: str, run_ms: float, told: TaskPrediction | None, now_ms: int
    ) -> str | None:
        """Let all predictors take in a run on the worker of that name, for which `told` had been predicted.

        What people should hear of it is the answer.
        """
        active, baseline = self.active, self.baseline
        if type(active) is not LearnedPredictor or type(baseline) is not EmaPredictor or self.shadow is not None:
            return self._learn_all(CompletedRun(task, name, worker_class, run_ms, now_ms, told), now_ms)
        baseline.take(task.type, run_ms)  # what most pools have needs no record of the run
        return active.take(task, name, worker_class, run_ms, told)

    def _learn_all(self, run: CompletedRun, now_ms: int) -> str | None:
        notice = None
        try:
            if said := self.active.learn(run):
                notice = str(said)
        except Exception:
            # Anybody's code: a predictor that cannot learn is failing, the task has finished all the same.
            self.failed(now_ms)
        if self.baseline is not None:
            self.baseline.learn(run)
        if self.shadow is not None:
            try:
                self.shadow.learn(run)
            except Exception:
                # See `ask_shadow`: nothing depends on a candidate, and it may come back at the next run.
                self.scores.setdefault(self.shadow.name, Score())
        return notice

    def accuse(self, worker: str) -> list[str]:
        """A worker has reported what cannot be a time. What people should hear of it is the answer.

        Only the learned predictor keeps an account of that; where it plays no part, the worker's breaker does.
        """
        said = [each.accuse(worker) for each in self.predictors() if isinstance(each, LearnedPredictor)]
        return [notice for notice in said if notice is not None]

    # -- choosing ----------------------------------------------------------------------------------

    def choose(self, name: str) -> bool:
        """Let `name` speak from now on; the former active predictor learns on, see above. False if impossible."""
        if name == self.active.name:
            return True
        chosen = self._learning(name) or self._made(name)
        if chosen is None:
            return False
        former, self.active = self.active, chosen
        if former.name != BASELINE:
            self.shadow = former
        else:
            self.baseline = former
            self.shadow = None if self.shadow is chosen else self.shadow
        self.breaker.succeeded()
        self._set_baseline()
        return True

    def choose_shadow(self, name: str) -> bool:
        """Let `name` learn and be scored in the shadow; an empty name ends that. False if unknown."""
        if not name:
            self.shadow = None
            return True
        if self.shadow is not None and self.shadow.name == name:
            return True
        made = self._made(name)
        if made is None or name == self.active.name:
            return False
        try:
            learning = self._learning(name)
            if learning is not None:  # the baseline: scored beside itself, from what it knows
                made.restore(learning.snapshot())
        except Exception:
            # Anybody's code, under the baseline's name: it cannot be scored beside itself.
            return False
        self.shadow = made
        return True

    def _learning(self, name: str) -> Predictor | None:
        """What learns under this name without speaking."""
        return next((each for each in (self.shadow, self.baseline) if each is not None and each.name == name), None)

    def pin(self, event: EstimatePinned, now_ms: int) -> bool:
        """Let people's estimate for a type win until it expires. False if there are too many.

        Those that have expired without anybody asking for them go here.
        """
        self.pins = {name: pin for name, pin in self.pins.items() if pin.until_ms > now_ms}
        if len(self.pins) >= PINS_MAX and event.task_type not in self.pins:
            return False
        self.pins[event.task_type] = event
        return True

    def unpin(self, task_type: str) -> None:
        """End a pinned estimate."""
        self.pins.pop(task_type, None)

    def configure(self, settings: EngineSettings) -> list[str]:
        """Take over a configuration; what was learned and counted stays. What people should hear is the answer."""
        former, self.settings = self.settings, settings
        self.mode = settings.mode
        notices = self._renew(former)
        if settings.predictor != former.predictor:
            if not self.choose(settings.predictor):
                make_predictor(self._predictors, settings)  # says what is wrong
            if self._is_blank(self.shadow):
                self.shadow = None  # a new shard: there is nothing to go back to
        if settings.shadow_predictor != former.shadow_predictor:
            self.choose_shadow(settings.shadow_predictor)
        self._set_baseline()
        self.breaker.threshold = settings.fallback_threshold
        self.breaker.cooldown_ms = settings.breaker_cooldown_ms
        return notices

    def _renew(self, former: EngineSettings) -> list[str]:
        """All of them made with the settings of now; whoever cannot be plays no part any more, and that is said."""
        notices: list[str] = []
        self.baseline = None if self.baseline is None else self._renewed(self.baseline, former)
        try:
            self.active = self._renewed(self.active, former)
        except Exception as error:
            # Anybody's code: one that cannot live with the configuration gives way to the baseline.
            if self.baseline is None:
                raise
            notices.append(f"refused: {self.active.name} cannot take over the configuration: {type(error).__name__}")
            self.active, self.baseline = self.baseline, None
        try:
            self.shadow = None if self.shadow is None else self._renewed(self.shadow, former)
        except Exception as error:
            # The same, and nobody need take its place.
            notices.append(f"refused: {_name_of(self.shadow)} has left the shadow: {type(error).__name__}")
            self.shadow = None
        return notices

    def _renewed(self, predictor: Predictor, former: EngineSettings) -> Predictor:
        """The same as made with the settings of now: as an engine has it that is restored from a snapshot."""
        name = predictor.name
        before, now = (structs.replace(each, predictor=name) for each in (former, self.settings))
        return successor(predictor, before, self._predictors, now)

    def _is_blank(self, predictor: Predictor | None) -> bool:
        """Whether it remembers no more than one that has learned nothing."""
        if predictor is None:
            return False
        try:
            made = self._made(predictor.name)
            return made is not None and predictor.snapshot() == made.snapshot()
        except Exception:
            # Anybody's code: who knows what it has learned. The next checkpoint deals with it.
            return False

    def _made(self, name: str) -> Predictor | None:
        try:
            return make_predictor(self._predictors, structs.replace(self.settings, predictor=name))
        except Exception:
            # Anybody's code, perhaps not even importable: choosing it is refused, and what is there goes on.
            return None

    def _set_baseline(self) -> None:
        if self.active.name == BASELINE or BASELINE not in self._predictors:
            self.baseline = None
        elif self.baseline is None:
            self.baseline = self._made(BASELINE)

    # -- snapshots ---------------------------------------------------------------------------------

    def predictors(self) -> list[Predictor]:
        """All that learn, each once."""
        return [each for each in (self.active, self.shadow, self.baseline) if each is not None]

    def snapshot(self) -> ForecastState:
        """Everything, in values. Raises `PredictorUnkept` if one of the predictors cannot be written down."""
        return ForecastState(
            _kept(self.active),
            _kept(self.shadow, shadow=True),
            _kept(self.baseline),
            self.breaker.snapshot(),
            self.failures,
            self.scoring_failed,
            list(self.pins.values()),
            self.scores,
        )

    def restore(self, state: ForecastState) -> None:
        """The opposite of `snapshot`. Raises `InvalidInput` for a predictor that is no longer installed.

        A candidate that cannot read what it has written begins anew: nothing depends on it. Anybody else's refusal is
        raised, and another snapshot is tried: the turns that followed were decided by what it had learned.
        """
        self.active = self._restored(state.active) or self.active
        try:
            self.shadow = self._restored(state.shadow)
        except InvalidInput:
            raise
        except Exception:
            # Anybody's code; see above.
            self.shadow = self._made(state.shadow[0])
        self.baseline = self._restored(state.baseline)
        self.breaker.restore(state.breaker)
        self.failures, self.scoring_failed = state.failures, state.scoring_failed
        self.pins = {pin.task_type: pin for pin in state.pins}
        self.scores = state.scores

    def _restored(self, kept: tuple[str, bytes]) -> Predictor | None:
        name, blob = kept
        if not name:
            return None
        predictor = make_predictor(self._predictors, structs.replace(self.settings, predictor=name))
        predictor.restore(blob)
        return predictor

    def digest(self) -> int:
        """Of everything that decisions depend on: not of what a candidate has learned."""
        total = 0
        for predictor in (self.active, self.baseline):
            if predictor is not None:
                total = (total * 3 + _digest_of(predictor)) % 2**64
        return total


def is_right(p50_ms: float, run_ms: float) -> bool:
    """Whether a run took at most `TOLERANCE` of itself more or less than was predicted."""
    return abs(p50_ms - run_ms) <= TOLERANCE * run_ms


def _name_of(predictor: Predictor | None) -> str:
    return "" if predictor is None else predictor.name


def _digest_of(predictor: Predictor) -> int:
    try:
        return int(predictor.digest()) % 2**64
    except Exception:
        # Anybody's code: it fails for followers as well. The next checkpoint deals with one that cannot be kept either.
        return digest64(predictor.name.encode())


def _kept(predictor: Predictor | None, *, shadow: bool = False) -> tuple[str, bytes]:
    if predictor is None:
        return "", b""
    try:
        blob = predictor.snapshot()
        if type(blob) is not bytes:
            raise TypeError(f"{type(blob).__name__} instead of bytes")
        return predictor.name, blob
    except Exception as error:
        # Anybody's code: it ends its own part, not the leadership. See the law above.
        raise PredictorUnkept(predictor.name, shadow, f"{type(error).__name__}: {error}"[:300]) from error
