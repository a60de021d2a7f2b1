"""What can be asked of the engine. Answers are values of its state, so they replay like decisions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

WORKERS_ANSWERED_MAX = 256  # at once: it is said within a turn, while others wait for their decisions

Subject = Annotated[str, Meta(max_length=128)]


class AskEta(Struct, frozen=True, tag="eta", tag_field="ask"):
    """When a task will start and finish."""

    task_id: Subject


class AskWhy(Struct, frozen=True, tag="why", tag_field="ask"):
    """Why a task waits, or why it is where it is; with `worker`, why not there."""

    task_id: Subject
    worker: Subject = ""


class AskWorker(Struct, frozen=True, tag="worker", tag_field="ask"):
    """What a worker has, and when it will be free."""

    worker: Subject


class AskWorkers(Struct, frozen=True, tag="workers", tag_field="ask"):
    """The workers by name, as many as are wanted, behind the one of the name `after`."""

    after: Annotated[str, Meta(max_length=128)] = ""
    count: Annotated[int, Meta(ge=1, le=WORKERS_ANSWERED_MAX)] = WORKERS_ANSWERED_MAX


Question = AskEta | AskWhy | AskWorker | AskWorkers
