"""`nexus-sched task get|eta`: where one task stands, and when it will start and finish."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, print_json

if TYPE_CHECKING:
    from nexus_sched.client import Estimate
    from nexus_sched.client.estimate import Expected
    from nexus_sched.config.schema import Config

CLOCK = "%H:%M:%S"


def get(task_id: str, /, *, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show where a task stands: its state, worker and attempt, and what was told of its end.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    state, attempt, worker, estimate = asyncio.run(_get(flags.read(), task_id))
    if flags.json:
        print_json(
            {"task_id": task_id, "state": state, "attempt": attempt, "worker": worker, "eta": described(estimate)}
        )
        return exit_codes.OK
    where = f", attempt {attempt} on {worker}" if worker else ""
    console().print(f"{task_id}: {state}{where}", markup=False, soft_wrap=True)
    if estimate is not None:
        print_estimate(estimate)
    return exit_codes.OK


def eta(task_id: str, /, *, flags: ConfigFlags = NO_FLAGS) -> int:
    """Say when a task will start and finish, as of now.

    The scheduler is asked; if it does not answer, or the task has ended, the last estimate that was told is shown.

    Parameters
    ----------
    task_id
        The id that `submit` printed; any task may be asked for, not only those submitted with --eta.
    """
    estimate = asyncio.run(_eta(flags.read(), task_id))
    if flags.json:
        print_json({"task_id": task_id, "eta": described(estimate)})
    elif estimate is None:
        console().print("no estimate was ever told of this task")
    else:
        print_estimate(estimate)
    return exit_codes.OK


async def _get(config: Config, task_id: str) -> tuple[str, int, str, Estimate | None]:
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient

    store = submitter_store(config)
    async with AsyncClient(store=store) as client:
        state = await client.state(task_id)
        record = await store.record(task_id)
        attempt, worker = (0, "") if record is None else (record.attempt, record.worker)
        return state, attempt, worker, await client.last_eta(task_id)


async def _eta(config: Config, task_id: str) -> Estimate | None:
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient

    async with AsyncClient(store=submitter_store(config)) as client:
        return await client.eta(task_id)


def described(estimate: Estimate | None) -> object:
    """An estimate as JSON shows it, `None` if nothing was told."""
    import msgspec

    return None if estimate is None else msgspec.to_builtins(estimate)


def print_estimate(estimate: Estimate) -> None:
    """An estimate in words on standard output."""
    out = console()
    for line in words_of(estimate):
        out.print(line, markup=False, soft_wrap=True)


def words_of(estimate: Estimate) -> list[str]:
    """An estimate in words, for people; clock times are those of this machine."""
    start, finish = estimate.start, estimate.finish
    if start is None or finish is None:
        return [f"eta: {estimate.basis}"]
    lines = [
        _line("starts", start),
        _line("finishes", finish),
        f"made at {estimate.made_at.astimezone().strftime(CLOCK)} from {estimate.basis}, "
        f"confidence {estimate.confidence:.0%}",
    ]
    if estimate.on_time is not None:
        lines.append(f"meets its deadline with a probability of {estimate.on_time:.0%}")
    if estimate.recent_within_25 is not None:
        lines.append(f"{estimate.recent_within_25:.0%} of the latest such estimates were within 25 %")
    return lines


def _line(what: str, expected: Expected) -> str:
    at = expected.p50_at.astimezone().strftime(CLOCK)
    p50_s, p80_s, p95_s = expected.p50_s, expected.p80_s, expected.p95_s
    return f"{what:<9}in {p50_s:.3f} s ({at}), in 80 % by {p80_s:.3f} s, in 95 % by {p95_s:.3f} s"
