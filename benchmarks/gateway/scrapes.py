"""Somebody scrapes the gateway's metrics every second: what that does to the scheduler's decisions, in pairs of phases.

Decisions count by the processor time of the scheduler's thread, so that other processes of the machine do not count.
"""

from __future__ import annotations

from argparse import Namespace

from benchmarks.gateway.options import Options
from benchmarks.grpc_streams import measure
from nexus_sched.cli.logs import set_up_logs
from nexus_sched.config.schema import LoggingSection

TASKS_PER_S = 300.0


async def scraped(options: Options) -> dict[str, object]:
    """Decisions with and without."""
    given = Namespace(
        clock="cpu",
        scrape=True,
        streams=0,
        rate=TASKS_PER_S,
        rounds=options.scrape_rounds,
        phase_s=options.scrape_phase_s,
        pin=False,
    )
    set_up_logs(LoggingSection(level="error"))  # the scheduler is in this process, whose standard output is for figures
    found = await measure(given)
    return {name: round(value, 4) for name, value in found.items() if name != "streams"}
