"""What is to be reached on the recorded traces, share within 25 % with delayed feedback.

The figures: a moving average by type (baseline), what is known to be reachable, and the goal. `None` where none is
set: those traces test honest intervals instead.
"""

from __future__ import annotations

from msgspec import Struct

INTERVAL_80_MIN = 0.77  # share of tasks that the nominal 80 % interval has to hold
INTERVAL_80_MAX = 0.83


class Goal(Struct, frozen=True):
    """One row: a trace, or one family of its types (their names up to the colon)."""

    trace: str
    family: str
    baseline: float | None
    reachable: float | None
    goal: float | None


GOALS = (
    Goal("azure_vm_noise_dev", "", 0.62, 0.95, 0.96),
    Goal("wfinstances", "", 0.23, 0.35, 0.40),
    Goal("wfinstances", "1000genome", 0.30, 0.68, 0.68),
    Goal("wfinstances", "srasearch", 0.35, 0.55, 0.57),
    Goal("wfinstances", "epigenomics", 0.26, 0.37, 0.40),
    Goal("azure_llm_2023", "", 0.19, 0.55, 0.57),
    Goal("llmperf_leaderboard", "", 0.25, 0.81, 0.82),
    Goal("alibaba_pai_minibatch", "", 0.33, 0.99, 0.99),
    Goal("aws_lambda_pacs", "", 1.0, 1.0, 1.0),
    Goal("burstgpt_vllm_replay", "", 0.06, 0.12, None),
)


def goals_of(trace: str) -> list[Goal]:
    """The rows of a trace, named without its suffixes; one without figures if it is not in the table."""
    return [goal for goal in GOALS if goal.trace == trace] or [Goal(trace, "", None, None, None)]
