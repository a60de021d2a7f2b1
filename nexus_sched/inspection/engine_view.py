"""The scheduler's own state, restored from snapshot and journal as a new leader would, and held against the store.

Law: the journal is read as far as the shard says it goes; what lies beyond the cursors of that state has not been
read yet, so the scheduler need not know it.
"""

from __future__ import annotations

from collections.abc import Mapping

from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.records import TaskRecord
from nexus_sched.errors import SnapshotUnreadable, StateLost, VersionsDiffer
from nexus_sched.inspection.findings import COMMAND, Code, Finding
from nexus_sched.inspection.store import InspectorStore
from nexus_sched.model.inspection import Pointer, ShardMeta
from nexus_sched.runtime.ports import LeaderStore
from nexus_sched.runtime.recovery import Recovered, recover, restore_checkpoint

JOURNAL_PAGE = 256


class EngineView:
    """What the scheduler knows of tasks; nothing if its state could not be restored."""

    def __init__(self, state: Recovered | None) -> None:
        self._state = state

    def is_unread(self, pointer: Pointer) -> bool:
        """Whether the leader has yet to read this entry of a queue stream."""
        if self._state is None:
            return False
        cursor = self._state.cursors.get(pointer.place)
        return cursor is not None and _parsed(pointer.entry) > _parsed(cursor)

    def place_of(self, task_id: str) -> Pointer | None:
        """Where the scheduler believes a task to be."""
        record = self._state.engine.tasks.get(task_id) if self._state else None
        return None if record is None else _pointer(record)

    def kept_of(self, task_id: str, found: list[Pointer]) -> Pointer:
        """Which of several pointers is the right one: that of the scheduler, else an inbox, else the oldest."""
        held = self.place_of(task_id)
        known = [pointer for pointer in found if held is not None and _same(pointer, held)]
        return (known or [pointer for pointer in found if pointer.in_inbox] or found)[0]

    async def compare(
        self, store: InspectorStore, pointers: Mapping[str, list[Pointer]], live: set[str], pending: set[str]
    ) -> list[Finding]:
        """Where store and scheduler say different things of a task."""
        if self._state is None:
            return []
        engine = self._state.engine
        findings: list[Finding] = []
        for task_id, record in engine.tasks.items():
            held = _pointer(record)
            agreed = any(_same(pointer, held) for pointer in pointers.get(task_id, ()))
            if task_id in pending or (agreed and task_id in live):
                continue
            where = f"{held.place} ({held.entry})"
            if task_id not in live:
                (stored,) = await store.tasks([task_id])
                if stored is not None and stored.live:
                    continue  # it came in between
                sentence = f"the scheduler has {task_id} in {where}, but the task is gone"
                forget = ("forget", held.place[2:], task_id, str(held.attempt))
                repair = forget if held.in_inbox else (COMMAND, task_id)
                findings.append(Finding(Code.ENGINE_ELSEWHERE, f"{task_id} {where}", sentence, repair))
            elif task_id in pointers:
                there = pointers[task_id][0]
                sentence = f"the scheduler has {task_id} in {where}, the store in {there.place} ({there.entry})"
                findings.append(Finding(Code.ENGINE_ELSEWHERE, f"{task_id} {where}", sentence))
        for task_id in sorted(live - pending - engine.tasks.keys()):
            found = pointers.get(task_id)
            if found:  # without a pointer it is reported as such
                first = found[0]
                sentence = f"{first.place} ({first.entry}) holds {task_id}, which the scheduler does not know"
                reread = () if first.in_inbox else ("reread", first.place, first.entry, task_id)
                findings.append(Finding(Code.ENGINE_UNKNOWN, task_id, sentence, reread))
        return findings


async def view_of(
    leader: LeaderStore, predictors: Mapping[str, PredictorFactory], seq: int
) -> tuple[EngineView, list[Finding]]:
    """The scheduler's state after turn `seq`, or why there is none."""
    try:
        return EngineView(await recover(leader, predictors, seq)), []
    except (StateLost, SnapshotUnreadable, VersionsDiffer) as error:
        sentence = f"the scheduler's state cannot be restored: {error}"
        return EngineView(None), [Finding(Code.STATE_UNRECOVERABLE, "engine", sentence)]


async def check_history(
    store: InspectorStore, leader: LeaderStore, predictors: Mapping[str, PredictorFactory], meta: ShardMeta
) -> list[Finding]:
    """Snapshots that are there and readable, none astray, and a journal without gaps from the older one on."""
    findings: list[Finding] = []
    kept = await leader.snapshots()
    for seq in meta.snapshots:
        blob = next((found for number, found in kept if number == seq), None)
        if blob is None:
            sentence = f"the snapshot of turn {seq} is not there"
            findings.append(Finding(Code.SNAPSHOT_MISSING, str(seq), sentence))
            continue
        try:
            restore_checkpoint(blob, predictors)
        except SnapshotUnreadable as error:
            sentence = f"the snapshot of turn {seq} cannot be read: {error}"
            findings.append(Finding(Code.SNAPSHOT_UNREADABLE, str(seq), sentence))
    cursor, astray = "", set[str]()
    while cursor != "0":
        cursor, names = await store.names(cursor or "0", "snap", JOURNAL_PAGE)
        astray.update(names)
    findings += [
        Finding(Code.SNAPSHOT_STRAY, name, f"nothing refers to the snapshot of turn {name}", ("stray", name))
        for name in sorted(astray - {str(seq) for seq in meta.snapshots})
    ]
    return findings + await _check_journal(leader, meta)


async def _check_journal(leader: LeaderStore, meta: ShardMeta) -> list[Finding]:
    """The journal was cut behind the older of two snapshots, so it must go on from there without a gap."""
    findings: list[Finding] = []
    last = meta.snapshots[-1] if len(meta.snapshots) > 1 else 0
    while page := await leader.journal(last, JOURNAL_PAGE):
        for seq, _ in page:
            if seq != last + 1:
                sentence = f"turns {last + 1} to {seq - 1} are missing in the journal"
                findings.append(Finding(Code.JOURNAL_GAP, str(last + 1), sentence))
            last = seq
    if last < meta.seq:
        sentence = f"the journal ends at turn {last}, the shard is at {meta.seq}"
        findings.append(Finding(Code.JOURNAL_SHORT, str(last), sentence))
    return findings


def _pointer(record: TaskRecord) -> Pointer:
    return Pointer(record.place, record.entry, record.task.id, record.attempt)


def _same(pointer: Pointer, held: Pointer) -> bool:
    return (pointer.place, pointer.entry) == (held.place, held.entry)


def _parsed(entry: str) -> tuple[int, int]:
    instant, _, index = entry.partition("-")
    return int(instant), int(index or 0)
