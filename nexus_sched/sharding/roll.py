"""Who is there: replicas by what they announce, on this process's own monotonic clock.

Laws of this file:
  1. Only a change of what a replica says is a sign of life. Whoever has been silent for `SILENT_S`, or is proven dead
     by its kernel, is not there. One that was never heard before is believed to be until it has been silent so long.
  2. Whoever moves shards for every change would move them for ever where a process comes and goes: nothing is to be
     moved before all has stood still for a while, and for longer the more replicas have vanished lately.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from nexus_sched.model.replica import Announcement, decode_announcement

SILENT_S = 2.0  # four announcements; a shard does not wait for it, its lease decides
FORGOTTEN_S = 60.0  # silent for so long: struck off
HOLD_S, HOLD_S_MAX = 2.0, 30.0
VANISHED_WITHIN_S = 60.0


class Roll:
    """The replicas that are there, as of the last time that the registry was read."""

    def __init__(self, me: str, is_dead: Callable[[str], bool]) -> None:
        self.there: dict[str, Announcement] = {}
        self._me = me
        self._is_dead = is_dead
        self._heard: dict[str, tuple[bytes, float]] = {}  # replica -> what it said last, since when
        self._vanished_at_s: deque[float] = deque()
        self._stands_still_since_s = 0.0

    def read(self, said: Mapping[str, bytes], now_s: float) -> bool:
        """Take in what the registry holds; `True` if others are there than before, or serve something else."""
        self._heard = {
            replica: before if (before := self._heard.get(replica)) and before[0] == blob else (blob, now_s)
            for replica, blob in said.items()
        }
        there = {}
        for replica, (blob, since_s) in self._heard.items():
            silent = now_s - since_s >= SILENT_S or self._is_dead(replica)
            announcement = None if silent and replica != self._me else _read(blob)
            if announcement is not None:
                there[replica] = announcement
        former, self.there = self.there, there
        self._vanished_at_s.extend([now_s] * len(former.keys() - there.keys()))
        while self._vanished_at_s and now_s - self._vanished_at_s[0] > VANISHED_WITHIN_S:
            self._vanished_at_s.popleft()
        if _serving(former) == _serving(there):
            return False
        self._stands_still_since_s = now_s
        return True

    def may_move(self, now_s: float) -> bool:
        """Whether it has been quiet for long enough to move shards."""
        hold_s = min(HOLD_S * 2.0 ** max(0, len(self._vanished_at_s) - 1), HOLD_S_MAX)
        return now_s - self._stands_still_since_s >= hold_s

    def forgotten(self, now_s: float) -> list[str]:
        """Whose announcements may be removed from the registry."""
        return [
            name for name, (_, since_s) in self._heard.items() if name != self._me and now_s - since_s >= FORGOTTEN_S
        ]


def _serving(there: Mapping[str, Announcement]) -> dict[str, dict[str, int]]:
    return {name: each.serves for name, each in there.items()}


def _read(blob: bytes) -> Announcement | None:
    try:
        return decode_announcement(blob)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of another version: it says nothing that could be used
        return None
