"""All workers of a pool by name, in pages, however many there are and over however many shards.

The scheduler is asked, as its picture has the first few only. Where none answers, the picture is what there is.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from nexus_sched.client.questions import ask
from nexus_sched.errors import AnswerMissing
from nexus_sched.model.answer import WorkersAnswer, decode_answer
from nexus_sched.model.frame import STALE_AFTER_MS, Frame
from nexus_sched.model.question import WORKERS_ANSWERED_MAX, AskWorkers
from nexus_sched.model.worker import WorkerState
from nexus_sched.runtime.ports import SubmitterStore
from nexus_sched.units import NS_PER_MS

ANSWER_WAIT_MS = 2_000.0


class FleetPage(Struct, frozen=True, kw_only=True):
    """Some of the workers."""

    workers: list[WorkerState]
    live: int  # all of them
    stale: bool  # no scheduler has answered: it is what the last picture shows, which may be old
    cursor: str | None  # of the next page


def is_stale(frame: Frame) -> bool:
    """Whether no scheduler has painted for a while."""
    return time.time_ns() // NS_PER_MS - frame.at_ms > STALE_AFTER_MS


async def page(store: SubmitterStore, frame: Frame, after: str, count: int) -> FleetPage:
    """Up to `count` workers behind the name `after`. `store` is open, `frame` the pool's newest picture."""
    if is_stale(frame):
        return _of_picture(frame, after, count)
    rows: list[WorkerState] = []
    live, more = frame.workers_live, True
    try:
        while more and len(rows) < count:
            found, live, more = await _asked(store, after, min(count - len(rows), WORKERS_ANSWERED_MAX))
            rows += found
            after = rows[-1].worker if rows else after
    except AnswerMissing:
        return _of_picture(frame, after, count)
    return FleetPage(workers=rows, live=live, stale=False, cursor=rows[-1].worker if more and rows else None)


async def all_workers(store: SubmitterStore, frame: Frame) -> FleetPage:
    """Every worker at once."""
    return await page(store, frame, "", max(1, frame.workers_live) + WORKERS_ANSWERED_MAX)


def _of_picture(frame: Frame, after: str, count: int) -> FleetPage:
    rows = sorted((row for row in frame.workers if row.worker > after), key=lambda row: row.worker)
    cursor = rows[count - 1].worker if len(rows) > count else None
    return FleetPage(workers=rows[:count], live=frame.workers_live, stale=True, cursor=cursor)


async def _asked(store: SubmitterStore, after: str, count: int) -> tuple[list[WorkerState], int, bool]:
    """Rows of all shards in one order, how many workers there are in all, and whether more follow.

    A shard that has more of them may have some that come before the last of another shard: those are left for later.
    """
    question = AskWorkers(after, count)
    blobs = await asyncio.gather(*(ask(each, question, ANSWER_WAIT_MS) for each in await store.each_shard()))
    answers = [answer for blob in blobs if isinstance(answer := decode_answer(blob), WorkersAnswer)]
    rows = sorted((row for answer in answers for row in answer.workers), key=lambda row: row.worker)
    known_to = min((answer.workers[-1].worker for answer in answers if answer.more), default=None)
    known = [row for row in rows if known_to is None or row.worker <= known_to]
    more = known_to is not None or len(known) > count
    return known[:count], sum(answer.live for answer in answers), more
