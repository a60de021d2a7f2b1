"""What can be asked of the engine. Answers are values of its state, so they replay like decisions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

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


Question = AskEta | AskWhy | AskWorker
