"""Packs the capacity reports of many workers into few entries.

Laws
* What comes in within one pack interval is written together, at most `REPORT_WORKERS_MAX` workers a call. A report is
  answered once it is written: whoever sends faster than the store takes waits.
* A report is a sign of life in any case. It is an input of the scheduler only if it says something new, and then at
  most every `NEWS_EVERY_S` for each worker, unless the worker drains or has other labels or resources.
* Memory is bounded by what waits, which the callers' doors bound, and by `REMEMBERED_MAX` last reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct, structs

from nexus_sched.errors import StoreError
from nexus_sched.model.demands import DESCRIPTION_BYTES_MAX
from nexus_sched.model.worker import PackedReport, WorkerReport, says_as_much
from nexus_sched.runtime.ports import REPORT_WORKERS_MAX, ReporterStore

NEWS_EVERY_S = 5.0  # as the worker runtime does
REMEMBERED_MAX = 100_000
_HEAD_BYTES = 3  # of a MessagePack array of up to 65,535
_encode = msgspec.msgpack.Encoder().encode


class Said(Struct):
    """What a worker said last that was written."""

    incarnation: int
    report: WorkerReport
    at_s: float


class Waiting(Struct):
    """A report that has not been written yet; a newer one of the same worker takes its place."""

    incarnation: int
    report: WorkerReport
    written: asyncio.Future[bool]


class Row(NamedTuple):
    """A report on its way. `news` is what the scheduler gets of it, empty for nothing."""

    worker: str
    waiting: Waiting
    news: bytes


class Reports:
    """Gathers, packs and writes. `run` it beside the server."""

    def __init__(self, store: ReporterStore, pack_interval_s: float, clock_s: Callable[[], float]) -> None:
        self._store = store
        self._pack_interval_s = pack_interval_s
        self._clock_s = clock_s
        self._waiting: dict[str, Waiting] = {}
        self._said: dict[str, Said] = {}
        self._arrived = asyncio.Event()
        self.packs = 0  # written
        self.reports = 0  # taken

    async def take(self, worker: str, incarnation: int, report: WorkerReport) -> bool:
        """Write a report with others. `False`: the incarnation is not the live one. Raises a `StoreError`."""
        self.reports += 1
        before = self._waiting.get(worker)
        if before is not None and before.incarnation == incarnation:
            before.report = merged(before.report, report)
            written = before.written
        else:
            if before is not None:
                before.written.set_result(False)  # the worker has registered anew since
            written = asyncio.get_running_loop().create_future()
            self._waiting[worker] = Waiting(incarnation, report, written)
            self._arrived.set()
        return await asyncio.shield(written)

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                await asyncio.sleep(self._pack_interval_s)
                self._arrived.clear()
                gathered, self._waiting = self._waiting, {}
                await self._write(gathered)
        finally:
            for waiting in self._waiting.values():
                waiting.written.cancel()

    async def _write(self, gathered: dict[str, Waiting]) -> None:
        now_s = self._clock_s()
        rows = [Row(worker, waiting, self._news(worker, waiting, now_s)) for worker, waiting in gathered.items()]
        await asyncio.gather(*(self._call(part, now_s) for part in parts_of(rows)))

    def _news(self, worker: str, waiting: Waiting, now_s: float) -> bytes:
        """The report, encoded, if it says something new and it is time for that; else nothing."""
        report, said = waiting.report, self._said.get(worker)
        offers = report.labels is not None or report.resources is not None
        if said is not None and said.incarnation == waiting.incarnation and not offers:
            urgent = report.draining != said.report.draining
            if says_as_much(report, said.report) or not (urgent or now_s - said.at_s >= NEWS_EVERY_S):
                return b""
        return _encode(PackedReport(worker, waiting.incarnation, report))

    async def _call(self, part: Sequence[Row], now_s: float) -> None:
        try:
            answers = await self._store.report(
                [(row.worker, row.waiting.incarnation) for row in part],
                array_of([row.news for row in part if row.news]),
            )
        except StoreError as error:
            for row in part:
                fail(row, error)
            return
        self.packs += 1
        for row, live in zip(part, answers, strict=True):
            if isinstance(live, StoreError):
                fail(row, live)
                continue
            if not live:
                self._said.pop(row.worker, None)
            elif row.news:
                said = Said(row.waiting.incarnation, _without_offer(row.waiting.report), now_s)
                self._remember(row.worker, said)
            row.waiting.written.set_result(live)

    def _remember(self, worker: str, said: Said) -> None:
        self._said.pop(worker, None)
        self._said[worker] = said  # at the end: the one that was told the longest ago stands first
        if len(self._said) > REMEMBERED_MAX:
            del self._said[next(iter(self._said))]


def fail(row: Row, error: StoreError) -> None:
    """Tell whoever waits that a report could not be written."""
    row.waiting.written.set_exception(error)
    row.waiting.written.exception()  # whoever waited may be gone


def parts_of(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """What fits into one call each."""
    part: list[Row] = []
    news_bytes = 0
    for row in rows:
        if len(part) == REPORT_WORKERS_MAX or news_bytes + len(row.news) > DESCRIPTION_BYTES_MAX - _HEAD_BYTES:
            yield part
            part, news_bytes = [], 0
        part.append(row)
        news_bytes += len(row.news)
    if part:
        yield part


def array_of(encoded: Sequence[bytes]) -> bytes:
    """One MessagePack array of documents that are encoded already; nothing if there are none."""
    if not encoded:
        return b""
    count = len(encoded)
    head = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return head + b"".join(encoded)


def merged(former: WorkerReport, report: WorkerReport) -> WorkerReport:
    """The newer of two reports of which only one will be written; labels and resources are not lost with the former."""
    if former.labels is None and former.resources is None:
        return report
    return structs.replace(
        report,
        labels=former.labels if report.labels is None else report.labels,
        resources=former.resources if report.resources is None else report.resources,
    )


def _without_offer(report: WorkerReport) -> WorkerReport:
    return structs.replace(report, labels=None, resources=None)
