"""A worker at work: it runs what its inbox holds, and tells the store in one call per step.

Laws of this file:
  1. One step is under way at a time; what becomes ready meanwhile goes out together with the next one:
     completions, starts and heartbeat in one call. A start is only sent for a free slot.
  2. What the store says about a task is by level: `Ledger` knows what is here already, so reading the
     inbox again is always safe.
  3. A store that cannot be reached is asked again with back-off, for ever; running tasks go on meanwhile.
  4. Fenced means that the store gave this worker up, or that its name is used twice. It registers again
     and reports what it still runs under the new incarnation; the first completion wins in the store.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from nexus_sched.errors import Fenced, InvalidInput, StateLost, StoreAuthRefused, StoreError, StoreUnsuitable
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.payload import split_envelope
from nexus_sched.model.worker import WorkerReport, says_as_much
from nexus_sched.runtime.ports import InboxItem, StartLine, StepReply, WorkerStore
from nexus_sched.worker.app import App, canary
from nexus_sched.worker.calls import Ending, rejected
from nexus_sched.worker.completions import CANCELLED_UNSTARTED, PREEMPTED_UNSTARTED, completion, is_final
from nexus_sched.worker.execution import MakeExecutors
from nexus_sched.worker.executors import Executors, Run
from nexus_sched.worker.inbox import BACKOFF_S_MAX, BACKOFF_S_MIN, InboxReader
from nexus_sched.worker.ledger import PREEMPT, STOP, Key, Ledger
from nexus_sched.worker.load import Load, MachineLoad
from nexus_sched.worker.log import Log
from nexus_sched.worker.settings import WorkerSettings
from nexus_sched.worker.spans import ProcessSpans

STARTS_PER_STEP_MAX = 128
FENCED_COUNT_MAX = 5  # this often within the window below: the name is in use elsewhere
FENCED_WINDOW_BEATS = 10  # in heartbeats: a worker that was silent is given up after several of them
FAILURES_PER_LINE = 30  # of a store that refuses again and again, one line in so many
LEAVE_TIMEOUT_S = 2.0

_encode = msgspec.msgpack.Encoder().encode
# Waiting would not help: somebody has to change something first.
_HOPELESS = (StoreAuthRefused, StoreUnsuitable, StateLost)


class Worker:
    """One worker of one shard. Make it inside a running loop and `run` it once.

    `clock_s` is a clock that never jumps, and `executors` makes what runs the tasks.
    """

    def __init__(
        self,
        app: App,
        store: WorkerStore,
        settings: WorkerSettings,
        log: Log,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        executors: MakeExecutors = Executors,
        spans: ProcessSpans | None = None,
        look: Callable[[], Load] | None = None,
    ) -> None:
        self._clock_s = clock_s
        self._spans = spans
        self._functions = canary() | app.resolve()
        self._store = store
        self._settings = settings
        self._log = log
        self._ledger = Ledger()
        self._runs: dict[Key, Run] = {}
        self._incarnation = 0
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._draining = False
        self._beat_is_due = False
        self._stepped_at_s = 0.0
        self._reported: WorkerReport | None = WorkerReport()  # `None`: this incarnation has said nothing yet
        self._look = look or MachineLoad().look
        self._reported_at_s = 0.0
        # A store that is back hears of its workers before their silence would count as death.
        self._pause_s_max = min(BACKOFF_S_MAX, 2 * settings.heartbeat_s)
        self._failures_in_a_row = 0
        self._fenced_at_s: deque[float] = deque(maxlen=FENCED_COUNT_MAX)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._executors = executors(settings.slots, self._functions.values(), self._settled, self._wake.set)
        self._inbox = InboxReader(
            store, settings.worker_id, settings.reconcile_s, self._observe, self._ledger.keep_only, self._lost, clock_s
        )
        self.ready = asyncio.Event()  # registered for the first time

    # -- from outside

    async def run(self) -> int:
        """Serve until drained or stopped. Gives 0, or 1 if tasks were left unfinished.

        Raises a `StoreError` that waiting cannot cure, and `Fenced` if the worker's name is in use.
        """
        jobs = [asyncio.create_task(self._work()), asyncio.create_task(self._inbox_when_ready())]
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({*jobs, stop}, return_when=asyncio.FIRST_COMPLETED)
            for job in jobs:
                if job.done():
                    await job  # raises what it raised
            await _cancel(*jobs)
            return await self._finish()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            await _cancel(*jobs, stop)
            await self._executors.abandon()
            await self._executors.close()
            await self._store.close()

    def drain(self) -> None:
        """Start nothing new, finish what runs, then leave; after `drain_timeout_s` leave anyway."""
        if self._draining:
            return
        self._draining = self._beat_is_due = True
        self._log.info("draining", running=len(self._runs), timeout_s=self._settings.drain_timeout_s)
        if not self.ready.is_set():
            self.stop()
        self._timers["drain"] = asyncio.get_running_loop().call_later(self._settings.drain_timeout_s, self.stop)
        self._wake.set()

    def stop(self) -> None:
        """Leave at once; unfinished tasks go back to the queue."""
        self._stopping.set()

    # -- life

    async def _work(self) -> None:
        await self._retrying(self._store.open)
        await self._register()
        self._log.info("ready", slots=self._settings.slots, tasks=len(self._functions), incarnation=self._incarnation)
        self.ready.set()
        self._tick()
        while not (self._draining and not self._runs and not self._ledger.outbox):
            await self._step()

    async def _inbox_when_ready(self) -> None:
        await self.ready.wait()
        await self._inbox.run()

    async def _register(self) -> None:
        settings = self._settings
        blob = settings.offer()

        async def register() -> None:
            self._incarnation = await self._store.register(settings.worker_id, blob)

        await self._retrying(register)
        self._reported = None
        self._inbox.reconcile_soon()

    async def _finish(self) -> int:
        """Say the last things within a bounded time."""
        unfinished, ledger = len(self._runs), self._ledger
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                while lines := ledger.next_completions():
                    reply = await self._store.step(self._settings.worker_id, self._incarnation, b"", lines, [])
                    ledger.receipted(lines, reply.receipts, self._clock_s())
                if self._incarnation:
                    await self._store.leave(self._settings.worker_id, self._incarnation)
        except (StoreError, TimeoutError) as error:
            self._log.warning("left without a good-bye", error=str(error), unreported=len(ledger.outbox))
        unfinished += len(ledger.outbox)
        self._log.info("stopped", unfinished=unfinished)
        return 1 if unfinished else 0

    def _tick(self) -> None:
        """Twice per heartbeat: make a step due if there was none."""
        if self._clock_s() - self._stepped_at_s >= 0.75 * self._settings.heartbeat_s:
            self._beat_is_due = True
            self._wake.set()
        self._timers["tick"] = asyncio.get_running_loop().call_later(self._settings.heartbeat_s / 2, self._tick)

    # -- the one call

    async def _step(self) -> None:
        """Send what is ready and take up what comes back; wait first if nothing is."""
        ledger = self._ledger
        free = 0 if self._draining else self._settings.slots - self._executors.occupied
        starts = ledger.claim(min(free, STARTS_PER_STEP_MAX))
        lines = ledger.next_completions()
        if not (starts or lines or self._beat_is_due or ledger.acknowledgements):
            self._wake.clear()
            await self._wake.wait()
            return
        controls = list(ledger.acknowledgements.values())[:STARTS_PER_STEP_MAX]
        self._beat_is_due = False
        try:
            reply = await self._store.step(
                self._settings.worker_id, self._incarnation, self._report(), lines, [*starts, *controls]
            )
        except Fenced:
            ledger.unclaim()
            await self._fenced()
        except StoreError as error:
            ledger.unclaim()
            await self._recover(error)
        else:
            self._failures_in_a_row = 0
            now_s = self._stepped_at_s = self._clock_s()
            ledger.receipted(lines, reply.receipts, now_s)
            ledger.expire(now_s - self._settings.remember_s)
            self._take_up(starts, controls, reply, now_s)
            if starts:
                # One turn of the loop: what ends at once, or has just come in, goes out in the next call.
                await asyncio.sleep(0)

    def _report(self) -> bytes:
        """A capacity report if it is time for one, else nothing."""
        now_s = self._clock_s()
        told_of_drain = self._reported is not None and self._reported.draining
        if now_s - self._reported_at_s < self._settings.report_s and self._draining == told_of_drain:
            return b""
        cpu, memory, network_bytes_s = self._look()
        report = WorkerReport(
            draining=self._draining,
            running=len(self._runs),
            queued=len(self._ledger.waiting),
            cpu=cpu,
            memory=memory,
            network_bytes_s=network_bytes_s,
            shared=not self._settings.alone,
        )
        if self._reported is not None and says_as_much(report, self._reported):
            return b""
        self._reported, self._reported_at_s = report, now_s
        return _encode(report)

    def _take_up(self, starts: list[StartLine], controls: list[StartLine], reply: StepReply, now_s: float) -> None:
        ledger, envelopes = self._ledger, reply.envelopes
        for line, envelope in zip(starts, envelopes, strict=False):
            seen_at_s = ledger.began(line)
            if envelope is None:  # it has been taken back, or ended elsewhere
                ledger.stop_is_moot((line.task_id, line.attempt))
            else:
                self._begin(line, envelope, (now_s - seen_at_s) * 1e3)
        for line, envelope in zip(controls, envelopes[len(starts) :], strict=True):
            ledger.acknowledgements.pop(line.inbox_entry, None)
            key = (line.task_id, line.attempt)
            if envelope is not None and key not in ledger.outbox and key not in self._runs:
                # It was to be stopped before its own entry had come in, and so was claimed just now.
                self._end_unstarted(line, STOP)

    # -- tasks

    def _begin(self, line: StartLine, envelope: bytes, queue_ms: float) -> None:
        """Run one started task, or end it at once if that cannot be."""
        key = (line.task_id, line.attempt)
        if control := self._ledger.stopped_by(key):
            self._end_unstarted(line, control, queue_ms)
            return
        try:
            spec, payload = split_envelope(envelope)
        except InvalidInput as error:
            self._end(line, rejected(str(error)), queue_ms)
            return
        function = self._functions.get(spec.type)
        if function is None:
            self._end(line, rejected(f"this worker has no task {spec.type}"), queue_ms)
            return
        run = Run(line, queue_ms, function, spec, payload)
        self._runs[key] = run
        self._ledger.running[line.task_id] = key
        self._executors.start(run)

    def _settled(self, run: Run, ending: Ending) -> None:
        line = run.line
        if self._spans is not None:
            self._spans.ended(run, ending)
        del self._runs[(line.task_id, line.attempt)]
        self._end(line, ending, run.queue_ms, is_final(ending.outcome, line.attempt, run.spec, run.function))

    def _end(self, line: StartLine, ending: Ending, queue_ms: float = 0.0, final: bool = True) -> None:
        self._ledger.ended(completion(line, ending, queue_ms, final))
        self._wake.set()

    def _end_unstarted(self, line: StartLine, control: str, queue_ms: float = 0.0) -> None:
        if control == PREEMPT:
            self._end(line, PREEMPTED_UNSTARTED, queue_ms, final=False)
        else:
            self._end(line, CANCELLED_UNSTARTED, queue_ms)

    def _observe(self, items: list[InboxItem]) -> None:
        for key, control in self._ledger.observe(items, self._clock_s()):
            run = self._runs.get(key)
            if run is not None:
                self._executors.stop(run, Outcome.PREEMPTED if control == PREEMPT else Outcome.CANCELLED)
            elif (item := self._ledger.drop_waiting(key)) is not None:
                self._end_unstarted(StartLine(item.task_id, item.attempt, item.entry), control)
        self._wake.set()

    # -- when the world breaks

    async def _recover(self, error: StoreError) -> None:
        """Wait until the store answers again; then tell it what it may have forgotten."""
        self._failures_in_a_row += 1
        if self._failures_in_a_row % FAILURES_PER_LINE == 1:
            self._log.warning("store does not answer", code=error.code, error=str(error), running=len(self._runs))
        await asyncio.sleep(min(BACKOFF_S_MIN * 2 ** min(self._failures_in_a_row - 1, 8), self._pause_s_max))
        self._reported = None

        async def beat() -> None:
            await self._store.step(self._settings.worker_id, self._incarnation, b"", [], [])

        try:
            await self._retrying(beat, told=error.code)
        except Fenced:
            await self._fenced()
        self._ledger.replay()
        self._inbox.reconcile_soon()
        if self._failures_in_a_row % FAILURES_PER_LINE == 1:
            self._log.info("store answers again")

    def _lost(self) -> None:
        """The inbox's connection was lost; the other one may not have been in use, and so not have noticed."""
        self._ledger.replay()
        self._wake.set()

    async def _fenced(self) -> None:
        """Register again; raises `Fenced` if that is needed again and again."""
        now_s = self._clock_s()
        self._fenced_at_s.append(now_s)
        window_s = FENCED_WINDOW_BEATS * self._settings.heartbeat_s
        if len(self._fenced_at_s) == FENCED_COUNT_MAX and now_s - self._fenced_at_s[0] < window_s:
            raise Fenced(f"worker {self._settings.worker_id} is registered elsewhere again and again: use another name")
        self._log.warning("given up by the store, registering again", running=len(self._runs))
        await self._register()

    async def _retrying(self, call: Callable[[], Awaitable[None]], told: str = "") -> None:
        """Call until the store takes it; raises `Fenced` and what waiting cannot cure."""
        pause_s = BACKOFF_S_MIN
        while True:
            try:
                return await call()
            except (Fenced, *_HOPELESS):
                raise
            except StoreError as error:
                if error.code != told:
                    told = error.code
                    self._log.warning("waiting for the store", code=error.code, error=str(error))
            await asyncio.sleep(pause_s * (0.5 + random.random()))
            pause_s = min(2 * pause_s, self._pause_s_max)


async def _cancel(*jobs: asyncio.Task[object]) -> None:
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
