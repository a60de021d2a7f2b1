"""What the parties do that the product leaves to its users: functions that take time, and a client with tasks to run.

A run takes virtual time, fails, or kills its worker, as its plan says. A client submits until it knows that a task is
in the queue, waits for the end, and holds what it hears against what was run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from nexus_sched.client.asynchronous import AsyncClient
from nexus_sched.errors import QueueFull, StoreError, TaskFailed, TaskUnknown
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.payload import encode_result
from nexus_sched.worker.app import App
from nexus_sched.worker.calls import Ending
from nexus_sched.worker.executors import Run
from nexus_sched.worker.functions import TaskFunction
from tests.shell.history import Execution
from tests.shell.plan import FAILS, POISON, TASK_TYPES, TaskPlan

if TYPE_CHECKING:
    from tests.shell.cast import Process, Stage

AGAIN_S = 0.2
DEAD = "dead"


def application() -> App:
    """The functions that workers offer; `Passing` stands in for what they would do."""
    app = App()
    for task_type in TASK_TYPES:
        app.task(task_type)(_never_entered)
    return app


async def _never_entered() -> None:
    raise AssertionError("time passes instead")


class Passing:
    """`worker.execution.Execution` that only lets time pass."""

    def __init__(self, stage: Stage, process: Process) -> None:
        self.occupied = 0
        self._stage = stage
        self._process = process
        self._settled: Callable[[Run, Ending], None]
        self._released: Callable[[], None]
        self._timers: dict[Run, asyncio.TimerHandle] = {}

    def made(
        self,
        slots: int,
        functions: Iterable[TaskFunction],
        settled: Callable[[Run, Ending], None],
        released: Callable[[], None],
    ) -> Passing:
        """As `MakeExecutors`."""
        self._settled, self._released = settled, released
        return self

    def start(self, run: Run) -> None:
        """Occupy a slot and begin."""
        self.occupied += 1
        process, stage = self._process, self._stage
        plan = stage.tasks[run.line.task_id]
        execution = Execution(plan.task_id, run.line.attempt, process.title, process.name, stage.world.now_s)
        stage.laws.began(execution)
        stage.told(process.title, f"runs {plan.task_id}/{run.line.attempt}")
        run.job = None
        self._begin(run, plan, execution)

    def _begin(self, run: Run, plan: TaskPlan, execution: Execution) -> None:
        process = self._process
        if plan.behaviour == POISON:
            self._stage.world.after(plan.run_s, lambda: self._stage.kill(process, "poison"))
            return
        run_s, outcome = plan.run_s, Outcome.SUCCEEDED
        if plan.behaviour == FAILS and run.line.attempt <= plan.failures:
            outcome = Outcome.FAILED
        if run.timeout_ms is not None and run_s * 1e3 > run.timeout_ms:
            run_s, outcome = run.timeout_ms / 1e3, Outcome.TIMED_OUT
        self._timers[run] = process.loop.call_later(run_s, self._end, run, execution, outcome)

    def _end(self, run: Run, execution: Execution, outcome: Outcome) -> None:
        del self._timers[run]
        now_s = self._stage.world.now_s
        execution.ended_s, execution.outcome = now_s, outcome.value
        result = b""
        if outcome is Outcome.SUCCEEDED:
            result = encode_result([execution.task_id, execution.attempt, execution.process])
        run.settled = True
        self._settled(run, Ending(outcome, (now_s - execution.began_s) * 1e3, result, "" if result else outcome.value))
        self.occupied -= 1
        self._released()

    def stop(self, run: Run, verdict: Outcome) -> None:
        """End a run early."""
        timer = self._timers.get(run)
        if timer is None or run.verdict is not None:
            return
        run.verdict = verdict
        _, execution, _ = timer._args
        timer.cancel()
        self._timers[run] = self._process.loop.call_later(0.0, self._end, run, execution, verdict)

    async def abandon(self) -> None:
        """End everything without a word."""
        for timer in self._timers.values():
            timer.cancel()

    async def close(self) -> None:
        """Nothing to let go of."""


async def serve_client(
    stage: Stage, process: Process, client: AsyncClient, own: Iterable[TaskPlan], others: Iterable[TaskPlan]
) -> None:
    """Submit a client's own tasks and hear of their ends, and submit others once more.

    What was done to its own before a crash is not done again.
    """
    await asyncio.gather(
        *(_Errand(stage, process, client, plan).run() for plan in own),
        *(_Errand(stage, process, client, plan).repeat() for plan in others),
    )
    await client.close()


class _Errand:
    """One task, from its client's side."""

    def __init__(self, stage: Stage, process: Process, client: AsyncClient, plan: TaskPlan) -> None:
        self._stage = stage
        self._process = process
        self._client = client
        self._plan = plan

    async def run(self) -> None:
        stage, plan = self._stage, self._plan
        await asyncio.sleep(plan.submit_at_s - stage.world.now_s)
        while plan.task_id not in stage.concluded:
            if plan.task_id not in stage.history.acknowledged:
                await self._until_done(self._submit)
                stage.history.acknowledged.setdefault(plan.task_id, stage.world.now_s)
                stage.told(self._process.title, f"knows that {plan.task_id} is in the queue")
                if plan.cancel_after_s is not None:
                    await asyncio.sleep(plan.cancel_after_s)
                    await self._until_done(lambda: self._client.cancel(plan.task_id))
            if await self._hear():
                stage.concluded.add(plan.task_id)

    async def repeat(self) -> None:
        """Submit a task that another client submits as well, whoever comes first."""
        plan = self._plan
        await asyncio.sleep((plan.again_at_s or 0.0) - self._stage.world.now_s)
        await self._until_done(self._submit)

    async def _until_done(self, act: Callable[[], Any]) -> Any:
        while True:
            try:
                return await act()
            except (StoreError, QueueFull) as error:
                self._stage.told(self._process.title, f"{self._plan.task_id}: {error.code}")
                await asyncio.sleep(AGAIN_S)

    async def _submit(self) -> None:
        plan = self._plan
        await self._client.submit(
            plan.task_type,
            task_id=plan.task_id,
            priority=plan.priority,
            retry=plan.retry,
            max_attempts=plan.attempts_max,
            timeout=plan.timeout_s,
            eta=plan.eta,
            **({"idempotent": True} if plan.idempotent else {}),
        )

    async def _hear(self) -> bool:
        """Wait for the end; `False` if the task has to be submitted or waited for anew."""
        stage, plan = self._stage, self._plan
        try:
            value = await self._until_done(lambda: self._client.result(plan.task_id))
        except TaskUnknown:
            if plan.task_id not in stage.history.forgiven:
                stage.laws.broken.append(f"{plan.task_id} was acknowledged, and its client hears that it is unknown")
                return True
            stage.history.acknowledged.pop(plan.task_id)  # the store went back behind it: submit it again
            return False
        except TaskFailed as error:
            return await self._hear_failure(error)
        stage.check_result(plan, value)
        return True

    async def _hear_failure(self, error: TaskFailed) -> bool:
        stage, plan = self._stage, self._plan
        stage.told(self._process.title, f"hears that {plan.task_id} failed: {error}")
        if error.outcome != DEAD or not plan.redrive or plan.task_id in stage.history.redriven:
            stage.check_failure(plan, error)
            return True
        letters = [
            each
            for each in await self._until_done(lambda: self._client.dead_letters(1_000))
            if each.task_id == plan.task_id
        ]
        stage.history.redriven.add(plan.task_id)
        await self._until_done(lambda: self._client.redrive(letters, "again"))
        return not letters
