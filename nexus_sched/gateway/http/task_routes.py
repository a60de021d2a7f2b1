"""Tasks over HTTP: submit, follow, decide."""

from __future__ import annotations

import asyncio
from typing import Annotated

from litestar import Response, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from nexus_sched.control import tasks
from nexus_sched.control.views import TaskChange
from nexus_sched.gateway.http.bodies import (
    BatchRequest,
    Because,
    BoostRequest,
    ReassignRequest,
    TaskRequest,
    submission_of,
)
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
    principal_of,
    problems,
)
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.http.views import BatchAnswer, BatchItem, EtaView, Submitted, TaskView
from nexus_sched.gateway.sending import HEADER, headers_of
from nexus_sched.gateway.submitting import id_of
from nexus_sched.model.command import BoostTask, ReassignTask, RetryTask
from nexus_sched.model.explanation import Explanation
from nexus_sched.model.ids import check_task_id, check_worker_id
from nexus_sched.model.outcome import Acceptance

Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="Your name for this request: repeated with it, it has been carried out once.",
    ),
]
Trace = Annotated[
    str | None,
    HeaderParameter(name=HEADER, description="W3C trace context of the caller; its trace goes on with the task."),
]
TRACED = [
    ResponseHeader(
        name=HEADER,
        value="",
        description="W3C trace context that the tasks carry, if the caller's is sampled.",
        documentation_only=True,
    )
]
STATUSES = {Acceptance.ACCEPTED: "accepted", Acceptance.DUPLICATE: "duplicate", Acceptance.BUSY: "busy"}


class TaskRoutes:
    """`/v1/tasks` and `/v1/eta`."""

    def __init__(self, services: Services) -> None:
        self._client = services.pool.client
        self._desk = services.desk
        self._submitting = services.submitting
        self._sending = services.sending

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        change, find = problems(CHANGE), problems(FIND)
        one = "/v1/tasks/{task_id:str}"
        return [
            post("/v1/tasks", status_code=202, operation_id="submit", responses=change, response_headers=TRACED)(
                self.submit
            ),
            post(
                "/v1/tasks:batch",
                status_code=202,
                operation_id="submitBatch",
                responses=change,
                response_headers=TRACED,
            )(self.submit_batch),
            get(one, operation_id="task", responses=find)(self.task),
            delete(one, status_code=200, operation_id="cancel", responses=change)(self.cancel),
            get(f"{one}/explain", operation_id="explain", responses=find)(self.explain),
            post(f"{one}/boost", status_code=200, operation_id="boost", responses=change)(self.boost),
            post(f"{one}/reassign", status_code=200, operation_id="reassign", responses=change)(self.reassign),
            post(f"{one}/retry", status_code=200, operation_id="retry", responses=change)(self.retry),
            get("/v1/eta", operation_id="eta", responses=find)(self.eta),
        ]

    async def submit(
        self,
        request: AnyRequest,
        data: JSONBody[TaskRequest],
        idempotency_key: Key = None,
        traceparent: Trace = None,
    ) -> Response[Submitted]:
        """Submit a task; the answer says when it will start and finish.

        With an `Idempotency-Key` or a `task_id` the request may be repeated, to any gateway: the task runs once.
        """
        named = None if idempotency_key is None else id_of(principal_of(request).name, idempotency_key)
        said = data.traceparent or traceparent
        with self._sending.sending(said, data.type) as carried:
            one = submission_of(data, named, carried or data.traceparent, eta=data.eta)
            acceptance, eta = await self._submitting.submit(one, eta=data.eta)
        submitted = Submitted(task_id=one.id, duplicate=acceptance is Acceptance.DUPLICATE, eta=eta)
        return Response(submitted, headers=headers_of(carried))

    async def submit_batch(
        self,
        request: AnyRequest,
        data: JSONBody[BatchRequest],
        idempotency_key: Key = None,
        traceparent: Trace = None,
    ) -> Response[BatchAnswer]:
        """Submit many tasks. Tasks that found the queue full are named as `busy`; all others are in the queue."""
        name = principal_of(request).name
        with self._sending.sending(traceparent, "batch", len(data.tasks)) as carried:
            sent = [
                submission_of(
                    each,
                    None if idempotency_key is None or each.task_id else id_of(name, idempotency_key, index),
                    each.traceparent or carried,
                    eta=False,
                )
                for index, each in enumerate(data.tasks)
            ]
            taken = await asyncio.gather(*(self._submitting.take(one) for one in sent))
        counts = [taken_one.acceptance for taken_one in taken]
        busy = counts.count(Acceptance.BUSY)
        answer = BatchAnswer(
            accepted=counts.count(Acceptance.ACCEPTED),
            duplicates=counts.count(Acceptance.DUPLICATE),
            busy=busy,
            retry_after_ms=max(each.retry_after_ms for each in taken) if busy else None,
            tasks=[
                BatchItem(task_id=one.id, status=STATUSES[acceptance])
                for one, acceptance in zip(sent, counts, strict=True)
            ],
        )
        return Response(answer, headers=headers_of(carried))

    async def task(self, task_id: FromPath[str]) -> Response[TaskView]:
        """Where a task stands, and the last estimate that was told of it."""
        state = await tasks.state(self._desk, task_id)
        eta = await self._client.last_eta(task_id)
        view = TaskView(task_id=task_id, state=state.state, attempt=state.attempt, worker=state.worker, eta=eta)
        return Response(view, headers={"ETag": etag_of(state)})

    async def cancel(
        self,
        request: AnyRequest,
        task_id: FromPath[str],
        reason: Why,
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> TaskChange:
        """Take a waiting task out of the queue, or tell a running one to stop."""
        await self._check(task_id, if_match)
        return await tasks.cancel(self._desk, actor_of(request), task_id, reason, dry_run=dry_run)

    async def explain(
        self,
        task_id: FromPath[str],
        why_not: Annotated[str, QueryParameter(max_length=128, description="A worker.")] = "",
    ) -> Explanation:
        """Why a task waits, or why it went where it went; with `why_not`, why not to that worker."""
        if why_not:
            check_worker_id(why_not)
        return await self._client.explain(check_task_id(task_id), why_not)

    async def boost(
        self,
        request: AnyRequest,
        task_id: FromPath[str],
        data: JSONBody[BoostRequest],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> TaskChange:
        """Give a waiting task another priority."""
        actor = actor_of(request)
        command = BoostTask(check_task_id(task_id), data.priority, data.reason, actor.name)
        await self._check(task_id, if_match)
        return await tasks.boost(self._desk, actor, command, dry_run=dry_run)

    async def reassign(
        self,
        request: AnyRequest,
        task_id: FromPath[str],
        data: JSONBody[ReassignRequest],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> TaskChange:
        """Let a task that has not begun run on another worker."""
        actor = actor_of(request)
        command = ReassignTask(check_task_id(task_id), data.reason, data.to or "", actor.name)
        await self._check(task_id, if_match)
        return await tasks.reassign(self._desk, actor, command, dry_run=dry_run)

    async def retry(
        self,
        request: AnyRequest,
        task_id: FromPath[str],
        data: JSONBody[Because],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> TaskChange:
        """Send a dead task again, or end the pause before the retry of one that failed."""
        actor = actor_of(request)
        command = RetryTask(check_task_id(task_id), data.reason, actor.name)
        await self._check(task_id, if_match)
        return await tasks.retry(self._desk, actor, command, dry_run=dry_run)

    async def _check(self, task_id: str, if_match: str | None) -> None:
        if if_match is not None:
            check_match(if_match, await tasks.state(self._desk, check_task_id(task_id)))

    async def eta(self, task_id: Annotated[str, QueryParameter(max_length=128)]) -> EtaView:
        """When a task will start and finish, as of now."""
        return EtaView(task_id=task_id, eta=await self._client.eta(check_task_id(task_id)))
