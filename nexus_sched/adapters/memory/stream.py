"""One append-only stream with removable entries: the twin of a Redis stream.

Invariant: ids only grow, also past entries that were removed. `_ids` is sorted and may hold removed ids;
`_entries` is the truth, and `_ids` is rebuilt once most of it is stale.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

EntryId = tuple[int, int]
RawFields = list[bytes]
_STALE_MIN = 64


def parse_entry_id(text: str) -> EntryId:
    """`"5-3"` -> (5, 3), `"5"` -> (5, 0)."""
    first, _, second = text.partition("-")
    return int(first), int(second or 0)


def format_entry_id(entry_id: EntryId) -> str:
    """(5, 3) -> `"5-3"`."""
    return f"{entry_id[0]}-{entry_id[1]}"


class EntryStream:
    """Entries by id. Costs: append and removal O(1), reading O(log n + entries)."""

    def __init__(self) -> None:
        self.last: EntryId = (0, 0)
        self._ids: list[EntryId] = []
        self._entries: dict[EntryId, RawFields] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, fields: RawFields, at_ms: int) -> EntryId:
        """Append under an id of the stream's own, `at_ms` or the newest one's if the clock went back."""
        entry_id = (at_ms, 0) if at_ms > self.last[0] else (self.last[0], self.last[1] + 1)
        self.insert(entry_id, fields)
        return entry_id

    def insert(self, entry_id: EntryId, fields: RawFields) -> None:
        """Append under an explicit id. Raises `ValueError` if it is not above all that ever were."""
        if entry_id <= self.last:
            raise ValueError(f"entry id {format_entry_id(entry_id)} is not above {format_entry_id(self.last)}")
        self.last = entry_id
        self._ids.append(entry_id)
        self._entries[entry_id] = fields

    def remove(self, entry_id: EntryId) -> bool:
        """Whether the entry was there."""
        if self._entries.pop(entry_id, None) is None:
            return False
        if len(self._ids) > _STALE_MIN + 2 * len(self._entries):
            self._ids = list(self._entries)
        return True

    def get(self, entry_id: EntryId) -> RawFields | None:
        """The fields of an entry, `None` if it is not there."""
        return self._entries.get(entry_id)

    def trim(self, lowest: EntryId) -> None:
        """Remove all entries below `lowest`."""
        end = bisect_left(self._ids, lowest)
        for entry_id in self._ids[:end]:
            self._entries.pop(entry_id, None)
        del self._ids[:end]

    def after(self, entry_id: EntryId, count: int) -> list[tuple[EntryId, RawFields]]:
        """Up to `count` entries behind `entry_id`."""
        found: list[tuple[EntryId, RawFields]] = []
        for index in range(bisect_right(self._ids, entry_id), len(self._ids)):
            if len(found) == count:
                break
            fields = self._entries.get(self._ids[index])
            if fields is not None:
                found.append((self._ids[index], fields))
        return found
