"""Runs tasks: on the loop, in a thread or in a process, and ends those that ran too long.

Two moments end a run, and each comes exactly once. It is *settled* when its ending is known, which is
then reported; it is *released* when its slot is free again. Usually both come together. A thread cannot
be ended by force, so one that ran out of time is settled as TIMED_OUT at once and released when it
returns; likewise an asynchronous function that does not react to its cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from nexus_sched.model.outcome import Outcome
from nexus_sched.model.task import TaskSpec
from nexus_sched.runtime.ports import StartLine
from nexus_sched.worker.calls import Ending, call_awaiting, call_blocking
from nexus_sched.worker.context import Context
from nexus_sched.worker.functions import TaskFunction
from nexus_sched.worker.processes import Child, ChildDied, ProcessPool
from nexus_sched.worker.threads import DaemonThreads

CANCEL_GRACE_S = 1.0  # how long a cancelled asynchronous function, or a stopped process, may clean up


class Run:
    """One task that holds a slot here."""

    __slots__ = (
        "child", "context", "function", "job", "line", "payload", "queue_ms",
        "settled", "spec", "started_s", "timeout_ms", "timer", "verdict",
    )  # fmt: skip

    def __init__(
        self, line: StartLine, queue_ms: float, function: TaskFunction, spec: TaskSpec, payload: bytes
    ) -> None:
        self.line = line
        self.queue_ms = queue_ms
        self.function = function
        self.spec = spec
        self.payload = payload
        self.started_s = time.perf_counter()
        self.timeout_ms = function.timeout_ms if spec.timeout_ms is None else spec.timeout_ms
        deadline_s = None if self.timeout_ms is None else time.monotonic() + self.timeout_ms / 1e3
        self.context = Context(line.task_id, line.attempt, spec.type, deadline_s, spec.traceparent)
        self.settled = False
        self.verdict: Outcome | None = None  # why it was told to stop, if it was
        self.job: asyncio.Task[None] | None = None
        self.child: Child | None = None
        self.timer: asyncio.TimerHandle | None = None


class Executors:
    """All runs of one worker. `settled` and `released` are called on the loop."""

    def __init__(
        self,
        slots: int,
        functions: Iterable[TaskFunction],
        settled: Callable[[Run, Ending], None],
        released: Callable[[], None],
    ) -> None:
        self.occupied = 0  # slots that are not free
        self._on_settled = settled
        self._on_released = released
        self._loop = asyncio.get_running_loop()
        self._threads = DaemonThreads(slots)
        self._processes = ProcessPool(functions)
        self._runs: set[Run] = set()

    def start(self, run: Run) -> None:
        """Occupy a slot and begin."""
        self.occupied += 1
        self._runs.add(run)
        place = run.function.run_in
        if place == "loop":
            self._arm(run)
            run.job = self._loop.create_task(self._await(run))
        elif place == "thread":
            self._arm(run)
            self._threads.submit(lambda: self._block(run))
        else:  # the time-out starts with the call, not with the process
            run.job = self._loop.create_task(self._delegate(run))

    def stop(self, run: Run, verdict: Outcome) -> None:
        """Tell a run to end, as CANCELLED, PREEMPTED or TIMED_OUT. Nothing happens if it was told before."""
        if run.settled or run.verdict is not None:
            return
        run.verdict = verdict
        run.context.cancel()
        place, out_of_time = run.function.run_in, verdict is Outcome.TIMED_OUT
        if run.timer is not None:
            run.timer.cancel()
        if place == "loop" and run.job is not None:
            run.job.cancel()
            run.timer = self._loop.call_later(CANCEL_GRACE_S, self._settle_stopped, run)
        elif out_of_time:
            self._settle_stopped(run)
            if run.child is not None:
                run.child.kill()
        elif run.child is not None:
            run.child.stop(run.line.task_id, run.line.attempt)
            run.timer = self._loop.call_later(CANCEL_GRACE_S, run.child.kill)
        elif place == "process" and run.job is not None:
            run.job.cancel()  # its process is still being started

    async def abandon(self) -> None:
        """End everything without reporting it: the tasks will run elsewhere."""
        jobs = []
        for run in list(self._runs):
            run.settled = True
            run.context.cancel()
            if run.timer is not None:
                run.timer.cancel()
            if run.child is not None:
                run.child.kill()
            elif run.job is not None:
                run.job.cancel()
            if run.job is not None:
                jobs.append(run.job)
        if jobs:
            await asyncio.wait(jobs, timeout=CANCEL_GRACE_S)

    async def close(self) -> None:
        """Let go of threads and processes. Never raises."""
        self._threads.close()
        await self._processes.close()

    def _arm(self, run: Run) -> None:
        remaining_s = run.context.remaining_s
        if remaining_s is not None:
            run.timer = self._loop.call_later(remaining_s, self.stop, run, Outcome.TIMED_OUT)

    async def _await(self, run: Run) -> None:
        try:
            ending = await call_awaiting(run.function, run.spec.codec, run.payload, run.context)
        except asyncio.CancelledError:
            ending = self._stopped(run, Outcome.FAILED, "CancelledError: it cancelled itself")
        if run.verdict is Outcome.TIMED_OUT and ending.outcome is not Outcome.TIMED_OUT:
            ending = self._stopped(run, Outcome.TIMED_OUT, "")  # too late, whatever it was
        self._settle(run, ending)
        self._release(run)

    def _block(self, run: Run) -> None:
        """In a thread."""
        ending = call_blocking(run.function, run.spec.codec, run.payload, run.context)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker stopped without waiting for us
            self._loop.call_soon_threadsafe(self._end, run, ending)

    def _end(self, run: Run, ending: Ending) -> None:
        self._settle(run, ending)
        self._release(run)

    async def _delegate(self, run: Run) -> None:
        """Run a task in a process; the child is kept if it survives."""
        try:
            run.child = await self._processes.take()
            run.started_s = time.perf_counter()
            timeout_s = None if run.timeout_ms is None else run.timeout_ms / 1e3
            if timeout_s is not None:
                run.timer = self._loop.call_later(timeout_s, self.stop, run, Outcome.TIMED_OUT)
            about = (run.line.task_id, run.line.attempt, timeout_s, run.spec.traceparent)
            ending = await run.child.call(run.spec.type, run.spec.codec, run.payload, about)
        except (ChildDied, OSError) as error:
            ending = self._stopped(run, Outcome.FAILED, str(error))
            if run.child is not None:
                await run.child.end()
        except asyncio.CancelledError:
            ending = self._stopped(run, Outcome.FAILED, "CancelledError")
            if run.child is not None:
                await run.child.end()
        else:
            if run.verdict is Outcome.TIMED_OUT:  # it was killed while its answer was on the way
                await run.child.end()
            else:
                self._processes.give_back(run.child)
        self._settle(run, ending)
        self._release(run)

    def _stopped(self, run: Run, otherwise: Outcome, error: str) -> Ending:
        """The ending of a run that was told to stop, or ended as `otherwise` by itself."""
        run_ms = (time.perf_counter() - run.started_s) * 1e3
        if run.verdict is Outcome.TIMED_OUT:
            return Ending(Outcome.TIMED_OUT, run_ms, b"", f"ran longer than its {run.timeout_ms:g} ms")
        if run.verdict is Outcome.CANCELLED:
            return Ending(Outcome.CANCELLED, run_ms, b"", "cancelled while it ran")
        if run.verdict is Outcome.PREEMPTED:
            return Ending(Outcome.PREEMPTED, run_ms, b"", "gave way to a more urgent task")
        return Ending(otherwise, run_ms, b"", error)

    def _settle_stopped(self, run: Run) -> None:
        self._settle(run, self._stopped(run, Outcome.FAILED, ""))

    def _settle(self, run: Run, ending: Ending) -> None:
        if run.settled:
            return
        run.settled = True
        if run.timer is not None:
            run.timer.cancel()
        if run.verdict is Outcome.PREEMPTED and ending.outcome is Outcome.CANCELLED:
            ending = self._stopped(run, Outcome.PREEMPTED, "")  # the function cannot tell one stop from the other
        self._on_settled(run, ending)

    def _release(self, run: Run) -> None:
        if run.timer is not None:
            run.timer.cancel()
        self._runs.discard(run)
        self.occupied -= 1
        self._on_released()
