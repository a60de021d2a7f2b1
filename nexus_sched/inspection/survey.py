"""One look at everything that lies in a shard: places, records, payloads, results, inboxes, the byte counter.

Laws that it proves: a live task is in exactly one place (a queue stream, `q:r`, or one inbox; a copy of a running one
may lie in a second inbox under another attempt), every pointer has a live task, every live task has its payload,
nothing belongs to nobody. Facts that the leader has not read yet excuse what they will change.

Memory: some 600 bytes a live task (its pointer and id), however much else lies in the shard; all reading is in pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice

import msgspec

from nexus_sched.inspection.engine_view import EngineView
from nexus_sched.inspection.findings import COMMAND, Code, Finding
from nexus_sched.inspection.store import InspectorStore
from nexus_sched.model.command import CancelTask, decode_command
from nexus_sched.model.inspection import Pointer, ShardMeta, StoredTask
from nexus_sched.runtime.ports import PRIORITY_STREAMS, RECLAIMED_STREAM

PAGE = 256
SCAN_PAGE = 1_024
START = "0-0"
QUEUES = (*PRIORITY_STREAMS, RECLAIMED_STREAM)

Progress = Callable[[str, int], None]  # (what is being read, how much of it was)


class Survey:
    """What was seen in one look. `findings` may hold what was only passing by: look twice at a live shard."""

    def __init__(self, store: InspectorStore, view: EngineView, progress: Progress) -> None:
        self._store = store
        self._view = view
        self._progress = progress
        self.findings: list[Finding] = []
        self.pointers: dict[str, list[Pointer]] = {}
        self.pending: set[str] = set()  # tasks of which the leader has yet to read something
        self.live: set[str] = set()
        self._told: set[str] = set()  # of them, those whose end is reported
        self.cancelled: set[str] = set()  # their end was asked for, and the leader has yet to read it
        self._live_bytes = 0

    async def run(self) -> None:
        """Read everything, once."""
        await self._read_facts()
        await self._read_pointers()
        before = await self._store.meta()
        seen = await self._check_records()
        self._check_bytes(before, await self._store.meta())
        for ids in _chunks((task_id for task_id in self.pointers if task_id not in seen), PAGE):
            for task_id, task in zip(ids, await self._store.tasks(ids), strict=True):
                self._check_pointers(task_id, task)  # the scan has not met it: it is not there, or came just now
        await self._check_orphans("p", Code.PAYLOAD_ORPHAN, lambda task: task.live or task.state == "D")
        await self._check_orphans("r", Code.RESULT_ORPHAN, lambda task: task.state == "F")

    def _add(self, code: Code, subject: str, sentence: str, *repair: str) -> None:
        self.findings.append(Finding(code, subject, sentence, repair))

    # -- reading

    async def _read_facts(self) -> None:
        async for value in self._values("res", "i"):
            self._told.add(value.decode(errors="replace"))
        self.pending |= self._told
        async for value in self._values("cmd", "f"):
            try:
                command = decode_command(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue  # the leader will refuse it
            if isinstance(command, CancelTask):
                self.cancelled.add(command.task_id)

    async def _read_pointers(self) -> None:
        seen = 0
        inboxes: dict[str, None] = {}
        async for worker in self._names("i"):
            inboxes[worker] = None
        for place in (*(f"i:{worker}" for worker in inboxes), *QUEUES):
            after = START
            while after:
                after, page = await self._store.pointers(place, after, PAGE)
                seen += len(page)
                for pointer in page:
                    self.pointers.setdefault(pointer.task_id, []).append(pointer)
                    if not pointer.in_inbox and self._view.is_unread(pointer):
                        self.pending.add(pointer.task_id)
                self._progress("pointers", seen)
        held = {pointer.place[2:] for found in self.pointers.values() for pointer in found if pointer.in_inbox}
        for workers in _chunks(sorted(held), PAGE):
            for worker, known in zip(workers, await self._store.workers_known(workers), strict=True):
                if not known:
                    sentence = f"the inbox of {worker} holds tasks, but no such worker ever registered"
                    self._add(Code.INBOX_OWNERLESS, worker, sentence, "inbox", worker)

    async def _names(self, kind: str) -> AsyncIterator[str]:
        cursor = "0"
        while True:
            cursor, page = await self._store.names(cursor, kind, SCAN_PAGE)
            for name in page:
                yield name
            if cursor == "0":
                return

    async def _values(self, stream: str, field: str) -> AsyncIterator[bytes]:
        after = START
        while after:
            after, page = await self._store.values(stream, field, after, PAGE)
            for value in page:
                yield value

    # -- places

    def _check_pointers(self, task_id: str, task: StoredTask | None) -> None:
        found = self.pointers[task_id]
        if task is not None and task.live:
            self.live.add(task_id)
            if len(found) > 1:
                self._check_places(task_id, found)
            return
        if task_id in (self._told if task is None else self.pending):
            return  # the leader has yet to read of its end: the pointer goes with it
        for pointer in found:
            where = f"{pointer.place} ({pointer.entry})"
            repair = ("pointer", *_named(pointer), "", "")
            if task is None:
                self._add(Code.POINTER_DANGLING, f"{task_id} {where}", f"{where} points to {task_id}: unknown", *repair)
            else:
                sentence = f"{where} points to {task_id}, which has ended ({task.state})"
                self._add(Code.POINTER_STALE, f"{task_id} {where}", sentence, *repair)

    def _check_places(self, task_id: str, found: list[Pointer]) -> None:
        """One place; or two inboxes under different attempts; or one inbox beside a former attempt's way back."""
        inboxes = [pointer for pointer in found if pointer.in_inbox]
        queued = [pointer for pointer in found if not pointer.in_inbox]
        copied = len(inboxes) == 2 and inboxes[0].attempt != inboxes[1].attempt
        newest = max((pointer.attempt for pointer in inboxes), default=0)
        returning = len(queued) == 1 and queued[0].place == RECLAIMED_STREAM and queued[0].attempt < newest
        if (copied and not queued) or (len(inboxes) == 1 and returning):
            return
        if task_id in self.pending:
            return
        kept = self._view.kept_of(task_id, found)
        for pointer in found:
            if pointer is not kept and not (copied and pointer.in_inbox):
                where = f"{pointer.place} ({pointer.entry})"
                sentence = f"{task_id} is in {kept.place} ({kept.entry}) and in {where}"
                repair = ("pointer", *_named(pointer), kept.place, kept.entry)
                self._add(Code.POINTER_REPEATED, f"{task_id} {where}", sentence, *repair)

    # -- records and what belongs to them

    async def _check_records(self) -> set[str]:
        """Every record, and the pointers of those that have some: their ids are given back."""
        letters: set[str] = {value.decode(errors="replace") async for value in self._values("dead", "i")}
        counted: set[str] = set()
        pointed: set[str] = set()
        seen = 0
        async for ids in _paged(self._names("t")):
            for task_id, task in zip(ids, await self._store.tasks(ids), strict=True):
                if task is not None and task_id in self.pointers and task_id not in pointed:
                    pointed.add(task_id)
                    self._check_pointers(task_id, task)
                if task is not None and task.live and task_id not in counted:
                    counted.add(task_id)
                    self.live.add(task_id)
                    self._live_bytes += task.payload_bytes
                    self._check_live(task_id, task)
                elif task is not None and task.state == "D" and task_id not in letters:
                    sentence = f"{task_id} is dead, but there is no letter of it"
                    self._add(Code.LETTER_MISSING, task_id, sentence, "letter", task_id)
            seen += len(ids)
            self._progress("records", seen)
        return pointed

    def _check_live(self, task_id: str, task: StoredTask) -> None:
        if not task.has_payload and task_id not in self.cancelled:
            repair = () if task.state == "R" else (COMMAND, task_id)
            self._add(Code.PAYLOAD_LOST, task_id, f"{task_id} lives ({task.state}), but its payload is gone", *repair)
        if task_id in self.pointers or task_id in self.pending:
            return
        held = self._view.place_of(task_id)
        sentence = f"{task_id} lives ({task.state}), but no queue and no inbox holds it"
        seen = ("requeue", task_id, task.state, task.worker, str(task.attempt))
        if held is None:
            self._add(Code.POINTER_MISSING, task_id, sentence, *seen, "", "", "")
        elif held.in_inbox:
            self._add(Code.POINTER_MISSING, task_id, sentence, *seen, held.place, held.entry, str(held.attempt))
        else:
            known = f"{sentence}; the scheduler knows it and will hand it out: nothing is needed"
            self._add(Code.POINTER_MISSING, task_id, known)

    async def _check_orphans(self, kind: str, code: Code, wanted: Callable[[StoredTask], bool]) -> None:
        seen = 0
        what = "payload" if kind == "p" else "result"
        async for page in _paged(self._names(kind)):
            ids = [task_id for task_id in page if kind == "r" or task_id not in self.live]
            for task_id, task in zip(ids, await self._store.tasks(ids), strict=True):
                if task is None or not wanted(task):
                    whose = "which is unknown" if task is None else f"which has ended ({task.state})"
                    self._add(code, task_id, f"there is a {what} of {task_id}, {whose}", "orphan", kind, task_id)
            seen += len(page)
            self._progress(f"{what}s", seen)

    def _check_bytes(self, before: ShardMeta | None, after: ShardMeta | None) -> None:
        """Hold the counter to the sum of what the records say, if nothing came and nothing ended while they were read.

        Of a shard that takes turns all the time this cannot be said: payloads of one size make differences that stay.
        """
        if before is None or after is None or after.payload_bytes == self._live_bytes:
            return
        if (before.seq, before.payload_bytes) != (after.seq, after.payload_bytes):
            return
        seen, right = str(after.payload_bytes), str(self._live_bytes)
        sentence = f"the counter of payload bytes says {seen}, the payloads of live tasks have {right}"
        self._add(Code.BYTES_WRONG, str(after.payload_bytes - self._live_bytes), sentence, "bytes", seen, right)


def _named(pointer: Pointer) -> tuple[str, str, str, str]:
    return pointer.place, pointer.entry, pointer.task_id, str(pointer.attempt)


def _chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


async def _paged(names: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    page: list[str] = []
    async for name in names:
        page.append(name)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
