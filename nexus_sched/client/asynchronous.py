"""The client for asyncio programs.

Submissions carry their ids, so after a lost reply they are sent again until the store has decided; a
caller gets a handle only for what is in the queue. Whatever else may be repeated is repeated as well, for
as long. Ends are announced, and asked for at growing intervals besides, because an announcement can be
lost. Questions go to the scheduler as commands; their answers wait on a list of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from nexus_sched.client.announcements import Announcements
from nexus_sched.client.batch import RETRY_AFTER_MS, BatchInterrupted, BatchRefused, chunks
from nexus_sched.client.connect import connect, default_pool, default_url
from nexus_sched.client.endings import FINISHED, announced_value, is_open, state_of, value_of
from nexus_sched.client.estimate import Estimate, estimate_of
from nexus_sched.client.explain import explain
from nexus_sched.client.letters import check_reason, find_letters, pages
from nexus_sched.client.questions import ask as ask_store
from nexus_sched.client.submission import Submission, submission
from nexus_sched.client.tracing import sending
from nexus_sched.errors import (
    PASSING,
    AnswerMissing,
    QueueFull,
    ResultPending,
    StoreError,
    TaskUnknown,
)
from nexus_sched.model.answer import Answer
from nexus_sched.model.choices import span_ms
from nexus_sched.model.command import CancelTask, encode_command
from nexus_sched.model.eta import Eta, decode_eta
from nexus_sched.model.explanation import Explanation
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.ids import check_task_id
from nexus_sched.model.outcome import Acceptance
from nexus_sched.model.question import AskEta, Question
from nexus_sched.runtime.ports import (
    ESTIMATED,
    Answers,
    DeadLetter,
    Ended,
    Operation,
    Redrive,
    SubmitterStore,
    TaskRecord,
)
from nexus_sched.units import MS_PER_S

Value = TypeVar("Value")

PATIENCE_S_DEFAULT = 30.0
CHUNKS_IN_FLIGHT = 4
ETA_WAIT_S = 1.0  # a scheduler that leads answers within milliseconds
ANSWER_WAIT_S = 5.0
POLL_S_MIN = 0.1
POLL_S_MAX = 1.0
RETRY_S = 0.1  # the store's own dialling backs off; this only bounds an answer of "no" in a row


class AsyncTaskHandle:
    """One submitted task."""

    __slots__ = ("_client", "eta", "id")

    def __init__(self, client: AsyncClient, task_id: str, eta: Estimate | None = None) -> None:
        self._client = client
        self.id = task_id
        self.eta = eta  # as it was told at submission, with `eta=True`; `None` if nothing was told in time

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    async def result(self, timeout: str | float | None = None) -> Any:
        """Wait for the end; see `AsyncClient.result`."""
        return await self._client.result(self.id, timeout)

    async def state(self) -> str:
        """Where it stands; see `AsyncClient.state`."""
        return await self._client.state(self.id)

    async def ask_eta(self) -> Estimate | None:
        """When it will start and finish as of now; see `AsyncClient.eta`."""
        return await self._client.eta(self.id)

    async def cancel(self) -> None:
        """Ask for its end; see `AsyncClient.cancel`."""
        await self._client.cancel(self.id)


class AsyncClient:
    """Submits tasks to a pool and waits for their results. Connects when it is first used.

    Without `url` and `pool` those of the environment are used (`NEXUS__REDIS__URL`, `NEXUS__POOL__NAME`),
    else a server on this machine and the pool `default`; with `shard` one of its shards only. `patience_s` is
    how long a call goes on trying while the store cannot be reached. `store` replaces the one that the URL means.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        pool: str | None = None,
        shard: int | None = None,
        patience_s: float = PATIENCE_S_DEFAULT,
        store: SubmitterStore | None = None,
    ) -> None:
        self._store = connect(url or default_url(), pool or default_pool(), shard) if store is None else store
        self._patience_s = patience_s
        self._reply = secrets.token_hex(8)
        self._announcements = Announcements(self._store, self._reply)
        self._opening = asyncio.Lock()
        self._is_open = False

    async def open(self) -> Self:
        """Connect now. Raises the `StoreError` that prevents it."""
        async with self._opening:
            if not self._is_open:
                await self._store.open()
                self._is_open = True
        return self

    async def close(self) -> None:
        """Let go of all connections; submitted tasks go on. Never raises."""
        self._is_open = False
        await self._announcements.close()
        await self._store.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def submit(
        self, task_type: str, *args: object, eta: bool = False, eta_timeout: str | float = ETA_WAIT_S, **options: Any
    ) -> AsyncTaskHandle:
        """Submit one task; arguments and options are those of `submission`.

        With `eta` the handle's `eta` says when the task will start and finish. It is `None` if the scheduler said
        nothing within `eta_timeout`: the task is in the queue all the same, ask again with `handle.ask_eta()`.

        Raises `QueueFull` if a bound of the queue is reached (`retry_after_ms` is when there will be room, predicted),
        `InvalidInput` for bad values, and one of `errors.PASSING` after `patience_s`, such as `StoreUnreachable` or
        `StoreNotReplicated`, when it is not known whether the task is in the queue: submit it again with the
        same `task_id` to be sure.
        """
        if options.get("traceparent") is None:
            with sending(task_type) as traceparent:
                one = submission(task_type, *args, eta=eta, **{**options, "traceparent": traceparent})
                return await self._submit_one(one, span_ms(eta_timeout) if eta else None)
        one = submission(task_type, *args, eta=eta, **options)
        return await self._submit_one(one, span_ms(eta_timeout) if eta else None)

    async def _submit_one(self, one: Submission, wait_ms: float | None) -> AsyncTaskHandle:
        if wait_ms is not None:
            return await self._submit_and_hear(one, wait_ms)
        await self._send_one(one)
        return AsyncTaskHandle(self, one.id)

    async def _submit_and_hear(self, one: Submission, wait_ms: float) -> AsyncTaskHandle:
        await self.open()
        await self._announcements.listen()  # before the task is in the queue: the estimate follows at once
        with self._announcements.expect_estimate(one.id) as told:
            if await self._send_one(one) is Acceptance.ACCEPTED:
                await asyncio.wait([told], timeout=wait_ms / MS_PER_S)
            if told.done() and told.result().outcome == ESTIMATED:
                return AsyncTaskHandle(self, one.id, estimate_of(one.id, decode_eta(told.result().result or b"")))
        return AsyncTaskHandle(self, one.id, await self.last_eta(one.id))

    async def _send_one(self, one: Submission) -> Acceptance:
        answers = await self._send([one])
        if answers[0] is Acceptance.BUSY:
            raise QueueFull("the queue is full", answers.retry_after_ms or RETRY_AFTER_MS)
        return answers[0]

    async def send(self, submissions: Sequence[Submission]) -> Answers:
        """Submit up to `SUBMIT_TASKS_MAX` tasks in one call, and say what became of each.

        Raises `StoreUnreachable` after `patience_s`, when it is not known which of them are in the queue.
        """
        return await self._send(list(submissions))

    @contextlib.asynccontextmanager
    async def hearing(self, task_id: str) -> AsyncIterator[asyncio.Future[Ended]]:
        """A future of the next estimate of a task, or else of its end, while the context lasts: enter before `send`.

        The `result` of an estimate (outcome `ESTIMATED`) is an encoded `Eta`.
        """
        await self._announcements.listen()
        with self._announcements.expect_estimate(task_id) as told:
            yield told

    async def submit_many(self, submissions: Iterable[Submission]) -> list[AsyncTaskHandle]:
        """Submit many tasks, several calls in flight; handles come in the order of the submissions.

        Raises `BatchRefused` or `BatchInterrupted`, which say what became of each.
        """
        sent: list[tuple[list[Submission], Answers]] = []
        waiting = chunks(submissions)
        flying: deque[tuple[list[Submission], asyncio.Task[Answers]]] = deque()
        lost: StoreError | None = None
        uncertain: list[Submission] = []
        full = False
        while True:
            while len(flying) < CHUNKS_IN_FLIGHT and not full and lost is None and (chunk := next(waiting, None)):
                flying.append((chunk, asyncio.create_task(self._send(chunk))))
            if not flying:
                break
            chunk, sending = flying.popleft()
            try:
                answers = await sending
            except PASSING as error:
                lost = error
                uncertain += chunk
            except BaseException:
                for _, other in flying:
                    other.cancel()
                raise
            else:
                sent.append((chunk, answers))
                full = full or Acceptance.BUSY in answers
        return self._settle(sent, uncertain, [one for chunk in waiting for one in chunk], lost)

    def _settle(
        self,
        sent: Sequence[tuple[list[Submission], Answers]],
        uncertain: list[Submission],
        unsent: list[Submission],
        lost: StoreError | None,
    ) -> list[AsyncTaskHandle]:
        accepted: list[str] = []
        refused: list[Submission] = []
        for chunk, answers in sent:
            for one, answer in zip(chunk, answers, strict=True):
                if answer is Acceptance.BUSY:
                    refused.append(one)
                else:
                    accepted.append(one.id)
        if lost is not None:
            raise BatchInterrupted(accepted, [*uncertain, *refused, *unsent], lost)
        if refused or unsent:
            told = [answers.retry_after_ms for _, answers in sent if answers.retry_after_ms is not None]
            raise BatchRefused(accepted, [*refused, *unsent], max(told, default=None))
        return [AsyncTaskHandle(self, task_id) for task_id in accepted]

    async def result(self, task_id: str, timeout: str | float | None = None) -> Any:
        """Wait for the end of a task and return its result.

        Raises `TaskFailed` if it ended without one, `ResultPending` after `timeout` (`"30s"` or seconds),
        `TaskUnknown` if no such task is known any more.
        """
        await self.open()
        loop = asyncio.get_running_loop()
        give_up_at_s = None if timeout is None else loop.time() + span_ms(timeout) / 1e3
        pause_s = POLL_S_MIN
        with self._announcements.expect(check_task_id(task_id)) as announced:
            await self._announcements.listen()
            while True:
                record = await self._record(task_id)
                if not is_open(record):
                    kept = await self._kept(task_id) if record.state == FINISHED else None
                    if kept is None and record.state == FINISHED and await self._record(task_id) != record:
                        continue  # nothing is kept of an empty result, nor of one that is gone: the store went back
                    return value_of(task_id, record, kept)
                wait_s = pause_s if give_up_at_s is None else min(pause_s, give_up_at_s - loop.time())
                if wait_s <= 0.0:
                    raise ResultPending(f"task {task_id} has not ended yet, it is {state_of(record)}")
                await asyncio.wait([announced], timeout=wait_s)
                if announced.done():
                    return await announced_value(self._kept, announced.result())
                pause_s = min(2 * pause_s, POLL_S_MAX)

    async def state(self, task_id: str) -> str:
        """`queued`, `running`, or how it ended: `succeeded`, `failed`, `timed-out`, `cancelled`, `rejected`, `dead`.

        Raises `TaskUnknown` if no such task is known any more.
        """
        await self.open()
        return state_of(await self._record(check_task_id(task_id)))

    async def cancel(self, task_id: str) -> None:
        """Ask for the end of a task: a waiting one is taken out, a running one is told to stop.

        Returns when the request is in the queue. A task that ends by itself first has its own result.
        """
        await self.open()
        blob = encode_command(CancelTask(check_task_id(task_id)))
        await self._patiently(partial(self._store.command, blob))

    async def eta(self, task_id: str, timeout: str | float = ETA_WAIT_S) -> Estimate | None:
        """When a task will start and finish, as of now; any task may be asked for.

        The last estimate that was told, if the task has ended or no scheduler answers within `timeout`; `None`
        if there never was one. Raises `TaskUnknown` if no such task is known any more.
        """
        await self.open()
        if is_open(await self._record(check_task_id(task_id))):
            with contextlib.suppress(AnswerMissing):
                answer = await self.ask(AskEta(task_id), timeout)
                if eta := answer.get("eta"):
                    return estimate_of(task_id, Eta(**eta))
        return await self.last_eta(task_id)

    async def last_eta(self, task_id: str) -> Estimate | None:
        """The last estimate that was told of a task, without asking for a new one; `None` if there is none."""
        await self.open()
        blob = await self._patiently(partial(self._store.eta, task_id))
        return None if blob is None else estimate_of(task_id, decode_eta(blob))

    async def ask(self, question: Question, timeout: str | float = ANSWER_WAIT_S) -> dict[str, Any]:
        """Ask the scheduler what only it knows. Raises `AnswerMissing` if nothing came within `timeout`."""
        await self.open()
        asking = partial(ask_store, self._store, question, span_ms(timeout))
        answer: dict[str, Any] = msgspec.json.decode(await self._patiently(asking))
        return answer

    async def dead_letters(
        self, limit: int = 100, *, reason: str | None = None, task_type: str | None = None
    ) -> list[DeadLetter]:
        """Up to `limit` dead letters, oldest first: tasks that will not run again unless somebody wants them to."""
        await self.open()
        return await find_letters(self._store, limit, reason, task_type)

    async def redrive(self, letters: Iterable[DeadLetter], reason: str, actor: str = "") -> list[Redrive]:
        """Send dead tasks again, each exactly once; the answers come in the order of the letters.

        `reason` and `actor` are remembered with the shard. Repeated by itself after a lost reply, which changes
        nothing twice. Raises `InvalidInput` without a reason, `StoreUnreachable` after `patience_s`.
        """
        check_reason(reason)
        answers: list[Redrive] = []
        for keys in pages([letter.key for letter in letters]):
            answers += await self._patiently(partial(self._store.redrive, keys, reason, actor))
        return answers

    async def purge(self, letters: Iterable[DeadLetter], reason: str, actor: str = "") -> list[bool]:
        """Remove dead letters with their tasks and payloads, for good; `False` for what was gone already."""
        check_reason(reason)
        answers: list[bool] = []
        for keys in pages([letter.key for letter in letters]):
            answers += await self._patiently(partial(self._store.purge, keys, reason, actor))
        return answers

    async def explain(self, task_id: str, why_not: str = "", timeout: str | float = ANSWER_WAIT_S) -> Explanation:
        """Why a task waits, or why it went where it went; with `why_not`, why not to the worker of that name.

        Of live tasks the scheduler is asked, of others it is read what was recorded. Raises `TaskUnknown` if no such
        task is known any more, `AnswerMissing` if it waits and no scheduler answers within `timeout`.
        """
        await self.open()

        async def ask(question: Question) -> Answer:
            answer: Answer = msgspec.convert(await self.ask(question, timeout), Answer)
            return answer

        return await self._patiently(partial(explain, self._store, ask, task_id, why_not))

    async def operations(self, limit: int = 100) -> list[Operation]:
        """The newest redrives and purges, newest first: by whom and why."""
        return await self._patiently(partial(self._store.operations, limit))

    async def envelope(self, task_id: str) -> bytes | None:
        """Spec and payload of a task that lives or died, as its worker gets them; `None` if they are gone."""
        return await self._patiently(partial(self._store.payload, check_task_id(task_id)))

    async def status(self) -> Frame | None:
        """The scheduler's newest picture of itself, `None` if there never was a scheduler."""
        await self.open()
        blob = await self._store.frame()
        return None if blob is None else decode_frame(blob)

    async def _send(self, submissions: list[Submission]) -> Answers:
        """Submit until the store has decided, at most `patience_s`."""
        lines = [one.line for one in submissions]
        return await self._patiently(lambda: self._store.submit(lines, self._reply))

    async def _patiently(self, call: Callable[[], Awaitable[Value]]) -> Value:
        """What a call answers that may be repeated: again until the store has decided, at most `patience_s`."""
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + self._patience_s
        while True:
            try:
                await self.open()
                return await call()
            except PASSING:
                if loop.time() + RETRY_S > give_up_at_s:
                    raise
            await asyncio.sleep(RETRY_S)

    async def _kept(self, task_id: str) -> bytes | None:
        return await self._patiently(partial(self._store.result, task_id))

    async def _record(self, task_id: str) -> TaskRecord:
        record = await self._patiently(lambda: self._store.record(task_id))
        if record is None:
            raise TaskUnknown(f"no task {task_id} is known, or it ended longer ago than results are kept")
        return record
