"""Who takes part: schedulers, workers and clients as processes that begin, end, die and come back.

Each has a loop and a link of its own. What runs in it is the product's: `Service`, `Worker`, `AsyncClient`. A process
that ends by itself, or is killed, is started again after a while, as a supervisor would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from nexus_sched.adapters.memory import MemoryLeaderStore, MemorySubmitterStore, MemoryWorkerStore
from nexus_sched.client.asynchronous import AsyncClient
from nexus_sched.errors import Fenced, StateLost, TaskFailed
from nexus_sched.runtime.service import Service, ServiceSettings
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.worker.load import Load
from nexus_sched.worker.log import Log
from nexus_sched.worker.service import Worker
from nexus_sched.worker.settings import WorkerSettings
from tests.shell.history import History
from tests.shell.laws import Laws
from tests.shell.link import Link
from tests.shell.party import PartyLoop
from tests.shell.plan import FAILS, Plan, TaskPlan
from tests.shell.programs import Passing, application, serve_client
from tests.shell.server import Server
from tests.shell.stores import LinkedLeaderStore, LinkedSubmitterStore, LinkedWorkerStore
from tests.shell.world import World

SCHEDULER, WORKER, CLIENT = "scheduler", "worker", "client"
REST_S = 0.3  # before a process that ended is started again
PATIENCE_S = 5.0


class Process:
    """One process of one party."""

    def __init__(self, world: World, server: Server, role: str, name: str, number: int) -> None:
        self.role = role
        self.name = name
        self.number = number
        self.title = f"{name}#{number}"
        self.loop = PartyLoop(world, self.title)
        self.link = Link(self.loop, server)
        self.alive = True
        self.leaving = False  # it was asked to end
        self.leave: Callable[[], None] = lambda: None


class Stage:
    """The whole world of one story."""

    def __init__(self, world: World, plan: Plan, tell: Callable[[str], None] | None = None) -> None:
        self.world = world
        self.plan = plan
        self.tasks: dict[str, TaskPlan] = {task.task_id: task for task in plan.tasks}
        self.server = Server(world)
        self.history = History()
        self.laws = Laws(self.server, self.history, self.tasks)
        self.processes: list[Process] = []
        self.concluded: set[str] = set()  # tasks whose clients have heard of their end
        self.restarting = 0  # processes that will be started again
        self.healing = False
        self.closing = False  # who ends now stays away
        self.state_lost = False  # a process may end because of it
        self.tell = tell
        self.server.watchers.append(self.laws.look)
        if tell is not None:
            self.server.watchers.append(self._trace)

    # -- beginning and ending

    def open(self) -> None:
        """Let everybody in."""
        for number in range(self.plan.schedulers):
            self.start(SCHEDULER, f"s{number}")
        for number in range(len(self.plan.slots)):
            self.start(WORKER, f"w{number}")
        for number in range(self.plan.clients):
            self.start(CLIENT, f"c{number}")

    def start(self, role: str, name: str) -> Process:
        """A new process."""
        process = Process(self.world, self.server, role, name, len(self.processes))
        self.processes.append(process)
        for other in self.alive(role):
            if other.name == name and other is not process:
                self.history.disturb(other.title, "shares its name")
                self.history.disturb(process.title, "shares its name")
        program = {SCHEDULER: self._schedule, WORKER: self._work, CLIENT: self._submit}[role]
        self.told(process.title, "starts")
        process.loop.call_soon(lambda: self._run(process, program(process)))
        return process

    def kill(self, process: Process, why: str = "killed") -> None:
        """It is gone between two of its steps."""
        if not process.alive:
            return
        self.history.disturb(process.title, why)
        process.alive = False
        process.loop.kill()
        process.link.close()
        self.told(process.title, f"is gone: {why}")
        self._start_again(process)

    def pause(self, process: Process, for_s: float) -> None:
        """It takes no step for a while."""
        if not process.alive or process.loop.paused:
            return
        self.history.disturb(process.title, "paused")
        process.loop.paused = True
        self.told(process.title, f"sleeps for {for_s:.3f} s")
        self.world.after(for_s, lambda: self.wake(process))

    def wake(self, process: Process) -> None:
        """It goes on where it was."""
        if process.loop.paused:
            process.loop.wake()
            self.told(process.title, "wakes")

    def ask_to_leave(self, process: Process) -> None:
        """SIGTERM."""
        if process.alive:
            process.leaving = True
            self.told(process.title, "is asked to end")
            process.loop.call_soon(process.leave)

    def alive(self, *roles: str) -> list[Process]:
        """Processes that live, paused or not."""
        return [each for each in self.processes if each.alive and (not roles or each.role in roles)]

    def _start_again(self, process: Process) -> None:
        name = process.name
        if process.role == WORKER and not self.plan.names_kept:
            name = f"{name.partition('.')[0]}.{len(self.processes)}"
        rest_s = REST_S if self.healing else self.world.random.uniform(0.0, 2.0)
        self.restarting += 1

        def start() -> None:
            self.restarting -= 1
            self.start(process.role, name)

        self.world.after(rest_s, start)

    def _run(self, process: Process, program: Coroutine[Any, Any, object]) -> None:
        task = process.loop.create_task(program)
        task.add_done_callback(lambda _: self._ended(process, task))

    def _ended(self, process: Process, task: asyncio.Task[object]) -> None:
        if not process.alive:
            return
        process.alive = False
        process.loop.kill()
        process.link.close()
        error = None if task.cancelled() else task.exception()
        self.told(process.title, f"has ended: {error!r}")
        if isinstance(error, StateLost) and self.state_lost:
            return
        if error is not None and not (isinstance(error, Fenced) and process.role == WORKER):
            self.laws.broken.append(f"{process.title} ended: {type(error).__name__}: {error}")
        elif error is not None:
            self.history.disturb(process.title, "gave up its name")
        replaced = any(each.role == WORKER and each.name == process.name for each in self.alive())
        if process.role != CLIENT and not self.closing and not replaced:
            self.history.disturb(process.title, "ended")
            self._start_again(process)

    # -- what they run

    async def _schedule(self, process: Process) -> None:
        plan, store = self.plan, LinkedLeaderStore(process.link, MemoryLeaderStore(self.server.shard))
        rhythm = plan.rhythm
        settings = ServiceSettings(
            owner=process.title, lease_ms=rhythm.lease_ms, suspect_ms=rhythm.suspect_ms, dead_ms=rhythm.dead_ms
        )
        is_dead = self._is_dead if plan.proofs else lambda _: False
        service = Service(store, settings, plan.settings, PREDICTORS, clock=process.loop, is_dead=is_dead)
        process.leave = service.stop
        await service.run()

    def _is_dead(self, owner: str) -> bool:
        return any(each.title == owner and not each.alive for each in self.processes)

    async def _work(self, process: Process) -> None:
        store = LinkedWorkerStore(process.link, MemoryWorkerStore(self.server.shard))
        rhythm = self.plan.rhythm
        settings = WorkerSettings(
            worker_id=process.name,
            slots=self.plan.slots[int(process.name.partition(".")[0][1:])],
            heartbeat_s=rhythm.heartbeat_s,
            reconcile_s=rhythm.reconcile_s,
            report_s=rhythm.reconcile_s,
            drain_timeout_s=3.0,
        )
        passing = Passing(self, process)
        worker = Worker(
            application(),
            store,
            settings,
            Log("error", process.name),
            clock_s=process.loop.time,
            executors=passing.made,
            look=Load,
        )
        process.leave = worker.drain
        await worker.run()

    async def _submit(self, process: Process) -> None:
        far = MemorySubmitterStore(self.server.shard, length_max=self.plan.length_max)
        store = LinkedSubmitterStore(process.link, far)
        client = AsyncClient(pool="simulated", store=store, patience_s=PATIENCE_S)
        mine = int(process.name[1:])
        plans = [plan for number, plan in enumerate(self.plan.tasks) if number % self.plan.clients == mine]
        await serve_client(self, process, client, plans)

    # -- what clients hear

    def check_result(self, plan: TaskPlan, value: object) -> None:
        """A result must be of a run that ended."""
        self.history.concluded["succeeded"] += 1
        ended = [
            [run.task_id, run.attempt, run.process]
            for run in self.history.ran(plan.task_id)
            if run.outcome == "succeeded"
        ]
        if value not in ended:
            self.laws.broken.append(f"the result of {plan.task_id} is {value}, and what ended is {ended}")

    def check_failure(self, plan: TaskPlan, error: TaskFailed) -> None:
        """A failure must have a reason in the plan, or in what was done to workers."""
        self.history.concluded[error.outcome] += 1
        task_id = plan.task_id
        claims = self.history.claims.get(task_id, set())
        hurt = not claims.isdisjoint(self.history.disturbed) or task_id in self.history.forgiven
        match error.outcome:
            case "cancelled":
                fair = plan.cancel_after_s is not None
            case "timed-out":
                fair = plan.timeout_s is not None and plan.run_s > plan.timeout_s
            case "failed":
                fair = plan.behaviour == FAILS
            case "dead":
                fair = hurt and error.reason in ("not-repeatable", "worker-killer", "attempts-exhausted")
                fair = fair or (plan.behaviour == FAILS and error.reason == "attempts-exhausted")
                fair = fair or (plan.retry.value == "any" and plan.timeout_s is not None)
            case _:
                fair = False
        if not fair:
            self.laws.broken.append(f"{task_id} ended as {error.outcome} ({error.reason}), and nothing tells why")

    # -- telling

    def told(self, who: str, what: str) -> None:
        """A line of the story, if anybody wants to read it."""
        if self.tell is not None:
            self.tell(f"{self.world.now_s:9.4f} {who:<8} {what}")

    def _trace(self, party: str, operation: str, args: tuple[Any, ...], answer: object) -> None:
        shown = () if operation == "write_frame" else args  # a frame holds durations of the machine that simulates
        self.told(party, f"{operation}{_short(shown)} -> {_short(answer)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}..."
