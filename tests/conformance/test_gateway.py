"""The conformance suite with workers that come through a gateway: they cannot tell it from the store."""

from __future__ import annotations

import pytest

from nexus_sched.testing.conformance import Case, Stage, all_cases
from nexus_sched.testing.gateways import GatewayFactory, grpc_door
from nexus_sched.testing.stores import MemoryFactory

# Stories in which a worker speaks of a task that it was never given. The store believes it, a gateway does not.
BELIEVED = {"reap_drops_control_messages_and_ended_tasks", "step_start_of_a_former_attempt_is_refused"}
PARTS = ("cases_worker", "cases_life")  # what is told of workers
CASES = [case for case in all_cases() if case.__module__.endswith(PARTS) and case.__name__ not in BELIEVED]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_worker_through_a_gateway(case: Case) -> None:
    behind = MemoryFactory()
    async with grpc_door(behind) as door, Stage(GatewayFactory(behind, door.target)) as stage:
        await case(stage)


def test_stories_that_are_left_out_exist():
    assert {case.__name__ for case in all_cases()} >= BELIEVED
