"""`nexus-sched status`: the newest picture of a pool that its scheduler wrote."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.cli.stores import submitter_store
from nexus_sched.errors import PoolUnknown
from nexus_sched.model.frame import STALE_AFTER_MS, Frame, decode_frame
from nexus_sched.sharding.frames import merge_frames

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config

WORKERS_SHOWN = 40


def status(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show where a pool stands.

    Exits with code 8 if the pool is degraded: no scheduler, no worker that takes tasks, or prediction off.
    """
    config = flags.read()
    shards = asyncio.run(_read(config))
    led = [frame for frame in shards if frame is not None]
    if not led:
        raise PoolUnknown(
            f"no scheduler has ever served pool {config.pool.name!r} on this server; start one with `nexus-sched run`"
        )
    frame = merge_frames(led)
    findings = find_faults_of_all(shards, time.time_ns() // 1_000_000)
    if flags.json:
        rows = [_row(number, each) for number, each in enumerate(shards)]
        print_json({"frame": frame, "shards": rows, "degraded": findings})
    else:
        _print(frame, shards)
    for finding in findings:
        note(f"degraded: {finding}")
    return exit_codes.DEGRADED if findings else exit_codes.OK


def find_faults_of_all(shards: Sequence[Frame | None], now_ms: int) -> list[str]:
    """What is not as it should be in any shard, one sentence each."""
    findings = []
    for number, frame in enumerate(shards):
        where = f"shard {number}: " if len(shards) > 1 else ""
        found = ["no scheduler has ever led it"] if frame is None else find_faults(frame, now_ms)
        findings += [where + finding for finding in found]
    return findings


def find_faults(frame: Frame, now_ms: int) -> list[str]:
    """What is not as it should be, one sentence each."""
    findings = []
    if now_ms - frame.at_ms > STALE_AFTER_MS:
        age_s = (now_ms - frame.at_ms) / 1_000
        findings.append(f"no scheduler has written for {age_s:.0f} s; start one with `nexus-sched run`")
    if frame.workers_accepting == 0:
        findings.append("no worker takes tasks; start one with `nexus-sched worker module:app`")
    if frame.breaker != "closed":
        findings.append(f"the breaker of prediction is {frame.breaker}; the fallback places tasks")
    return findings + frame.alarms


async def _read(config: Config) -> list[Frame | None]:
    """The newest picture of each shard, in order."""
    store = submitter_store(config)
    try:
        await store.open()
        blobs = [await shard.frame() for shard in await store.each_shard()]
        return [None if blob is None else decode_frame(blob) for blob in blobs]
    finally:
        await store.close()


def _row(number: int, frame: Frame | None) -> dict[str, object]:
    """For `--json`: one shard in short; what is not known of it is null."""
    facts = ("owner", "epoch", "seq", "at_ms", "queued", "in_flight", "workers_live", "workers_accepting")
    return {"shard": number, **{fact: None if frame is None else getattr(frame, fact) for fact in facts}}


def _print(frame: Frame, shards: Sequence[Frame | None]) -> None:
    from rich.table import Table

    out = console()
    share = frame.predictions_within_25
    quality = "none finished yet" if share is None else f"{share:.0%} of {frame.predictions} within 25 %"
    facts = [
        *_facts_of_pool(frame, shards),
        ("mode", f"{frame.mode}, predictor {frame.predictor}, breaker {frame.breaker}"),
        ("tasks", f"{frame.queued} queued ({frame.queued_predicted_ms / 1_000:.1f} s of work), {frame.in_flight} out"),
        ("workers", f"{frame.workers_live} live, {frame.workers_accepting} take tasks"),
        ("durability", frame.durability + (f", but not kept: {frame.durability_gap}" if frame.durability_gap else "")),
        ("decision", f"p50 {frame.decision_us.p50:.0f} us, p99 {frame.decision_us.p99:.0f} us"),
        ("predictions", quality),
        *facts_of_etas(frame),
        *facts_of_predictors(frame),
    ]
    for name, text in facts:
        out.print(f"{name:<12}{text}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for title in ("worker", "standing", "class", "slots", "out", "booked", "heard"):
        table.add_column(title, justify="left" if title in ("worker", "standing", "class") else "right")
    for worker in frame.workers[:WORKERS_SHOWN]:
        table.add_row(
            worker.worker,
            worker.standing.value,
            worker.worker_class,
            str(worker.slots),
            str(worker.in_flight),
            f"{worker.booked_ms / 1_000:.2f} s",
            f"{worker.heard_age_ms / 1_000:.1f} s ago",
        )
    if frame.workers:
        out.print(table)
    if frame.workers_live > WORKERS_SHOWN:
        out.print(f"... and {frame.workers_live - WORKERS_SHOWN} more; --json has up to {len(frame.workers)}.")


def _facts_of_pool(frame: Frame, shards: Sequence[Frame | None]) -> list[tuple[str, str]]:
    """Who leads; of several shards one line each."""
    if len(shards) == 1:
        where = f"shard {frame.shard}, led by {frame.owner} (epoch {frame.epoch}, turn {frame.seq})"
        return [("pool", f"{frame.pool}, {where}")]
    facts = [("pool", f"{frame.pool}, {len(shards)} shards")]
    for number, each in enumerate(shards):
        if each is None:
            facts.append((f"shard {number}", "never led"))
            continue
        load = f"{each.queued} queued, {each.in_flight} out, {each.workers_live} workers"
        facts.append((f"shard {number}", f"led by {each.owner} (epoch {each.epoch}, turn {each.seq}): {load}"))
    return facts


def facts_of_etas(frame: Frame) -> list[tuple[str, str]]:
    """How right it was when tasks were said to end, if anybody asked."""
    told = frame.counters.get("etas", 0)
    return [("etas", f"{frame.counters['etas_within'] / told:.0%} of {told} within 25 %")] if told else []


def facts_of_predictors(frame: Frame) -> list[tuple[str, str]]:
    """A candidate and overrides, if there are any: they are the exception."""
    facts = []
    if frame.shadow:
        runs, within = frame.scores.get(frame.shadow, (0, 0))
        share = f"{within / runs:.0%} of {runs} within 25 %" if runs else "nothing predicted yet"
        facts.append(("shadow", f"{frame.shadow}, {share}"))
    overrides = len(frame.pins) + len(frame.overrides)
    if overrides:
        facts.append(("overrides", f"{overrides} in force, see `nexus-sched override list`"))
    return facts
