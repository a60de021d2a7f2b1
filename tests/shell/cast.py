"""Who takes part: schedulers, workers and clients as processes that begin, end, die and come back.

Each has a loop and a link of its own. What runs in it is the product's (`parts`). A process that ends by itself, or is
killed, is started again after a while, as a supervisor would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from nexus_sched.errors import Fenced, StateLost, TaskFailed
from nexus_sched.runtime.replica import Replica
from tests.shell.history import History
from tests.shell.laws import Laws
from tests.shell.link import Link
from tests.shell.parts import REST_S, schedule, submit, work
from tests.shell.party import PartyLoop
from tests.shell.plan import FAILS, Plan, TaskPlan
from tests.shell.server import Server
from tests.shell.world import World

SCHEDULER, WORKER, CLIENT = "scheduler", "worker", "client"
PROGRAMS = {SCHEDULER: schedule, WORKER: work, CLIENT: submit}


class Process:
    """One process of one party."""

    def __init__(self, world: World, server: Server, role: str, name: str, number: int, ways: int) -> None:
        self.role = role
        self.name = name
        self.number = number
        self.title = f"{name}#{number}"
        self.loop = PartyLoop(world, self.title)
        self.link = Link(self.loop, server, ways)
        self.alive = True
        self.leaving = False  # it was asked to end
        self.retired = False  # it does not come back
        self.replica: Replica | None = None  # what a scheduler of several shards runs
        self.leave: Callable[[], None] = lambda: None


class Stage:
    """The whole world of one story."""

    def __init__(self, world: World, plan: Plan, tell: Callable[[str], None] | None = None) -> None:
        self.world = world
        self.plan = plan
        self.tasks: dict[str, TaskPlan] = {task.task_id: task for task in plan.tasks}
        self.server = Server(world, plan.shards)
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
        if self.plan.sharing is None:
            self._schedule()
        else:
            self.world.after(self.plan.sharing.scheduled_at_s, self._schedule)
        for number in range(len(self.plan.slots)):
            self.start(WORKER, f"w{number}")
        for number in range(self.plan.clients):
            self.start(CLIENT, f"c{number}")

    def _schedule(self) -> None:
        for number in range(self.plan.schedulers):
            self.start(SCHEDULER, f"s{number}")

    def start(self, role: str, name: str) -> Process:
        """A new process."""
        ways = 1 if self.plan.sharing is None else 1 + self.plan.shards
        process = Process(self.world, self.server, role, name, len(self.processes), ways)
        self.processes.append(process)
        for other in self.alive(role):
            if other.name == name and other is not process:
                self.history.disturb(other.title, "shares its name")
                self.history.disturb(process.title, "shares its name")
        self.told(process.title, "starts")
        process.loop.call_soon(lambda: self._run(process, PROGRAMS[role](self, process)))
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
        if not self.closing:
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
        if process.role != CLIENT and not (self.closing or replaced or process.retired):
            self.history.disturb(process.title, "ended")
            self._start_again(process)

    def proof(self, owner: str) -> bool:
        """Whether the death of a process can be proven, and is."""
        return self.plan.proofs and any(each.title == owner and not each.alive for each in self.processes)

    # -- what clients hear

    def check_result(self, plan: TaskPlan, value: object) -> None:
        """A result must be of a run that ended, unless everything was lost between the record and the result."""
        self.history.concluded["succeeded"] += 1
        ended = [
            [run.task_id, run.attempt, run.process]
            for run in self.history.ran(plan.task_id)
            if run.outcome == "succeeded"
        ]
        if value not in ended and not (value is None and self.laws.flushed):
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

    def _trace(self, party: str, number: int | None, operation: str, args: tuple[Any, ...], answer: object) -> None:
        shown = () if operation == "write_frame" else args  # a frame holds durations of the machine that simulates
        where = "" if self.plan.sharing is None else f"[{'pool' if number is None else number}]"
        self.told(party, f"{operation}{where}{_short(shown)} -> {_short(answer)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}..."
