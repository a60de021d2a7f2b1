"""One rate, measured once: counters before and after, latencies in between."""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from benchmarks.throughput.options import Options
from benchmarks.throughput.processor import load_1min
from benchmarks.throughput.producer import Producer
from benchmarks.throughput.stage import Reading, Stage

DRAIN_TIMEOUT_S = 30.0
POLL_S = 0.05
_US_PER_S = 1e6


class Measured(Struct, frozen=True):
    """What one run of one rate gave. CPU times are per finished task, the idle fleet's heartbeats included."""

    tasks: int
    tasks_per_s: float
    submit_to_start_p50_ms: float
    submit_to_start_p99_ms: float
    redis_us_per_task: float
    scheduler_us_per_task: float
    fleet_us_per_task: float
    producer_us_per_task: float
    others_cores: float  # cores that processes of other people kept busy meanwhile
    load_1min: float


async def measure(stage: Stage, producer: Producer, rate: float, options: Options) -> Measured:
    """Produce at `rate`, measure after the warm-up, and wait until every task has ended."""
    load = load_1min()
    seconds = options.warm_up_s + options.duration_s
    producing = asyncio.ensure_future(producer.produce(rate, options.outstanding, seconds))
    try:
        await asyncio.sleep(options.warm_up_s)
        first = stage.read()
        await asyncio.sleep(options.duration_s)
        last = stage.read()
        await producing
    finally:
        producing.cancel()
    await drained(stage, producer.submitted)
    stage.check()
    return summarise(first, last, stage.tally.latencies_ms(first.started, last.started), load)


async def drained(stage: Stage, submitted: int) -> None:
    """Wait until as many results were accepted as tasks were; raise if that does not come."""
    give_up_at_s = time.monotonic() + DRAIN_TIMEOUT_S
    while stage.tally.accepted < submitted:
        if time.monotonic() >= give_up_at_s:
            raise RuntimeError(f"{submitted - stage.tally.accepted} of {submitted} tasks have not ended")
        stage.check()
        await asyncio.sleep(POLL_S)


def summarise(first: Reading, last: Reading, latencies_ms: list[float], load: float) -> Measured:
    """The difference of two readings, per task."""
    tasks = last.accepted - first.accepted
    if not tasks or not latencies_ms:
        raise RuntimeError("no task ended within the measurement")
    ordered = sorted(latencies_ms)
    spent_s = last.at_s - first.at_s
    server_s = last.server_cpu_s - first.server_cpu_s
    scheduler_s = last.scheduler_cpu_s - first.scheduler_cpu_s
    fleet_s = last.fleet_cpu_s - first.fleet_cpu_s
    producer_s = last.producer_cpu_s - first.producer_cpu_s
    others_s = last.machine_cpu_s - first.machine_cpu_s - server_s - scheduler_s - fleet_s - producer_s
    return Measured(
        tasks,
        tasks / spent_s,
        quantile(ordered, 0.5),
        quantile(ordered, 0.99),
        server_s * _US_PER_S / tasks,
        scheduler_s * _US_PER_S / tasks,
        fleet_s * _US_PER_S / tasks,
        producer_s * _US_PER_S / tasks,
        max(0.0, others_s) / spent_s,
        load,
    )


def quantile(ordered: list[float], share: float) -> float:
    """The value that `share` of an ordered sample does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
