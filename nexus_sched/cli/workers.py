"""`nexus-sched workers list|get`: the workers of a pool as its scheduler sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.control.fleet import FleetPage, all_workers
from nexus_sched.control.workers import about, free_in_text, seconds_text
from nexus_sched.errors import PoolUnknown
from nexus_sched.model.answer import HeldTask, WorkerAnswer
from nexus_sched.model.ids import check_worker_id

if TYPE_CHECKING:
    from rich.table import Table

    from nexus_sched.config.schema import Config

TASKS_PRINTED = 20


def list_workers(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """List the workers, where each stands and what it holds.

    Exits with code 8 if no scheduler answers, so that the list may be old, or have some of them only.
    """
    found = asyncio.run(_all(flags.read()))
    if flags.json:
        print_json({"workers": found.workers, "live": found.live, "stale": found.stale})
    else:
        _print_list(found)
    if found.stale:
        note("degraded: no scheduler answers, this may be old and not all of it; see `nexus-sched status`")
    return exit_codes.DEGRADED if found.stale else exit_codes.OK


def get(worker: str, /, *, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show one worker: where it stands and why, what it holds, and when it will be free.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    answer = asyncio.run(_get(flags.read(), check_worker_id(worker)))
    if flags.json:
        print_json(answer)
    else:
        _print_worker(answer)
    return exit_codes.OK


async def _all(config: Config) -> FleetPage:
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient

    store = submitter_store(config)
    async with AsyncClient(store=store) as client:
        frame = await client.status()
        if frame is None:
            raise PoolUnknown(
                f"no scheduler has ever served pool {config.pool.name!r} on this server;"
                " start one with `nexus-sched run`"
            )
        return await all_workers(store, frame)


async def _get(config: Config, worker: str) -> WorkerAnswer:
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient

    async with AsyncClient(store=submitter_store(config)) as client:
        return await about(client, worker)


def _print_list(found: FleetPage) -> None:
    table = _table("worker", "standing", "class", *(">slots", ">out", ">booked", ">heard"))
    for worker in found.workers:
        table.add_row(
            worker.worker,
            worker.standing.value,
            worker.worker_class,
            str(worker.slots),
            str(worker.in_flight),
            seconds_text(worker.booked_ms),
            f"{seconds_text(worker.heard_age_ms)} ago",
        )
    out = console()
    if found.workers:
        out.print(table)
    else:
        note("No worker is registered; start one with `nexus-sched worker module:app`.")
    if found.live > len(found.workers):
        out.print(f"... and {found.live - len(found.workers)} more.")


def _print_worker(answer: WorkerAnswer) -> None:
    breaker = answer.breaker
    story = breaker.state
    if breaker.state == "open":
        story += f", tried again in {seconds_text(breaker.opens_until_ms)}"
    if breaker.opened:
        story += f", opened {breaker.opened} times"
    why = f": {answer.standing_reason}" if answer.standing_reason else ""
    facts = [
        ("worker", answer.worker + (f" ({answer.worker_class})" if answer.worker_class else "")),
        ("standing", f"{answer.standing.value}{why}"),
        ("tasks", f"{answer.in_flight} with it; {answer.slots} slots, it may hold {answer.credit}"),
        ("free in", free_in_text(answer)),
        ("speed", f"takes {answer.factor:.2f} times as long as the average worker, by {answer.factor_runs} runs"),
        ("breaker", story),
    ]
    out = console()
    for name, text in facts:
        out.print(f"{name:<12}{text}", markup=False, soft_wrap=True)
    if answer.tasks:
        table = _table("task", "type", ">attempt", "state", ">for", ">left")
        for task in answer.tasks[:TASKS_PRINTED]:
            table.add_row(*_cells(task))
        out.print(table)
    if answer.in_flight > len(answer.tasks[:TASKS_PRINTED]):
        out.print(f"... and {answer.in_flight - len(answer.tasks[:TASKS_PRINTED])} more tasks.")


def _cells(task: HeldTask) -> tuple[str, ...]:
    state = "waits there" if not task.running else "overdue" if task.overdue else "runs"
    return (
        task.task,
        task.type,
        str(task.attempt),
        state,
        seconds_text(task.elapsed_ms) if task.running else "",
        "unknown" if task.left_ms is None else seconds_text(task.left_ms),
    )


def _table(*titles: str) -> Table:
    """An empty table; a title that begins with `>` is that of a column of numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title.lstrip(">"), justify="right" if title.startswith(">") else "left")
    return table
