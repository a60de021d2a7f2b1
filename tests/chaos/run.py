"""One run: start everything, strike, heal, drain, judge, and leave nothing behind."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import msgspec

from nexus_sched.errors import StoreError
from nexus_sched.model.durability import RELAXED, REPLICATED, STRICT
from tests.chaos.checker import drain, judge
from tests.chaos.faults.schedulers import until_all_serve
from tests.chaos.inspection import fsck
from tests.chaos.options import Options, Stuck
from tests.chaos.scenarios import Scenario, find
from tests.chaos.stage import Stage
from tests.chaos.verdict import Recovery, Verdict, recovery

CALM_S = {
    STRICT: (0.1, 0.6),
    REPLICATED: (0.1, 0.6),
    RELAXED: (2.0, 3.0),
}  # before each fault; more than one second between two syncs


async def run(options: Options) -> Verdict:
    """Run a scenario. Raises `Skipped` if it cannot be run here."""
    scenario = find(options.scenario)
    if scenario.once:
        return await _one_by_one(options, scenario)
    async with Stage(options, scenario.needs) as stage:
        struck, spans_s, wrong = 0, list[float](), list[str]()
        for _ in range(options.faults):
            await stage.pause(*CALM_S[options.durability])
            try:
                span_s = await scenario.fault(stage)
            except (Stuck, StoreError) as error:
                wrong.append(f"after {struck} faults: {error}")
                break
            if span_s is not None:
                struck += 1
                spans_s.append(span_s)
        return await _end(stage, struck, spans_s, wrong)


async def _end(stage: Stage, struck: int, spans_s: Sequence[float], wrong: list[str]) -> Verdict:
    await stage.heal()
    try:
        await until_all_serve(stage)  # one that has only just been started knows no signal yet
    except Stuck as error:
        wrong.append(str(error))
    if stage.options.inspect_live:
        wrong += [f"while it is led: {finding}" for finding in await fsck(stage)]
    stage.producer.signal(signal.SIGTERM)
    try:
        await stage.producer.ended(stage.options.drain_timeout_s)
    except Stuck as error:
        wrong.append(str(error))
    drained_s = await drain(stage, stage.options.drain_timeout_s)
    for scheduler in stage.schedulers:
        code = await scheduler.terminate()
        if code != 0:
            wrong.append(f"{scheduler.name} ended with {code}: {scheduler.output[-1_000:]}")
    for observer in stage.observers:
        await observer.catch_up()
    verdict = await judge(stage, struck, spans_s, drained_s)
    wrong += [f"{process.name} printed a traceback" for process in stage.schedulers if "Traceback" in process.output]
    verdict = msgspec.structs.replace(verdict, stuck=verdict.stuck + len(wrong), findings=[*wrong, *verdict.findings])
    if verdict.good:
        return verdict
    stage.keep_evidence()
    promotions = 0 if stage.topology is None else stage.topology.promotions()
    if promotions > struck:
        verdict.findings.append(f"{promotions} promotions, of which {struck} were brought about on purpose")
    return verdict


async def _one_by_one(options: Options, scenario: Scenario) -> Verdict:
    """Each fault on a stage of its own: it ends everything, and all that is asked is that this is said."""
    spans_s, wrong, acknowledged, turns, version = list[float](), list[str](), 0, 0, ""
    lost = 0
    for number in range(options.faults):
        async with Stage(msgspec.structs.replace(options, seed=options.seed + number), scenario.needs) as stage:
            version = await stage.server.version()
            try:
                span_s = await scenario.fault(stage)
                spans_s += [] if span_s is None else [span_s]
            except Stuck as error:
                wrong.append(str(error))
                lost += len(stage.acknowledged())
                stage.keep_evidence()
            acknowledged += len(stage.acknowledged())
            turns += stage.observer.seq
    return Verdict(
        scenario=options.scenario,
        server=version,
        durability=options.durability,
        faults=options.faults,
        acknowledged=acknowledged,
        lost=lost,
        accepted_twice=0,
        re_executed=0,
        re_executed_elsewhere=0,
        dead_letters=0,
        not_repeated=0,
        started_twice=0,
        submitted_twice=0,
        run_as_two=0,
        stuck=len(wrong),
        fsck=0,
        journal_gaps=0,
        digest_equal=not wrong,
        turns=turns,
        recovery_s=recovery(spans_s) if spans_s else Recovery(None, None),
        drained_s=0.0,
        unsynced_bytes=0,
        findings=wrong,
    )
