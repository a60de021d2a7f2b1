"""How far the demonstration is, on standard error: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LINE_PERIOD_S = 5.0


class ProgressDisplay:
    """Shows one phase after the other. Use as a context manager, so that the terminal is left tidy."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._shown: TaskID | None = None
        self._phase = ""
        self._phase_began_s = 0.0
        self._line_at_s = 0.0
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<12}"),
                BarColumn(),
                TextColumn("{task.fields[state]}"),
                TimeElapsedColumn(),
                console=console,
            )

    def __enter__(self) -> ProgressDisplay:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, phase: str, total: int) -> None:
        """A new phase, of `total` steps."""
        self._phase, self._phase_began_s = phase, time.monotonic()
        if self._bar is not None:
            self._shown = self._bar.add_task(phase, total=total, state="")
        else:
            self._console.print(f"{phase} ...", highlight=False)
            self._line_at_s = self._phase_began_s + LINE_PERIOD_S

    def update(self, done: int, state: str) -> None:
        """`done` steps of the phase are done; `state` says more. Call it as often as you like."""
        now_s = time.monotonic()
        if self._bar is not None and self._shown is not None:
            self._bar.update(self._shown, completed=done, state=state)
        elif now_s >= self._line_at_s:
            self._line_at_s = now_s + LINE_PERIOD_S
            self._console.print(f"{self._phase}: {state}, {now_s - self._phase_began_s:.0f} s", highlight=False)

    def say(self, text: str) -> None:
        """A line of its own."""
        (self._console if self._bar is None else self._bar.console).print(
            text, highlight=False, markup=False, soft_wrap=True
        )

    def end(self, state: str) -> None:
        """The phase is over."""
        if self._bar is not None and self._shown is not None:
            total = self._bar.tasks[self._bar.task_ids.index(self._shown)].total
            self._bar.update(self._shown, completed=total, state=state)
            self._bar.stop_task(self._shown)
        else:
            spent_s = time.monotonic() - self._phase_began_s
            self._console.print(f"{self._phase}: {state}, {spent_s:.1f} s", highlight=False)
