"""What an inspection of a shard reads: the store's own words, without any claim that they fit together."""

from __future__ import annotations

from typing import NamedTuple

LIVE_STATES = ("Q", "R")  # of a task that has not ended


class ShardMeta(NamedTuple):
    """What the shard says of itself."""

    seq: int
    payload_bytes: int  # of all tasks that have not ended, as it was counted
    epoch: int
    owner: str
    renewals: int
    snapshots: tuple[int, ...]  # sequences of the kept ones, newest first


class StoredTask(NamedTuple):
    """The record of a task, and whether its payload is there."""

    state: str
    payload_bytes: int
    worker: str  # of the last start
    attempt: int
    attempt_min: int
    priority: int
    has_payload: bool

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE_STATES


class Pointer(NamedTuple):
    """One entry of a queue or an inbox that stands for a task."""

    place: str  # `q:5`, `q:r` or `i:<worker>`
    entry: str
    task_id: str
    attempt: int  # 0 in a queue stream of new tasks

    @property
    def in_inbox(self) -> bool:
        """Whether a worker holds it."""
        return self.place.startswith("i:")
