"""What operators and the shell decide: the epoch and its configuration, the mode, who predicts, pinned estimates."""

from __future__ import annotations

from nexus_sched.core.state import EngineState
from nexus_sched.model.effects import Noticed
from nexus_sched.model.events import (
    EpochBegan,
    EstimatePinned,
    EstimateUnpinned,
    ModeChanged,
    PredictorChosen,
    PredictorOverran,
    ReloadRequested,
    SettingsChanged,
    StoreChanged,
)
from nexus_sched.model.settings import EngineSettings


class ControlEvents:
    """Handlers of configuration and manual control."""

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def epoch_began(self, event: EpochBegan) -> None:
        """A leader took over."""
        state = self._state
        state.epoch = event.epoch
        if state.seq == 1:
            state.born = f"{event.owner}@{state.now_ms}"
        self._configure(event.settings)

    def settings_changed(self, event: SettingsChanged) -> None:
        """The configuration was read again."""
        self._configure(event.settings)

    def reload_requested(self, event: ReloadRequested) -> None:
        """The shell reads; nothing changes before it says what it read."""

    def _configure(self, settings: EngineSettings) -> None:
        state = self._state
        former, state.settings = state.settings, settings
        if settings != former:
            # what an operator chose stays until somebody configures another mode
            mode = state.placement.mode if settings.mode == former.mode else settings.mode
            for notice in state.forecasts.configure(settings):
                state.notice("refused", notice)
            state.placement.configure(settings)
            state.placement.set_mode(mode)
            state.ejection.configure(settings.worker_breaker)
            state.backlog.configure(settings, state.tasks.values())
            self._grant_credit()

    def store_changed(self, event: StoreChanged) -> None:
        """The store holds another history; what follows from it comes as other events."""
        lost = event.from_seq - event.to_seq
        back = (
            f"it went back {lost} turns, from {event.from_seq} to {event.to_seq}" if lost > 0 else "no turn is missing"
        )
        self._state.notice("store", f"replication id {event.was or 'unknown'} is {event.now or 'unknown'} now; {back}")

    def mode_changed(self, event: ModeChanged) -> None:
        """Workers are picked in another way."""
        state = self._state
        state.placement.set_mode(event.mode)
        self._grant_credit()

    def _grant_credit(self) -> None:
        state = self._state
        for worker in state.roster.ring:
            state.roster.grant_credit(worker, state.settings, state.placement.mode)
            state.recall_excess(worker)

    def predictor_overran(self, event: PredictorOverran) -> None:
        """Predictions take too long."""
        state = self._state
        notice = state.forecasts.overran(event.predictor, state.now_ms)
        if notice is not None:
            state.effects.append(Noticed("overran", notice))

    def predictor_chosen(self, event: PredictorChosen) -> None:
        """Another one speaks, or learns in the shadow."""
        state = self._state
        forecasts = state.forecasts
        done = forecasts.choose_shadow(event.name) if event.shadow else forecasts.choose(event.name)
        if not done:
            state.notice("refused", f"refused: no predictor {event.name!r} can be chosen")

    def estimate_pinned(self, event: EstimatePinned) -> None:
        """People know better for a while."""
        state = self._state
        if not state.forecasts.pin(event, state.now_ms):
            state.effects.append(Noticed("refused", f"refused: no estimate can be pinned for {event.task_type!r}"))

    def estimate_unpinned(self, event: EstimateUnpinned) -> None:
        """They do not any more."""
        state = self._state
        state.forecasts.unpin(event.task_type)
