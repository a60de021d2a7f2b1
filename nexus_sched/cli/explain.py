"""`nexus-sched explain`: why a task waits, or why it went where it went, and where else by other weights."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, print_json
from nexus_sched.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexus_sched.config.schema import Config
    from nexus_sched.model.bill import Bill, BillRow, Weights
    from nexus_sched.model.explanation import DecisionStory, Explanation

TOP_DEFAULT = 5
CLOCK = "%Y-%m-%d %H:%M:%S"
# What --what-if may change -> the field of `model.bill.Weights`.
WEIGHTS = {
    "wait": "wait",
    "balance": "balance_ms",
    "affinity": "affinity",
    "health": "health",
    "fit": "fit",
}


def explain(
    task_id: str,
    /,
    *,
    top: int = TOP_DEFAULT,
    why_not: str = "",
    what_if: Annotated[list[str] | None, Parameter(negative=(), show_default=False)] = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Say why a task waits, or why it went where it went.

    Of a waiting task: the reason, what would change it, and when it is expected to start. Of others: the workers that
    were looked at, what each would have cost in milliseconds, and what became of it.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    top
        Rows of the bill that are shown.
    why_not
        A worker; say why the task is not there.
    what_if
        Another weight, such as wait=0.6 (also balance, affinity, health, fit): say which of the recorded workers
        would have been chosen. May be repeated.
    """
    weights = _weights(what_if or [])
    explanation = asyncio.run(_explain(flags.read(), task_id, why_not))
    other = _what_if(explanation, weights)
    if flags.json:
        print_json(_described(explanation, other))
    else:
        _print(explanation, other, max(1, top))
    return exit_codes.OK


async def _explain(config: Config, task_id: str, why_not: str) -> Explanation:
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient

    async with AsyncClient(store=submitter_store(config)) as client:
        return await client.explain(task_id, why_not)


def _weights(given: list[str]) -> dict[str, float]:
    """Fields of `Weights` with their values. Raises `InvalidInput`."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[WEIGHTS[name.strip()]] = float(value)
        except (KeyError, ValueError):
            raise InvalidInput(
                f"--what-if {text!r}: write a weight and a number, such as wait=0.6; there are {', '.join(WEIGHTS)}"
            ) from None
    return found


def _what_if(explanation: Explanation, weights: dict[str, float]) -> Bill | None:
    """The bill by other weights, `None` if none are given. Raises `InvalidInput` if there is no bill."""
    from msgspec.structs import replace

    from nexus_sched.model.bill import reweighed

    if not weights:
        return None
    bill = None if explanation.decision is None else explanation.decision.bill
    if bill is None:
        raise InvalidInput(f"--what-if needs the bill of a decision, and there is none: {explanation.sentence}")
    return reweighed(bill, replace(bill.weights, **weights))


def _described(explanation: Explanation, other: Bill | None) -> dict[str, object]:
    import msgspec

    body: dict[str, object] = msgspec.to_builtins(explanation)
    if other is not None:
        body["what_if"] = {"chosen": other.rows[0].worker, **msgspec.to_builtins(other)}
    return body


def _print(explanation: Explanation, other: Bill | None, top: int) -> None:
    from nexus_sched.model.explanation import funnel_text
    from nexus_sched.units import span_text

    out = console()

    def line(text: str) -> None:
        out.print(text, markup=False, highlight=False, soft_wrap=True)

    line(f"{explanation.task_id} ({explanation.state}): {explanation.sentence}")
    if explanation.tier:
        line(f"{'tier':<10}{explanation.tier}")
        line(f"{'workers':<10}" + (", ".join(f"{n} {kind}" for kind, n in explanation.workers.items()) or "none"))
    for remedy in explanation.remedies:
        line(f"{'change':<10}{remedy}")
    for override in explanation.overrides:
        line(f"{'override':<10}{override}")
    if explanation.why_not:
        line(f"{'why not':<10}{explanation.why_not}")
    story = explanation.decision
    if story is not None:
        line(f"{'funnel':<10}{funnel_text(story.funnel) or 'not recorded'}")
        if story.bill is not None:
            _print_bill(story.bill, story.round_robin, top)
        for text in _origin(story):
            line(text)
    actual = explanation.actual
    if actual is not None:
        ended = (
            f"{actual.outcome}, {span_text(actual.run_ms)} run, {span_text(actual.response_ms)} from the decision on"
        )
        regret = "" if actual.regret_ms is None else f"; regret {actual.regret_ms:+.1f} ms against {actual.alternative}"
        line(f"{'actual':<10}{ended}{regret}")
    if explanation.missing and story is not None:
        line(f"{'missing':<10}{explanation.missing}")
    if other is not None and story is not None:
        same = " as well" if other.rows[0].worker == story.worker else f" instead of {story.worker}"
        line(f"{'what if':<10}{_weights_text(other.weights)}: {other.rows[0].worker}{same}, of the workers on the bill")
        _print_bill(other, story.round_robin, top)


def _origin(story: DecisionStory) -> list[str]:
    model = f"{story.model} v{story.version}, from {story.basis}, confidence {story.confidence:.0%}"
    at = datetime.fromtimestamp(story.at_ms / 1e3, UTC).astimezone().strftime(CLOCK)
    weights = "" if story.bill is None else f"{_weights_text(story.bill.weights)}, "
    return [
        f"{'model':<10}{model if story.model else 'no prediction'}",
        f"{'weights':<10}{weights}settings {story.settings or 'not recorded'}",
        f"{'decision':<10}{story.seq}-{story.index} of epoch {story.epoch} at {at}, attempt {story.attempt}",
    ]


def _weights_text(weights: Weights) -> str:
    parts = [f"wait {weights.wait:g}"]
    if weights.balance_ms:
        parts.append(f"balance {weights.balance_ms:g} ms")
    parts += [f"{name} {value:g}" for name in ("affinity", "health", "fit") if (value := getattr(weights, name)) != 1.0]
    return ", ".join(parts)


def _print_bill(bill: Bill, round_robin: str, top: int) -> None:
    """A row for each worker, a column for each term that is not nothing throughout; milliseconds."""
    from rich.table import Table

    rows = [row for index, row in enumerate(bill.rows) if index < top or row.worker == round_robin]
    terms = [term for term in _terms(bill.weights).items() if any(term[1](row) for row in rows)]
    table = Table(box=None, pad_edge=False)
    table.add_column("worker")
    for title in [*(title for title, _ in terms), "total ms", "load"]:
        table.add_column(title, justify="right")
    table.add_column("")
    for index, row in enumerate(rows):
        notes = ["chosen"] if index == 0 else []
        notes += ["round robin"] if row.worker == round_robin else []
        notes += [] if row.is_open else ["full"]
        cells = [f"{value(row):.1f}" for _, value in terms]
        table.add_row(row.worker, *cells, f"{row.total_ms:.1f}", f"{row.load:.2f}", ", ".join(notes))
    console().print(table)


def _terms(weights: Weights) -> dict[str, Callable[[BillRow], float]]:
    return {
        f"{weights.wait:g} x wait": lambda row: weights.wait * row.wait_ms,
        "run": lambda row: row.run_ms,
        "transfer": lambda row: row.transfer_ms,
        "affinity": lambda row: weights.affinity * row.affinity_ms,
        "health": lambda row: weights.health * row.health_ms,
        "balance": lambda row: weights.balance_ms * row.load,
        "preferred": lambda row: row.preferred_ms,
        "fit": lambda row: weights.fit * row.fit_ms,
        "avoided": lambda row: row.avoided_ms,
    }
