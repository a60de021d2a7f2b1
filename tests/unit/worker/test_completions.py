"""Whether a run decides its task."""

from __future__ import annotations

import pytest

from nexus_sched.model.outcome import Outcome
from nexus_sched.model.task import Retry, TaskSpec
from nexus_sched.worker.app import App
from nexus_sched.worker.completions import is_final


def function():
    app = App()

    @app.task
    def work() -> None:
        pass

    return app.resolve()["work"]


@pytest.mark.parametrize(
    ("attempt", "former", "final"),
    [(2, 0, False), (3, 0, True), (4, 0, True), (4, 3, False), (5, 3, False), (6, 3, True)],
)
def test_failing_task_that_was_sent_again_has_all_attempts_before_it(attempt: int, former: int, final: bool):
    spec = TaskSpec(type="work", retry=Retry.ANY, max_attempts=3, former_attempts=former)
    assert is_final(Outcome.FAILED, attempt, spec, function()) is final
