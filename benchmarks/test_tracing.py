"""What a task costs the scheduler whose trace is not sampled, or that has none: the look of `runtime.inputs`."""

from __future__ import annotations

import pytest

from nexus_sched.model.trace import SAMPLED_DIGITS, sampled

TASKS = 1_000
UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


@pytest.mark.parametrize("traceparent", [None, UNSAMPLED], ids=["without", "unsampled"])
def test_look_at_1000_contexts(benchmark, traceparent: str | None):
    contexts = [traceparent] * TASKS

    def look() -> None:
        for context in contexts:
            _ = context is not None and context[-1:] in SAMPLED_DIGITS and sampled(context)

    benchmark(look)
