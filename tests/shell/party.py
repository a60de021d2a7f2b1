"""The event loop of one party: a process that can be killed or paused between any two of its steps.

Laws: a killed party takes no further step, not even to clean up. A paused one takes none until it wakes; its clock has
gone on meanwhile, and everything that was due then happens at once, as after SIGSTOP and SIGCONT.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from tests.shell.world import World

EPOCH_NS = 1_700_000_000 * 10**9
BURIAL_ROUNDS = 8


class PartyLoop(asyncio.AbstractEventLoop):
    """What asyncio needs of a loop, on the time of a world."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.killed = False
        self.paused = False
        self.wall_jump_ns = 0
        self.steps = 0
        self._fuse = 0  # the step before which it is killed, 0: none
        self._on_fuse: Callable[[], None] = lambda: None
        self._held: list[asyncio.Handle] = []
        self._left: set[asyncio.Task[Any]] = set()  # of a killed party: kept, for nobody may unwind them yet

    # -- what may happen to it

    def admits(self, handle: asyncio.Handle) -> bool:
        """Whether this step may be taken now."""
        if not (self.killed or self.paused):
            self.steps += 1
            if self.steps == self._fuse:
                self._on_fuse()
        if self.killed or self.paused:  # of a killed party: kept for its burial
            self._held.append(handle)
            return False
        return True

    def light(self, steps: int, burnt: Callable[[], None]) -> None:
        """Call `burnt` right before the step after so many more."""
        self._fuse, self._on_fuse = self.steps + 1 + steps, burnt

    def kill(self) -> None:
        """No further step."""
        self.killed = True
        self._left = asyncio.all_tasks(self)

    def wake(self) -> None:
        """End a pause."""
        self.paused = False
        held, self._held = self._held, []
        for handle in held:
            self.world.soon(handle)

    def bury(self) -> None:
        """After the end of the story: unwind what was left, so that nothing is said about it later."""
        self.killed = self.paused = False
        self._fuse = 0
        self.wake()
        for _ in range(BURIAL_ROUNDS):
            left = asyncio.all_tasks(self)
            if not left:
                break
            for task in sorted(left, key=_birth):
                task.cancel()
            self.world.settle()
        self._left.clear()

    # -- clocks (`runtime.clock.Clock`)

    def wall_ns(self) -> int:
        """What people take for the time; may jump."""
        return EPOCH_NS + round(self.world.now_s * 1e9) + self.wall_jump_ns

    def monotonic_s(self) -> float:
        """Seconds that only go forward."""
        return self.world.now_s

    # -- what asyncio asks of a loop

    def time(self) -> float:
        return self.world.now_s

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.world.soon(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.world.at(when, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.world.now_s + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Threads would not repeat themselves: it is done here and now."""
        future = self.create_future()
        future.set_result(func(*args))
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.world.defects.append(f"{self.name}: {context['message']}: {type(error).__name__}: {error}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays where it is until it is due, and then nothing happens."""


def _birth(task: asyncio.Task[Any]) -> tuple[int, str]:
    """Orders tasks as they were begun; a set of them has the order of addresses, which no two processes share."""
    return len(task.get_name()), task.get_name()
