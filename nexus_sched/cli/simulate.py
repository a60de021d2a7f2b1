"""`nexus-sched simulate`: policies side by side in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.config.suggest import hint
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.errors import InvalidInput
from nexus_sched.sim.compare import compare
from nexus_sched.sim.options import SimulationOptions
from nexus_sched.sim.policies import POLICIES
from nexus_sched.sim.table import render

Scenario = Literal["hetero", "identical", "burst", "churn", "slow", "short", "tenants", "affinity"]
DEFAULT_SCENARIO: Scenario = "hetero"
ReportFile = Annotated[Path | None, Parameter(help="Write a page with pictures to this file.")]
JsonFlag = Annotated[
    bool, Parameter(name="--json", show_default=False, help="Print one JSON object on standard output.")
]


def simulate(
    *,
    synthetic: Scenario | None = None,
    trace: Path | None = None,
    matrix: Path | None = None,
    workers: int = 100,
    workers_per_class: int = 10,
    slots: int = 1,
    tasks: int | None = None,
    load: float = 0.85,
    seeds: int = 3,
    policies: str = ",".join(POLICIES),
    owners: int = 1,
    rtt_ms: float | None = None,
    report: ReportFile = None,
    json: JsonFlag = False,
) -> int:
    """Run the same tasks under several policies in virtual time, and compare.

    Parameters
    ----------
    synthetic
        A generated workload; hetero if neither a trace nor a matrix is named.
    trace
        File in the trace format: its arrivals, types, payloads and classes.
    matrix
        Measured durations of the same task instances on each class of workers, or a summary of such.
    workers
        Workers of a generated workload or a trace.
    workers_per_class
        One-slot workers of each class of a matrix.
    slots
        Tasks that each worker runs at once; of a matrix it is always 1.
    tasks
        Tasks of each seed; 100 for each worker by default, of a trace no more than it has.
    load
        Share of the fleet that tasks keep busy if they are spread by speed.
    seeds
        Workloads to draw, from seed 1 on; intervals of confidence are over them.
    policies
        Names, separated by commas.
    owners
        Schedulers among whom workers and tasks are dealt out, as among shards of a pool.
    rtt_ms
        Round trip between scheduler and workers; 1 by default, 4 for short.
    """
    names = chosen(policies)
    if synthetic is None and trace is None and matrix is None:
        synthetic = DEFAULT_SCENARIO
    options = SimulationOptions(
        synthetic=synthetic,
        trace=trace,
        matrix=matrix,
        workers=workers,
        workers_per_class=workers_per_class,
        slots=slots,
        tasks=tasks,
        load=load,
        seeds=seeds,
        owners=owners,
        rtt_ms=rtt_ms,
    )
    return _compared(options, names, report, json)


def _compared(options: SimulationOptions, names: list[str], report: Path | None, json: bool) -> int:
    from rich.console import Console

    with ProgressDisplay(Console(stderr=True, highlight=False)) as progress:
        comparison = compare(options.source(), names, options.seeds, progress, owners=options.owners)
    if report is not None:
        from nexus_sched.sim.report import write_report

        write_report(comparison, report, options.command(names))
        note(f"The report is {report}")
    if json:
        print_json(comparison.as_json())
    else:
        for table in render(comparison):
            console().print(table)
    return exit_codes.OK


def chosen(text: str) -> list[str]:
    """The policies that are asked for. Raises `InvalidInput`."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in POLICIES:
            raise InvalidInput(f"no policy is called {name!r}{hint(name, POLICIES)}; known are {', '.join(POLICIES)}")
    if not names:
        raise InvalidInput("--policies names none")
    return names
