"""`nexus-sched demo`: an embedded server, a scheduler and real worker processes; one workload twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.demo.options import DemoOptions

_DEFAULTS = DemoOptions()


def demo(
    *,
    workers: int = _DEFAULTS.workers,
    slots: int = _DEFAULTS.slots,
    rate: float = _DEFAULTS.rate,
    duration: float = _DEFAULTS.duration_s,
    load: float = _DEFAULTS.load,
    seed: int = _DEFAULTS.seed,
    port: int = _DEFAULTS.port,
    trace: Path | None = None,
    json: Annotated[bool, Parameter(name="--json", show_default=False)] = False,
) -> int:
    """Run one workload twice, round robin and predictive, and compare.

    Parameters
    ----------
    workers
        Worker processes, of unequal speed.
    slots
        Tasks each of them runs at once.
    rate
        Tasks that arrive each second.
    duration
        Seconds of arrivals in each half.
    load
        Share of all slots that the tasks keep busy if they are spread evenly.
    seed
        Of the generated workload; the same seed gives the same arrivals.
    port
        Where the gateway listens, on this machine only; a free port if 0. It is printed with a token that may look.
    trace
        File in the trace format instead of the generator, scaled in time.
    json
        Print one JSON object on standard output.
    """
    from nexus_sched.demo.run import run_demo
    from nexus_sched.demo.table import render

    options = DemoOptions(
        workers=workers, slots=slots, rate=rate, duration_s=duration, load=load, seed=seed, trace=trace, port=port
    )
    report = asyncio.run(run_demo(options))
    if json:
        print_json(report)
    else:
        console().print(render(report))
    if not report.sound:
        note("Tasks were lost or ran twice; this must not happen.")
        return exit_codes.VERIFICATION_FAILED
    return exit_codes.OK
