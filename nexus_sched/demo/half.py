"""One half of a demonstration: submit the plan on time, follow what becomes of it, read what was kept."""

from __future__ import annotations

import asyncio
import time

import msgspec

from nexus_sched.demo.ledger import Ledger
from nexus_sched.demo.measure import measure_half
from nexus_sched.demo.options import DemoFailed, DemoOptions
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.demo.quantiles import Tails
from nexus_sched.demo.report import HalfReport
from nexus_sched.demo.stage import Stage
from nexus_sched.demo.witness import STREAM, read_sighting
from nexus_sched.demo.workload import PlannedTask, Workload
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.journal import decode_turn
from nexus_sched.model.outcome import Acceptance
from nexus_sched.model.task import TaskSpec
from nexus_sched.runtime.ports import SUBMIT_TASKS_MAX, SubmitLine
from nexus_sched.units import MS_PER_S

FOLLOW_PERIOD_S = 0.1
READ_ENTRIES = 2_000  # of a stream at a time
STALL_RUNS = 2.0  # no progress for this many of the longest possible runs ...
STALL_S = 10.0  # ... and this long: what is still missing is lost
SETTLE_S = 5.0  # for the last results to be accepted after their runs ended
RECORDS_AT_ONCE = 256
FRAME_PERIOD_S = 0.7  # longer than the scheduler's own period, so that a frame of the end is there

_encode = msgspec.msgpack.Encoder().encode


class Half:
    """Runs `workload` once on a stage whose scheduler already is in `mode`. Use it once."""

    def __init__(
        self, name: str, mode: str, stage: Stage, workload: Workload, options: DemoOptions, display: ProgressDisplay
    ) -> None:
        self._name = name
        self._mode = mode
        self._stage = stage
        self._workload = workload
        self._options = options
        self._display = display
        self._ledger = Ledger({self._task_id(task): task for task in workload.tasks})
        self._witness_cursor = "-"
        self._journal_cursor = "-"

    def _task_id(self, task: PlannedTask) -> str:
        return f"{self._mode}-{task.number:06d}"

    async def run(self) -> HalfReport:
        """Submit everything, wait for the end, and measure."""
        self._display.begin(self._name, len(self._workload.tasks))
        await self._skip_journal()
        await self._stage.store.subscribed(self._mode)
        listening = asyncio.create_task(self._listen())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._submit())
                group.create_task(self._follow())
            await self._settle()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        report = measure_half(self._mode, self._ledger, self._workload.fleet, self._options, await self._decision_us())
        self._display.end(f"{report.finished} of {report.submitted} finished")
        return report

    async def _submit(self) -> None:
        """Hand over each task at its time; those that are due together go together."""
        tasks, place = self._workload.tasks, 0
        lines = [self._line(task) for task in tasks]
        begin_s = time.monotonic()
        while place < len(tasks):
            passed_ms = (time.monotonic() - begin_s) * MS_PER_S
            if tasks[place].arrival_ms > passed_ms:
                await asyncio.sleep((tasks[place].arrival_ms - passed_ms) / MS_PER_S)
                continue
            due = place + 1
            while due < min(len(tasks), place + SUBMIT_TASKS_MAX) and tasks[due].arrival_ms <= passed_ms:
                due += 1
            self._ledger.note_submitted([line.task_id for line in lines[place:due]], time.monotonic_ns())
            answers = await self._stage.store.submit(lines[place:due], self._mode)
            refused = [answer for answer in answers if answer is not Acceptance.ACCEPTED]
            if refused:
                raise DemoFailed(f"the server did not accept {len(refused)} tasks: {refused[0].value}")
            place = due

    def _line(self, task: PlannedTask) -> SubmitLine:
        spec = _encode(TaskSpec(type=task.task_type))
        return SubmitLine(self._task_id(task), task.priority, spec, _encode([task.duration_ms]))

    async def _follow(self) -> None:
        """Read witness stream and journal until every task ended, or nothing moves any more."""
        ledger = self._ledger
        patience_s = STALL_S + STALL_RUNS * self._longest_run_s()
        moved_at_s, before = time.monotonic(), (0, 0, 0)
        while not ledger.complete:
            await asyncio.sleep(FOLLOW_PERIOD_S)
            await self._read_witness()
            await self._read_journal()
            self._display.update(
                ledger.ended,
                f"{ledger.submitted} submitted, {ledger.ended} finished, {ledger.waiting} waiting",
            )
            now_s, after = time.monotonic(), (ledger.submitted, ledger.begun, ledger.ended)
            if after != before:
                moved_at_s, before = now_s, after
            elif now_s - moved_at_s > patience_s:
                return

    def _longest_run_s(self) -> float:
        factor = max(max(worker.factors.values()) for worker in self._workload.fleet)
        return factor * max(task.duration_ms for task in self._workload.tasks) / MS_PER_S

    async def _read_witness(self) -> None:
        while entries := await self._entries(STREAM, self._witness_cursor):
            for entry, fields in entries:
                self._ledger.note_sighting(read_sighting(fields))
                self._witness_cursor = f"({entry.decode()}"

    async def _read_journal(self) -> None:
        while entries := await self._entries(self._stage.store.keys.journal, self._journal_cursor):
            for entry, fields in entries:
                self._journal_cursor = f"({entry.decode()}"
                for effect in decode_turn(fields[1]).effects:
                    if isinstance(effect, Dispatch):
                        self._ledger.note_decision(effect.decision)

    async def _skip_journal(self) -> None:
        newest = await self._stage.client.call(b"XREVRANGE", self._stage.store.keys.journal, b"+", b"-", b"COUNT", 1)
        if newest:
            self._journal_cursor = f"({newest[0][0].decode()}"

    async def _entries(self, key: str | bytes, cursor: str) -> list[tuple[bytes, list[bytes]]]:
        entries: list[tuple[bytes, list[bytes]]] = await self._stage.client.call(
            b"XRANGE", key, cursor, b"+", b"COUNT", READ_ENTRIES
        )
        return entries

    async def _listen(self) -> None:
        async for ended in self._stage.store.ended(self._mode):
            self._ledger.note_announced(ended.task_id)

    async def _settle(self) -> None:
        """Ask the store what became of each task, until all are finished or time is up."""
        open_ids = list(self._ledger.trails)
        deadline_s = time.monotonic() + SETTLE_S
        while True:
            for place in range(0, len(open_ids), RECORDS_AT_ONCE):
                chunk = open_ids[place : place + RECORDS_AT_ONCE]
                records = await asyncio.gather(*(self._stage.store.record(task_id) for task_id in chunk))
                for task_id, record in zip(chunk, records, strict=True):
                    self._ledger.note_record(task_id, record)
            open_ids = [task_id for task_id in open_ids if not self._ledger.trails[task_id].finished]
            if not open_ids or time.monotonic() >= deadline_s:
                break
            await asyncio.sleep(FOLLOW_PERIOD_S)
        await self._read_witness()
        await self._read_journal()

    async def _decision_us(self) -> Tails:
        await asyncio.sleep(FRAME_PERIOD_S)
        frame = await self._stage.frame()
        if frame is None or frame.decision_us.count == 0:
            return Tails(None, None)
        return Tails(frame.decision_us.p50, frame.decision_us.p99)
