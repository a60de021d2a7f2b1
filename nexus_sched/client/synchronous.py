"""The client for programs without asyncio: the same calls, on an event loop in a thread of its own.

Usable from any number of threads. The thread is a daemon and is ended at exit, closed or not.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import weakref
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from nexus_sched.client.asynchronous import ANSWER_WAIT_S, ETA_WAIT_S, PATIENCE_S_DEFAULT, AsyncClient
from nexus_sched.client.estimate import Estimate
from nexus_sched.client.submission import Submission
from nexus_sched.errors import NexusError
from nexus_sched.model.explanation import Explanation
from nexus_sched.model.frame import Frame
from nexus_sched.model.question import Question
from nexus_sched.runtime.ports import DeadLetter, Redrive, SubmitterStore

Value = TypeVar("Value")

CLOSE_TIMEOUT_S = 5.0


class ClientClosed(NexusError):
    """A call on a client that has been closed."""

    code = "CLIENT_CLOSED"


class TaskHandle:
    """One submitted task."""

    __slots__ = ("_client", "eta", "id")

    def __init__(self, client: Client, task_id: str, eta: Estimate | None = None) -> None:
        self._client = client
        self.id = task_id
        self.eta = eta  # as it was told at submission, with `eta=True`; `None` if nothing was told in time

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def result(self, timeout: str | float | None = None) -> Any:
        """Wait for the end; see `Client.result`."""
        return self._client.result(self.id, timeout)

    def state(self) -> str:
        """Where it stands; see `Client.state`."""
        return self._client.state(self.id)

    def ask_eta(self) -> Estimate | None:
        """When it will start and finish as of now; see `AsyncClient.eta`."""
        return self._client.eta(self.id)

    def cancel(self) -> None:
        """Ask for its end; see `Client.cancel`."""
        self._client.cancel(self.id)


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nexus-client", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Value], timeout_s: float | None = None) -> Value:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()  # nothing happens if it is done; an interrupted wait must not go on alone
            raise

    def is_current(self) -> bool:
        """Whether this is the loop's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()


class Client:
    """Submits tasks to a pool and waits for their results, without asyncio; see `AsyncClient`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        pool: str | None = None,
        shard: int | None = None,
        patience_s: float = PATIENCE_S_DEFAULT,
        store: SubmitterStore | None = None,
    ) -> None:
        self._loop = _Loop()
        self._client = self._loop.call(_make(url, pool, shard, patience_s, store))
        self._is_closed = False
        # The registered function must not keep the client alive for ever.
        this = weakref.ref(self)
        self._at_exit = lambda: client.close() if (client := this()) is not None else None
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Let go of all connections; submitted tasks go on. Never raises."""
        if self._is_closed:
            return
        self._is_closed = True
        atexit.unregister(self._at_exit)
        with contextlib.suppress(Exception):  # nothing that goes wrong now is of use to anybody
            self._loop.call(self._client.close(), CLOSE_TIMEOUT_S)
        self._loop.close()

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True) and not self._loop.is_current():
            self.close()

    def __enter__(self) -> Self:
        self._call(self._client.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, task_type: str, *args: object, **options: Any) -> TaskHandle:
        """Submit one task; see `AsyncClient.submit`."""
        handle = self._call(self._client.submit(task_type, *args, **options))
        return TaskHandle(self, handle.id, handle.eta)

    def submit_many(self, submissions: Iterable[Submission]) -> list[TaskHandle]:
        """Submit many tasks; see `AsyncClient.submit_many`."""
        return [TaskHandle(self, handle.id) for handle in self._call(self._client.submit_many(list(submissions)))]

    def result(self, task_id: str, timeout: str | float | None = None) -> Any:
        """Wait for the end of a task and return its result; see `AsyncClient.result`."""
        return self._call(self._client.result(task_id, timeout))

    def state(self, task_id: str) -> str:
        """Where a task stands; see `AsyncClient.state`."""
        return self._call(self._client.state(task_id))

    def cancel(self, task_id: str) -> None:
        """Ask for the end of a task; see `AsyncClient.cancel`."""
        self._call(self._client.cancel(task_id))

    def eta(self, task_id: str, timeout: str | float = ETA_WAIT_S) -> Estimate | None:
        """When a task will start and finish, as of now; see `AsyncClient.eta`."""
        return self._call(self._client.eta(task_id, timeout))

    def ask(self, question: Question, timeout: str | float = ANSWER_WAIT_S) -> dict[str, Any]:
        """Ask the scheduler what only it knows; see `AsyncClient.ask`."""
        return self._call(self._client.ask(question, timeout))

    def dead_letters(
        self, limit: int = 100, *, reason: str | None = None, task_type: str | None = None
    ) -> list[DeadLetter]:
        """Tasks that will not run again; see `AsyncClient.dead_letters`."""
        return self._call(self._client.dead_letters(limit, reason=reason, task_type=task_type))

    def redrive(self, letters: Iterable[DeadLetter], reason: str, actor: str = "") -> list[Redrive]:
        """Send dead tasks again; see `AsyncClient.redrive`."""
        return self._call(self._client.redrive(list(letters), reason, actor))

    def purge(self, letters: Iterable[DeadLetter], reason: str, actor: str = "") -> list[bool]:
        """Remove dead tasks for good; see `AsyncClient.purge`."""
        return self._call(self._client.purge(list(letters), reason, actor))

    def explain(self, task_id: str, why_not: str = "", timeout: str | float = ANSWER_WAIT_S) -> Explanation:
        """Why a task is where it is; see `AsyncClient.explain`."""
        return self._call(self._client.explain(task_id, why_not, timeout))

    def status(self) -> Frame | None:
        """The scheduler's newest picture of itself; see `AsyncClient.status`."""
        return self._call(self._client.status())

    def _call(self, coroutine: Coroutine[Any, Any, Value]) -> Value:
        if self._is_closed:
            coroutine.close()
            raise ClientClosed("this client is closed")
        return self._loop.call(coroutine)


async def _make(
    url: str | None, pool: str | None, shard: int | None, patience_s: float, store: SubmitterStore | None
) -> AsyncClient:
    return AsyncClient(url, pool=pool, shard=shard, patience_s=patience_s, store=store)
