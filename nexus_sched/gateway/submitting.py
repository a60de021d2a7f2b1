"""Submissions of many clients, sent together: what arrives within one turn of the loop goes in one call.

A submission carries its id, so one that is sent twice is in the queue once; a client that repeats a request with its
idempotency key has the same id again, whichever gateway it asks.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import NamedTuple

from nexus_sched.client.batch import RETRY_AFTER_MS
from nexus_sched.client.estimate import Estimate, estimate_of
from nexus_sched.client.submission import Submission
from nexus_sched.errors import QueueFull
from nexus_sched.gateway.store import PoolStore
from nexus_sched.model.eta import decode_eta
from nexus_sched.model.outcome import Acceptance
from nexus_sched.runtime.ports import ESTIMATED, SUBMIT_TASKS_MAX
from nexus_sched.units import MS_PER_S

CALL_BYTES_MAX = 4 * 2**20
ID_DIGITS = 40


class Taken(NamedTuple):
    """What became of a submission, and when there will be room if there was none."""

    acceptance: Acceptance
    retry_after_ms: int


class Submitting:
    """Collects and sends submissions. Costs one call of the store for as many as arrive together."""

    def __init__(self, pool: PoolStore, eta_wait_ms: int) -> None:
        self._client = pool.client
        self._eta_wait_s = eta_wait_ms / MS_PER_S
        self._waiting: list[tuple[Submission, asyncio.Future[Taken]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def submit(self, one: Submission, *, eta: bool) -> tuple[Acceptance, Estimate | None]:
        """Submit one task, and hear the scheduler's estimate of it. Raises `QueueFull`, and what the store raises."""
        if not eta:
            return accepted(await self.take(one)), None
        async with self._client.hearing(one.id) as told:
            acceptance = accepted(await self.take(one))
            if acceptance is Acceptance.ACCEPTED:
                await asyncio.wait([told], timeout=self._eta_wait_s)
            if told.done() and told.result().outcome == ESTIMATED:
                return acceptance, estimate_of(one.id, decode_eta(told.result().result or b""))
        return acceptance, await self._client.last_eta(one.id)

    async def take(self, one: Submission) -> Taken:
        """Submit one task with those that arrive at the same time."""
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, future))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send_off)
        return await future

    def _send_off(self) -> None:
        waiting, self._waiting = self._waiting, []
        while waiting:
            count = size = 0
            while count < len(waiting) and count < SUBMIT_TASKS_MAX and size <= CALL_BYTES_MAX:
                size += len(waiting[count][0].line.payload)
                count += 1
            task = asyncio.create_task(self._send(waiting[:count]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            waiting = waiting[count:]

    async def _send(self, chunk: list[tuple[Submission, asyncio.Future[Taken]]]) -> None:
        try:
            answers = await self._client.send([one for one, _ in chunk])
        except Exception as error:  # whatever it is, each of them has to hear it
            for _, future in chunk:
                if not future.done():
                    future.set_exception(error)
            return
        retry_after_ms = answers.retry_after_ms or RETRY_AFTER_MS
        for (_, future), acceptance in zip(chunk, answers, strict=True):
            if not future.done():  # its client may have gone
                future.set_result(Taken(acceptance, retry_after_ms))


def accepted(taken: Taken) -> Acceptance:
    """What became of it. Raises `QueueFull` if there was no room."""
    if taken.acceptance is Acceptance.BUSY:
        raise QueueFull("the queue is full", taken.retry_after_ms)
    return taken.acceptance


def id_of(client: str, key: str, index: int = 0) -> str:
    """The task id that an idempotency key of a client means, for the index-th task of a request."""
    digest = hashlib.sha256(f"{client}\0{key}\0{index}".encode()).hexdigest()
    return f"key-{digest[:ID_DIGITS]}"
