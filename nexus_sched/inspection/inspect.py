"""Looks at a shard until what is found stays found.

Law: between two commits of a leader, and between two pages of a scan, a whole shard may look broken. So whatever is
found is looked for again after a pause, and only what both looks found is reported. Nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.inspection.engine_view import check_history, view_of
from nexus_sched.inspection.findings import Finding
from nexus_sched.inspection.store import InspectorStore
from nexus_sched.inspection.survey import Progress, Survey
from nexus_sched.runtime.ports import LeaderStore

SETTLE_S = 1.0  # a leader that lives commits many times meanwhile, a finished task is gone from everywhere
LOOKS_MAX = 3

Sleep = Callable[[float], Awaitable[None]]


class Report(Struct, frozen=True):
    """What was found in a shard, and how much was looked at."""

    seq: int | None  # `None`: the shard has no state at all
    live_tasks: int
    looks: int
    moving: bool  # whether turns were taken meanwhile: the shard is led
    findings: list[Finding]


async def inspect_shard(
    store: InspectorStore,
    leader: LeaderStore,
    predictors: Mapping[str, PredictorFactory],
    progress: Progress | None = None,
    sleep: Sleep = asyncio.sleep,
) -> Report:
    """Look at a shard, again if there are findings; those that stay are reported. `leader` need not be open."""
    progress = progress or _silent
    first = await _look(store, leader, predictors, progress)
    looks, report = 1, first
    while report.findings and looks < LOOKS_MAX:
        await sleep(SETTLE_S)
        again = await _look(store, leader, predictors, progress)
        looks += 1
        stayed = {(finding.code, finding.subject) for finding in report.findings}
        findings = [finding for finding in again.findings if (finding.code, finding.subject) in stayed]
        moving = (again.seq, again.live_tasks) != (first.seq, first.live_tasks)
        report = Report(again.seq, again.live_tasks, looks, moving, findings)
        if not moving:
            break  # nobody changes anything: a third look would find the same
    return report


def _silent(what: str, count: int) -> None:
    """Nobody wants to see how far it is."""


async def _look(
    store: InspectorStore, leader: LeaderStore, predictors: Mapping[str, PredictorFactory], progress: Progress
) -> Report:
    meta = await store.meta()
    if meta is None:
        return Report(None, 0, 1, False, [])
    progress("journal", meta.seq)
    history = await check_history(store, leader, predictors, meta)
    view, lost = await view_of(leader, predictors, meta.seq)
    survey = Survey(store, view, progress)
    await survey.run()
    differing = await view.compare(store, survey.pointers, survey.live, survey.pending | survey.cancelled)
    findings = [*history, *lost, *survey.findings, *differing]
    return Report(meta.seq, len(survey.live), 1, False, findings)
