"""`nexus-sched fsck`: proves that a shard is whole, on a live or a stopped one, and repairs what is safe to repair."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec import Struct

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.errors import PoolUnknown

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.inspection import Finding, Report

SHOWN_MAX = 100  # findings printed for people; --json has all
SETTLE_S = 1.0  # for a leader to read what a repair has told it

Shard = Annotated[int | None, Parameter(help="Only this shard, instead of all.", show_default=False)]
Pool = Annotated[str | None, Parameter(help="Which pool, instead of `pool.name`.", show_default=False)]
Repair = Annotated[bool, Parameter(name="--repair", help="Repair what is safe to repair.", show_default=False)]


class Outcome(Struct, frozen=True):
    """What one run of fsck has to say."""

    report: Report  # before anything was repaired
    repairs: list[tuple[Finding, str]]
    left: list[Finding]  # what is still wrong at the end


def fsck(*, shard: Shard = None, pool: Pool = None, repair: Repair = False, flags: ConfigFlags = NO_FLAGS) -> int:
    """Prove that all shards of a pool, or one, are whole: every live task in one place, and all that belongs together.

    It may be led or stopped meanwhile: what is found is looked for again, and only what stays is reported. Exits
    with code 9 if anything is wrong (with --repair: still wrong at the end).
    """
    config = flags.load_with(
        ("--pool", "pool.name", pool), ("--shard", "pool.shard", None if shard is None else str(shard))
    ).config
    outcomes = asyncio.run(_check_all(config, repair=repair))
    if all(outcome.report.seq is None for outcome in outcomes.values()):
        where = "no pool" if config.pool.shard is None else f"no shard {config.pool.shard} of pool"
        raise PoolUnknown(f"there is {where} {config.pool.name!r} on this server")
    if flags.json:
        print_json(_described_all(config, outcomes))
    else:
        for number, outcome in outcomes.items():
            _print(config, number, outcome, repair=repair)
    left = any(outcome.left for outcome in outcomes.values())
    return exit_codes.VERIFICATION_FAILED if left else exit_codes.OK


async def _check_all(config: Config, *, repair: bool) -> dict[int, Outcome]:
    """Shard -> what there is to say of it."""
    from nexus_sched.cli.stores import shards_of

    return {number: await _check(config, number, repair=repair) for number in await shards_of(config)}


async def _check(config: Config, shard: int, *, repair: bool) -> Outcome:
    from nexus_sched.cli.run import predictors_and_settings
    from nexus_sched.cli.stores import inspector_store, leader_store
    from nexus_sched.inspection import inspect_shard, repair_all

    predictors, _ = predictors_and_settings(config)
    store, leader = inspector_store(config, shard), leader_store(config, shard)
    progress = _Progress()
    try:
        await store.open()
        report = await inspect_shard(store, leader, predictors, progress)
        if not (repair and report.findings):
            return Outcome(report, [], report.findings)
        repairs = await repair_all(store, report.findings)
        await asyncio.sleep(SETTLE_S)
        again = await inspect_shard(store, leader, predictors, progress)
        return Outcome(report, repairs, again.findings)
    finally:
        progress.end()
        await leader.close()
        await store.close()


class _Progress:
    """One line on a terminal that says how far it is; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._any = False

    def __call__(self, what: str, count: int) -> None:
        if self._shown:
            sys.stderr.write(f"\r\x1b[Kreading {what}: {count}")
            sys.stderr.flush()
            self._any = True

    def end(self) -> None:
        """Take the line away."""
        if self._any:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _described_all(config: Config, outcomes: dict[int, Outcome]) -> dict[str, object]:
    """For `--json`: one shard by itself, several each and together."""
    if len(outcomes) == 1:
        return _described(config, *next(iter(outcomes.items())))
    shards = [_described(config, number, outcome) for number, outcome in outcomes.items()]
    together: dict[str, object] = {
        part: [{"shard": shard["shard"], **row} for shard in shards for row in shard[part]]
        for part in ("findings", "repairs", "left")
    }
    return {"pool": config.pool.name, "shards": shards, **together}


def _described(config: Config, shard: int, outcome: Outcome) -> dict[str, Any]:
    report = outcome.report
    return {
        "pool": config.pool.name,
        "shard": shard,
        "seq": report.seq,
        "live_tasks": report.live_tasks,
        "looks": report.looks,
        "moving": report.moving,
        "findings": [_row(finding) for finding in report.findings],
        "repairs": [_row(finding) | {"result": result} for finding, result in outcome.repairs],
        "left": [_row(finding) for finding in outcome.left],
    }


def _row(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code.value,
        "subject": finding.subject,
        "sentence": finding.sentence,
        "fix": finding.fix,
        "repairable": bool(finding.repair),
    }


def _print(config: Config, shard: int, outcome: Outcome, *, repair: bool) -> None:
    report, out = outcome.report, console()
    where = f"shard {shard} of pool {config.pool.name}"
    if report.seq is None:
        out.print(f"{where} was never led", markup=False)
        return
    state = "led" if report.moving else "at rest"
    out.print(f"{where}, turn {report.seq}, {report.live_tasks} live tasks, {state}", markup=False)
    for finding in report.findings[:SHOWN_MAX]:
        out.print(f"{finding.code.value}: {finding.sentence}", markup=False, soft_wrap=True)
    if len(report.findings) > SHOWN_MAX:
        out.print(f"... and {len(report.findings) - SHOWN_MAX} more; --json has all")
    fixes = {finding.code.value: finding.fix for finding in report.findings}
    for code, number in Counter(finding.code.value for finding in report.findings).items():
        note(f"{number} {code}: {fixes[code]}")
    for result, number in Counter(result for _, result in outcome.repairs).items():
        note(f"{result}: {number}")
    if repair and report.findings:
        note(f"{len(outcome.left)} findings are left." if outcome.left else "The shard is whole now.")
    elif not report.findings:
        note("The shard is whole.")
