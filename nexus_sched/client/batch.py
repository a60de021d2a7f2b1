"""What becomes of many submissions when not all of them can be taken: nothing is silently lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nexus_sched.client.submission import Submission
from nexus_sched.errors import QueueFull, StoreError, StoreUnreachable
from nexus_sched.runtime.ports import SUBMIT_TASKS_MAX

CHUNK_BYTES_MAX = 8 * 2**20
RETRY_AFTER_MS = 500  # where nobody predicts it: a full queue drains by thousands of tasks a second


class BatchRefused(QueueFull):
    """A bound of the queue was reached within a batch.

    `accepted` are the ids of tasks that are in the queue, `refused` the submissions that are not, in
    order: submit those again after `retry_after_ms`.
    """

    def __init__(
        self, accepted: Sequence[str], refused: Sequence[Submission], retry_after_ms: int | None = None
    ) -> None:
        message = f"the queue is full: {len(accepted)} tasks accepted, {len(refused)} refused"
        super().__init__(message, retry_after_ms or RETRY_AFTER_MS)
        self.accepted = list(accepted)
        self.refused = list(refused)


class BatchInterrupted(StoreUnreachable):
    """The store was lost within a batch, for longer than the client waits.

    `accepted` are the ids of tasks that are in the queue; of `uncertain` it is not known. Submit those
    again when the store is back: they keep their ids, so none is queued twice.
    """

    def __init__(self, accepted: Sequence[str], uncertain: Sequence[Submission], error: StoreError) -> None:
        super().__init__(f"{error} ({len(accepted)} tasks accepted, {len(uncertain)} uncertain)")
        self.accepted = list(accepted)
        self.uncertain = list(uncertain)


def chunks(submissions: Iterable[Submission]) -> Iterator[list[Submission]]:
    """Runs of submissions that fit one call each: bounded in number and in bytes."""
    chunk: list[Submission] = []
    size = 0
    for submission in submissions:
        length = len(submission.line.payload)
        if chunk and (len(chunk) == SUBMIT_TASKS_MAX or size + length > CHUNK_BYTES_MAX):
            yield chunk
            chunk, size = [], 0
        chunk.append(submission)
        size += length
    if chunk:
        yield chunk
