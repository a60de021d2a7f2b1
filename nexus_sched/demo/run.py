"""A whole demonstration, from nothing to the report, and back to nothing.

SIGINT and SIGTERM end it at any time: everything it started is stopped, its directory is removed, and
`DemoInterrupted` is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from nexus_sched.demo.half import Half
from nexus_sched.demo.options import DemoFailed, DemoInterrupted, DemoOptions
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.demo.report import DemoReport, HalfReport
from nexus_sched.demo.stage import Stage
from nexus_sched.demo.trace_workload import trace_workload
from nexus_sched.demo.workload import Workload, generated_workload
from nexus_sched.model.settings import PREDICTIVE, SHADOW

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def run_demo(options: DemoOptions, console: Console | None = None) -> DemoReport:
    """Run both halves and give the report. Progress goes to `console`, by default standard error.

    Call it in the main thread. Raises `InvalidInput` for a trace that cannot be used, `DemoFailed` if a
    part ends or does not answer, `DemoInterrupted` after SIGINT or SIGTERM.
    """
    began_s = time.monotonic()
    workload = trace_workload(options.trace, options) if options.trace is not None else generated_workload(options)
    display = ProgressDisplay(console or Console(stderr=True))
    with interruptible() as interrupted, temporary_directory() as directory, display:
        try:
            halves, server = await _both_halves(workload, options, directory, display)
        except BaseException:
            if interrupted.is_set():
                raise DemoInterrupted("interrupted; everything that was started is stopped") from None
            raise
    return _report(workload, options, halves, server, time.monotonic() - began_s)


async def _both_halves(
    workload: Workload, options: DemoOptions, directory: Path, display: ProgressDisplay
) -> tuple[tuple[HalfReport, HalfReport], str]:
    try:
        async with Stage(workload, options, directory, display) as stage, asyncio.TaskGroup() as group:
            watching = group.create_task(stage.watch())
            first = await Half("round robin", SHADOW, stage, workload, options, display).run()
            await stage.set_mode(PREDICTIVE)
            second = await Half("predictive", PREDICTIVE, stage, workload, options, display).run()
            server = await stage.server_version()
            watching.cancel()
    except BaseExceptionGroup as failures:
        raise root_cause(failures) from failures
    return (first, second), server


def root_cause(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure worth telling: that of a process, because connections to it fail with it."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [failures]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(reversed(error.exceptions))
        else:
            leaves.append(error)
    return next((error for error in leaves if isinstance(error, DemoFailed)), leaves[0])


@contextlib.contextmanager
def interruptible() -> Iterator[asyncio.Event]:
    """While the block runs, the first SIGINT or SIGTERM cancels the current task; more are ignored."""
    loop, task, interrupted = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def interrupt() -> None:
        if task is not None and not interrupted.is_set():
            interrupted.set()
            task.cancel()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        yield interrupted
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory of one's own, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="nexus-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _report(
    workload: Workload, options: DemoOptions, halves: tuple[HalfReport, HalfReport], server: str, elapsed_s: float
) -> DemoReport:
    round_robin, predictive = halves
    return DemoReport(
        submitted=round_robin.submitted + predictive.submitted,
        finished=round_robin.finished + predictive.finished,
        lost=round_robin.lost + predictive.lost,
        duplicated=round_robin.duplicated + predictive.duplicated,
        decision_us=predictive.decision_us,
        submit_to_start_ms=predictive.submit_to_start_ms,
        dispatch_overhead_ms=predictive.dispatch_overhead_ms,
        predictive=predictive,
        round_robin=round_robin,
        workload=workload.source,
        workers=options.workers,
        slots=options.slots,
        rate=options.rate,
        duration_s=options.duration_s,
        seed=options.seed,
        server=server,
        elapsed_s=elapsed_s,
    )
