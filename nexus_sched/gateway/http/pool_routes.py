"""The pool over HTTP: where it stands, its mode, pauses, overrides and predictors."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from litestar import Response, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from nexus_sched.control import pool
from nexus_sched.control.views import OverrideChange, PoolChange
from nexus_sched.errors import InvalidInput
from nexus_sched.gateway.http.bodies import ModeRequest, OverrideRequest, PauseRequest, PredictorRequest
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
from nexus_sched.gateway.http.views import ModeView, OverridesView, PredictorsView, Score, SpreadView, StatsView
from nexus_sched.model.choices import span_ms
from nexus_sched.model.command import (
    ChoosePredictor,
    PauseTasks,
    PinEstimate,
    ResumeTasks,
    SetMode,
    ShadowPredictor,
)
from nexus_sched.model.frame import Frame
from nexus_sched.units import NS_PER_MS, parse_duration_ms

Type = Annotated[str, QueryParameter(max_length=200, description="A type of task.")]


class PoolRoutes:
    """`/v1/stats`, `/v1/mode`, `/v1/pauses`, `/v1/overrides`, `/v1/predictors`."""

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
            get("/v1/overrides", operation_id="overrides", responses=find)(self.overrides),
            post("/v1/overrides", status_code=200, operation_id="override", responses=change)(self.override),
            delete("/v1/overrides", status_code=200, operation_id="endOverride", responses=change)(self.end_override),
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
        if if_match is not None:
            check_match(if_match, _mode_of(await self._frame()))
        return await self._decide(request, SetMode(data.mode), data.reason, dry_run)

    async def pause(self, request: AnyRequest, data: JSONBody[PauseRequest], dry_run: DryRun = False) -> PoolChange:
        """Hand out no more tasks, of a type or at all; what runs, runs on."""
        command = PauseTasks(data.reason, data.type or "", actor_of(request).name)
        return await self._decide(request, command, data.reason, dry_run)

    async def unpause(self, request: AnyRequest, reason: Why, type: Type = "", dry_run: DryRun = False) -> PoolChange:
        """Hand tasks out again."""
        command = ResumeTasks(reason, type, actor_of(request).name)
        return await self._decide(request, command, reason, dry_run)

    async def overrides(self) -> OverridesView:
        """Estimates that people pinned and that are in force."""
        frame = await self._frame()
        rows = pool.overrides_of(frame, time.time_ns() // NS_PER_MS)
        return OverridesView(overrides=rows, stale=self._picture.stale)

    async def override(
        self, request: AnyRequest, data: JSONBody[OverrideRequest], dry_run: DryRun = False
    ) -> OverrideChange:
        """Let your estimate for a type win over the predictor's until it expires."""
        if (data.estimate is None) == (data.factor is None):
            raise InvalidInput("give either an estimate or a factor")
        actor = actor_of(request)
        value_ms = None if data.estimate is None else span_ms(data.estimate)
        for_ms = parse_duration_ms(data.for_)
        command = PinEstimate(data.type, for_ms, data.reason, actor.name, value_ms, data.factor or 1.0)
        return await pool.pin(self._desk, actor, command, dry_run=dry_run)

    async def end_override(
        self, request: AnyRequest, type: Type, reason: Why, dry_run: DryRun = False
    ) -> OverrideChange:
        """End an override before its time; the predictor speaks again."""
        return await pool.unpin(self._desk, actor_of(request), type, reason, dry_run=dry_run)

    async def predictors(self) -> PredictorsView:
        """Who predicts, who learns in the shadow, and how right each was."""
        frame = await self._frame()
        return PredictorsView(
            predictor=frame.predictor,
            shadow=frame.shadow,
            breaker=frame.breaker,
            scores={name: Score(predictions=seen, within_25=hit) for name, (seen, hit) in frame.scores.items()},
        )

    async def promote(
        self, request: AnyRequest, data: JSONBody[PredictorRequest], dry_run: DryRun = False
    ) -> PoolChange:
        """Let a predictor speak; the former one goes into the shadow."""
        return await self._decide(request, ChoosePredictor(data.name), data.reason, dry_run)

    async def shadow(
        self, request: AnyRequest, data: JSONBody[PredictorRequest], dry_run: DryRun = False
    ) -> PoolChange:
        """Let a predictor learn and be scored beside the active one."""
        return await self._decide(request, ShadowPredictor(data.name), data.reason, dry_run)

    async def _frame(self) -> Frame:
        return await self._picture.fresh()

    async def _decide(self, request: AnyRequest, command: pool.PoolDecision, reason: str, dry_run: bool) -> PoolChange:
        return await pool.decide(self._desk, actor_of(request), command, reason, dry_run=dry_run)


def _mode_of(frame: Frame) -> ModeView:
    return ModeView(mode=frame.mode, paused=frame.paused)
