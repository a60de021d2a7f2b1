"""`python -m benchmarks.throughput [--json]`: measures all rates, several times each.

Exits with 10 under `--check` if a goal is not reached, so that a gate can be built on it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from benchmarks.throughput.level import Measured, measure
from benchmarks.throughput.options import SATURATION, Options
from benchmarks.throughput.producer import Producer
from benchmarks.throughput.report import name_of, report, rounded, table
from benchmarks.throughput.stage import Stage, set_up
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.resp import RespClient

EXIT_GOAL_MISSED = 10
IDLE_S = 2.0


async def run(options: Options) -> dict[str, Any]:
    """Measure everything and give the report. Every task must have ended exactly once, or it raises."""
    measured: dict[float, list[Measured]] = {rate: [] for rate in options.rates}
    async with set_up(options) as stage:
        idle = await measure_idle(stage)
        producer = Producer(stage.store, stage.tally)
        for number in range(options.repeats):
            for rate in options.rates:
                result = await measure(stage, producer, rate, options)
                measured[rate].append(result)
                note(f"{name_of(rate):>10}  run {number + 1} of {options.repeats}: {result.tasks_per_s:.0f} tasks/s")
        await check_books(stage, producer)
        version = await server_version(stage.server.url)
    return report(measured, idle, version, options)


async def measure_idle(stage: Stage) -> dict[str, float]:
    """What the fleet's heartbeats and blocking reads cost while there is nothing to do, in shares of a core."""
    first = stage.read()
    await asyncio.sleep(IDLE_S)
    last = stage.read()
    spent_s = last.at_s - first.at_s
    return {
        "redis_core_share": rounded((last.server_cpu_s - first.server_cpu_s) / spent_s),
        "scheduler_core_share": rounded((last.scheduler_cpu_s - first.scheduler_cpu_s) / spent_s),
        "fleet_core_share": rounded((last.fleet_cpu_s - first.fleet_cpu_s) / spent_s),
    }


async def check_books(stage: Stage, producer: Producer) -> None:
    """The scheduler's own counters must agree: each task submitted and finished once."""
    await asyncio.sleep(1.0)  # two frames
    counters = (await stage.frame()).counters
    if counters["submitted"] != producer.submitted or counters["finished"] != producer.submitted:
        raise RuntimeError(f"{producer.submitted} tasks were submitted, but the scheduler counts {counters}")


async def server_version(url: str) -> str:
    """Name and version of the server."""
    client = RespClient(parse_address(url))
    await client.open()
    try:
        info = (await client.call("INFO", "server")).decode()
    finally:
        await client.close()
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    if "valkey_version" in facts:
        return f"valkey {facts['valkey_version']}"
    return f"redis {facts['redis_version']}"


def note(text: str) -> None:
    """Progress on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def parse(arguments: list[str] | None = None) -> tuple[Options, argparse.Namespace]:
    """The command line."""
    default = Options()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--check", action="store_true", help=f"exit with {EXIT_GOAL_MISSED} if a goal is missed")
    parser.add_argument("--rates", default="100,1000,saturation", help="tasks/s, separated by commas")
    parser.add_argument("--duration", type=float, default=default.duration_s, help="seconds of one measurement")
    parser.add_argument("--warm-up", type=float, default=default.warm_up_s, help="seconds before it")
    parser.add_argument("--repeats", type=int, default=default.repeats, help="measurements of each rate")
    parser.add_argument("--workers", type=int, default=default.workers, help="registered workers")
    parser.add_argument("--slots", type=int, default=default.slots, help="of each worker")
    parser.add_argument("--outstanding", type=int, default=default.outstanding, help="tasks not started, at saturation")
    parser.add_argument("--server", default=default.server, choices=("valkey", "redis"))
    parser.add_argument("--fsync", default=default.fsync, choices=("everysec", "always", "no"))
    parser.add_argument("--profile", default="", help="directory for cProfile output of scheduler and fleet")
    given = parser.parse_args(arguments)
    rates = tuple(SATURATION if name == "saturation" else float(name) for name in given.rates.split(","))
    options = Options(
        rates=rates,
        duration_s=given.duration,
        warm_up_s=given.warm_up,
        repeats=given.repeats,
        workers=given.workers,
        slots=given.slots,
        outstanding=given.outstanding,
        server=given.server,
        fsync=given.fsync,
        profile=given.profile,
    )
    return options, given


def main() -> int:
    """Measure and print."""
    options, given = parse()
    body = asyncio.run(run(options))
    sys.stdout.write((json.dumps(body, indent=2) if given.json else table(body)) + "\n")
    return EXIT_GOAL_MISSED if given.check and not all(body["goals_reached"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
