"""The conformance suite on every implementation of the store ports."""

from __future__ import annotations

import pytest

from nexus_sched.testing.conformance import Case, Stage, StoreFactory, all_cases


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.__name__)
async def test_store(factory: StoreFactory, case: Case) -> None:
    async with Stage(factory) as stage:
        await case(stage)
