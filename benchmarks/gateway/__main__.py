"""`python -m benchmarks.gateway [--json] [--check]`: all parts, one after the other, and whether the goals are kept.

Exits with 10 under `--check` if one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from benchmarks.gateway.abuse import abused
from benchmarks.gateway.crash import crashed
from benchmarks.gateway.goals import GOALS
from benchmarks.gateway.limits import limited
from benchmarks.gateway.loads import batched, estimated, submitted
from benchmarks.gateway.options import SHORT, Options
from benchmarks.gateway.scrapes import scraped
from benchmarks.throughput.processor import load_1min, machine_cpu_s

EXIT_GOAL_MISSED = 10
PARTS: dict[str, Callable[[Options], Awaitable[dict[str, Any]]]] = {
    "submit": submitted,
    "batch": batched,
    "eta": estimated,
    "limit": limited,
    "abuse": abused,
    "crash": crashed,
    "scrape": scraped,
}


async def run(parts: list[str], options: Options) -> dict[str, Any]:
    """The figures of these parts, by part."""
    figures: dict[str, Any] = {}
    for part in parts:
        note(f"{part} ...")
        before_s, own_s, began_s = machine_cpu_s(), own_cpu_s(), time.monotonic()
        found = await PARTS[part](options)
        others_s = machine_cpu_s() - before_s - (own_cpu_s() - own_s)
        figures[part] = {**found, "others_cores": round(max(0.0, others_s) / (time.monotonic() - began_s), 2)}
        note(f"    {json.dumps(figures[part])}")
    return figures


def own_cpu_s() -> float:
    """Processor time of this process and of all that it started and that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def note(text: str) -> None:
    """Progress on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def words(kept: dict[str, bool]) -> str:
    """The goals for people."""
    return "\n".join(f"{'kept' if each else 'MISSED':>7}  {GOALS[name].words}" for name, each in kept.items())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    parser.add_argument("--check", action="store_true", help=f"exit with {EXIT_GOAL_MISSED} if a goal is missed")
    parser.add_argument("--short", action="store_true", help="a few seconds for each part: what the tests run")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this; may be repeated")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that servers are ended as well
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # gateways inherit it
    parts = given.part or list(PARTS)
    figures = uvloop.run(run(parts, SHORT if given.short else Options()))
    kept = {name: goal.kept(figures[goal.part]) for name, goal in GOALS.items() if goal.part in figures}
    setting = {
        "load_1min": load_1min(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "short": given.short,
    }
    body = {**figures, "goals_reached": kept, "setting": setting}
    sys.stdout.write((json.dumps(body) if given.json else json.dumps(body, indent=2) + "\n" + words(kept)) + "\n")
    return EXIT_GOAL_MISSED if given.check and not all(kept.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
