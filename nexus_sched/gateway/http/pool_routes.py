"""The pool over HTTP: where it stands, its mode, pauses and predictors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from litestar import Response, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from nexus_sched.control import pool
from nexus_sched.control.views import PoolChange
from nexus_sched.gateway.http.bodies import ModeRequest, PauseRequest, PredictorRequest
from nexus_sched.gateway.http.routing import (
    CHANGE,
    FIND,
    AnyRequest,
    DryRun,
    IfMatch,
    Why,
    actor_of,
    check_match,
    etag_of,
    problems,
)
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.http.views import ModeView, PredictorsView, Score, SpreadView, StatsView
from nexus_sched.model.command import (
    ChoosePredictor,
    PauseTasks,
    ResumeTasks,
    SetMode,
    ShadowPredictor,
)
from nexus_sched.model.frame import Frame

Type = Annotated[str, QueryParameter(max_length=200, description="A type of task.")]


class PoolRoutes:
    """`/v1/stats`, `/v1/mode`, `/v1/pauses`, `/v1/predictors`."""

    def __init__(self, services: Services) -> None:
        self._desk = services.desk
        self._picture = services.picture

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        change, find = problems(CHANGE), problems(FIND)
        return [
            get("/v1/stats", operation_id="stats", responses=find)(self.stats),
            get("/v1/mode", operation_id="mode", responses=find)(self.mode),
            put("/v1/mode", operation_id="setMode", responses=change)(self.set_mode),
            post("/v1/pauses", status_code=200, operation_id="pause", responses=change)(self.pause),
            delete("/v1/pauses", status_code=200, operation_id="unpause", responses=change)(self.unpause),
            get("/v1/predictors", operation_id="predictors", responses=find)(self.predictors),
            put("/v1/predictors/active", operation_id="promote", responses=change)(self.promote),
            put("/v1/predictors/shadow", operation_id="shadow", responses=change)(self.shadow),
        ]

    async def stats(self) -> StatsView:
        """Where the pool stands: what waits, what runs, how fast and how right decisions are."""
        frame = self._picture.frame or await self._picture.fresh()
        return StatsView(
            pool=frame.pool,
            owner=frame.owner,
            epoch=frame.epoch,
            seq=frame.seq,
            at_ms=frame.at_ms,
            stale=self._picture.stale,
            mode=frame.mode,
            predictor=frame.predictor,
            breaker=frame.breaker,
            queued=frame.queued,
            in_flight=frame.in_flight,
            queued_predicted_ms=frame.queued_predicted_ms,
            drain_tasks_s=frame.drain_tasks_s,
            workers_live=frame.workers_live,
            workers_accepting=frame.workers_accepting,
            counters=frame.counters,
            decision_us=msgspec.convert(frame.decision_us, SpreadView, from_attributes=True),
            turn_us=msgspec.convert(frame.turn_us, SpreadView, from_attributes=True),
            predictions=frame.predictions,
            predictions_within_25=frame.predictions_within_25,
        )

    async def mode(self) -> Response[ModeView]:
        """How workers are picked, and what is paused."""
        view = _mode_of(await self._frame())
        return Response(view, headers={"ETag": etag_of(view)})

    async def set_mode(
        self, request: AnyRequest, data: JSONBody[ModeRequest], dry_run: DryRun = False, if_match: IfMatch = None
    ) -> PoolChange:
        """Choose how workers are picked, until it is chosen or configured again."""
        command = SetMode(data.mode, data.reason, actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match, _mode_of)

    async def pause(
        self, request: AnyRequest, data: JSONBody[PauseRequest], dry_run: DryRun = False, if_match: IfMatch = None
    ) -> PoolChange:
        """Hand out no more tasks, of a type or at all; what runs, runs on. Its ETag is that of `/v1/mode`."""
        command = PauseTasks(data.reason, data.type or "", actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match, _mode_of)

    async def unpause(
        self,
        request: AnyRequest,
        reason: Why,
        type: Type = "",
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> PoolChange:
        """Hand tasks out again. Its ETag is that of `/v1/mode`."""
        command = ResumeTasks(reason, type, actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match, _mode_of)

    async def predictors(self) -> Response[PredictorsView]:
        """Who predicts, who learns in the shadow, and how right each was."""
        frame = await self._frame()
        view = PredictorsView(
            predictor=frame.predictor,
            shadow=frame.shadow,
            breaker=frame.breaker,
            scores={name: Score(predictions=seen, within_25=hit) for name, (seen, hit) in frame.scores.items()},
        )
        return Response(view, headers={"ETag": etag_of(_chosen(frame))})

    async def promote(
        self, request: AnyRequest, data: JSONBody[PredictorRequest], dry_run: DryRun = False, if_match: IfMatch = None
    ) -> PoolChange:
        """Let a predictor speak; the former one goes into the shadow."""
        command = ChoosePredictor(data.name, data.reason, actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match, _chosen)

    async def shadow(
        self, request: AnyRequest, data: JSONBody[PredictorRequest], dry_run: DryRun = False, if_match: IfMatch = None
    ) -> PoolChange:
        """Let a predictor learn and be scored beside the active one."""
        command = ShadowPredictor(data.name, data.reason, actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match, _chosen)

    async def _frame(self) -> Frame:
        return await self._picture.fresh()

    async def _decide(
        self,
        request: AnyRequest,
        command: pool.PoolDecision,
        dry_run: bool,
        if_match: str | None,
        tagged: Callable[[Frame], object],
    ) -> PoolChange:
        if if_match is not None:
            check_match(if_match, tagged(await self._frame()))
        return await pool.decide(self._desk, actor_of(request), command, dry_run=dry_run)


def _mode_of(frame: Frame) -> ModeView:
    return ModeView(mode=frame.mode, paused=frame.paused)


def _chosen(frame: Frame) -> object:
    """What of predictors people decide about; how right they are changes by itself."""
    return frame.predictor, frame.shadow
