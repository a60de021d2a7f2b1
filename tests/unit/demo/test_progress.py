"""Progress: a bar in a terminal, few plain lines elsewhere, never a control character into a file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nexus_sched.demo import progress
from nexus_sched.demo.progress import ProgressDisplay


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def test_progress_into_a_file_is_a_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    output = io.StringIO()
    with ProgressDisplay(Console(file=output)) as display:
        display.begin("round robin", 10)
        for done in range(100):
            clock.now_s += 0.12
            display.update(done, f"{done} finished")
        display.end("all finished")
    assert output.getvalue().splitlines() == [
        "round robin ...",
        "round robin: 41 finished, 5 s",
        "round robin: 83 finished, 10 s",
        "round robin: all finished, 12.0 s",
    ]


def test_progress_in_a_terminal_is_a_bar_for_each_phase() -> None:
    output = io.StringIO()
    with ProgressDisplay(Console(file=output, force_terminal=True, width=100)) as display:
        for phase in ("round robin", "predictive"):
            display.begin(phase, 10)
            display.update(5, "5 finished, 2 waiting")
            display.end("10 of 10 finished")
    text = output.getvalue()
    assert "round robin" in text
    assert "predictive" in text
    assert text.count("10 of 10 finished") >= 2
