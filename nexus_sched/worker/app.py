"""The functions a worker offers: `app = App()`, then `@app.task` on each of them.

The decorated function is returned as it was, so it can still be called, tested and imported. Nothing
connects and nothing runs before a worker serves the app.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from nexus_sched.errors import InvalidInput
from nexus_sched.model.choices import retry_of, span_ms
from nexus_sched.model.ids import check_task_type
from nexus_sched.model.task import ATTEMPTS_MAX, CANARY_TYPE, Retry
from nexus_sched.worker.functions import RunIn, TaskFunction

Function = TypeVar("Function", bound=Callable[..., Any])


class App:
    """A set of task functions, each under its task type."""

    def __init__(self) -> None:
        self._functions: dict[str, TaskFunction] = {}

    @overload
    def task(self, function: Function, /) -> Function: ...

    @overload
    def task(
        self,
        name: str | None = None,
        /,
        *,
        timeout: str | float | None = None,
        retry: str | Retry | None = None,
        max_attempts: int | None = None,
        run_in: RunIn | None = None,
    ) -> Callable[[Function], Function]: ...

    def task(
        self,
        name: Any = None,
        /,
        *,
        timeout: str | float | None = None,
        retry: str | Retry | None = None,
        max_attempts: int | None = None,
        run_in: RunIn | None = None,
    ) -> Any:
        """Register a function as the task type `name`, by default the function's own name.

        Parameters
        ----------
        timeout
            `"30s"` or seconds; ends a run if the submitter set no time-out of its own.
        retry
            `"never"`, `"lost"` or `"any"`: applies to tasks whose submitter did not choose.
        max_attempts
            Starts, the first included. The lower of this and the submitter's number holds.
        run_in
            `"loop"` for asynchronous functions, `"thread"` (the default) or `"process"` for blocking
            ones. Only what runs in a process can be ended by force.

        Raises `InvalidInput` for a setting out of bounds or a name that is taken.
        """
        if callable(name):
            self._add(name, None, timeout, retry, max_attempts, run_in)
            return name

        def register(function: Function) -> Function:
            self._add(function, name, timeout, retry, max_attempts, run_in)
            return function

        return register

    def _add(
        self,
        function: Callable[..., Any],
        name: str | None,
        timeout: str | float | None,
        retry: str | Retry | None,
        max_attempts: int | None,
        run_in: RunIn | None,
    ) -> None:
        task_type = check_task_type(function.__name__ if name is None else name)
        if task_type in self._functions:
            raise InvalidInput(f"task {task_type} is registered twice")
        if max_attempts is not None and not 1 <= max_attempts <= ATTEMPTS_MAX:
            raise InvalidInput(f"task {task_type}: max_attempts is {max_attempts}, allowed are 1 to {ATTEMPTS_MAX}")
        self._functions[task_type] = TaskFunction(
            task_type,
            function,
            _place(task_type, function, run_in),
            None if timeout is None else span_ms(timeout),
            None if retry is None else retry_of(retry),
            max_attempts,
        )

    def resolve(self) -> dict[str, TaskFunction]:
        """All functions by task type, ready to be called; raises `InvalidInput` if there are none."""
        if not self._functions:
            raise InvalidInput("the app has no tasks: decorate a function with @app.task")
        for function in self._functions.values():
            function.resolve()
            if function.run_in == "process":
                _check_importable(function)
        return dict(self._functions)


async def _canary() -> None:
    """No work."""


def canary() -> dict[str, TaskFunction]:
    """What a gateway sends through every stage to see whether it comes out; every worker serves it."""
    function = TaskFunction(CANARY_TYPE, _canary, "loop")
    function.resolve()
    return {CANARY_TYPE: function}


def _place(task_type: str, function: Callable[..., Any], run_in: RunIn | None) -> RunIn:
    """Where a function runs; only asynchronous ones run on the loop, and only there."""
    if inspect.iscoroutinefunction(function):
        if run_in not in (None, "loop"):
            raise InvalidInput(f"task {task_type} is asynchronous: it runs on the loop, not in a {run_in}")
        return "loop"
    if run_in not in (None, "thread", "process"):
        raise InvalidInput(f"task {task_type} is a blocking function: run_in is thread or process, not {run_in}")
    return run_in or "thread"


def _check_importable(function: TaskFunction) -> None:
    """A child process imports the function by its name."""
    module, qualified = function.call.__module__, function.call.__qualname__
    if module == "__main__" or "<" in qualified:
        raise InvalidInput(
            f"task {function.name} runs in a process, so it must be importable: "
            f"{module}.{qualified} is not; move it to the top of a module"
        )
