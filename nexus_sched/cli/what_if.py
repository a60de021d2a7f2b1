"""`nexus-sched what-if`: a recorded hour again, with other workers, weights, order or predictor."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.cli.stores import leader_store, one_shard
from nexus_sched.config.describe import keys
from nexus_sched.config.suggest import hint
from nexus_sched.config.values import read_value
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.errors import InvalidInput
from nexus_sched.model.settings import CUSTOM, EngineSettings
from nexus_sched.plugins.catalogue import Catalogue
from nexus_sched.replay import journal_file
from nexus_sched.replay.span import Kept, Span, kept_in_store, last
from nexus_sched.sim.figures import FIGURES, nested
from nexus_sched.sim.hour import Hour, read_hour
from nexus_sched.sim.table import full_label, render_cases
from nexus_sched.sim.what_if import HAPPENED, SIMULATED, WHAT_IF, Answer, Changes, what_if
from nexus_sched.units import MS_PER_S, parse_duration_ms

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config

WEIGHTS = "scheduler.weights."
FIELDS = {"wait": "wait_weight"}  # of the engine, where it is called otherwise
CUSTOM_ONLY = frozenset(("balance_ms", "fit_ms"))  # weights that not every objective looks at
COMPARED = ("response_s.mean", "response_s.p50", "response_s.p99", "slowdown.mean", "utilisation.mean")


def run_what_if(
    *,
    since: str = "1h",
    from_file: Annotated[Path | None, Parameter(name="--from")] = None,
    workers: str | None = None,
    weights: Annotated[list[str] | None, Parameter(name="--weights")] = None,
    predictor: str | None = None,
    order: Literal["fast", "predictable"] | None = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Simulate what a shard did, as it was and with changes, beside what really happened.

    Parameters
    ----------
    since
        How far back from the newest turn, such as 1h. The store keeps the last minutes of a busy shard; what was
        there is told.
    from_file
        A file that `nexus-sched journal export` wrote, instead of the store.
    workers
        How many workers more or fewer, such as +10 or -5: copies of the ones there were, from fast to slow.
    weights
        A weight of the placement, as key=value with a key of scheduler.weights; may be repeated.
    predictor
        Who predicts. One that was learning then begins with what it knew.
    order
        In what order waiting tasks are placed.
    """
    changes = _changes(workers, weights or [], predictor, order)
    config = flags.read()
    since_ms = parse_duration_ms(since)
    kept = journal_file.read(from_file) if from_file is not None else asyncio.run(_kept(config))
    model = None if config.predictor.model is None else Path(config.predictor.model)
    catalogue = Catalogue([predictor or ""], model)
    span = last(kept, since_ms, catalogue)
    hour = read_hour(span.before, span.turns)
    answer = _simulated(hour, changes, catalogue)
    available_ms = span.available_ms[1] - span.available_ms[0]
    if available_ms < since_ms:
        note(
            f"The journal holds {available_ms / MS_PER_S:.0f} s of the {since_ms / MS_PER_S:.0f} s asked for; "
            "keep more with `nexus-sched journal export FILE`, run now and then."
        )
    if flags.json:
        print_json(_as_json(hour, span, since_ms, changes, answer))
    else:
        console().print(render_cases(_title(hour, answer), answer.figures))
        for line in (*_verdicts(answer), *answer.notes):
            console().print(line, markup=False, soft_wrap=True)
    return exit_codes.OK


def _changes(workers: str | None, weights: list[str], predictor: str | None, order: str | None) -> Changes:
    """What is asked for. Raises `InvalidInput`."""
    settings: dict[str, object] = {}
    for text in weights:
        field, value = _weight(text)
        settings[field] = value
        if field in CUSTOM_ONLY:
            settings["objective"] = CUSTOM
    if predictor is not None:
        settings["predictor"] = predictor
    if order is not None:
        settings["order"] = order
    if workers is not None and not re.fullmatch(r"[+-]\d{1,5}", workers):
        raise InvalidInput(f"--workers is {workers!r}; write how many more or fewer, such as +10 or -5")
    return Changes(int(workers or 0), settings)


def _weight(text: str) -> tuple[str, object]:
    """A field of the engine's settings, and its value."""
    name, equals, value = text.partition("=")
    known = {path.removeprefix(WEIGHTS): key for path, key in keys().items() if path.startswith(WEIGHTS)}
    key = known.get(name.strip())
    if not equals or key is None:
        raise InvalidInput(f"--weights {text!r}: write key=value{hint(name, known)}; keys are {', '.join(known)}")
    field = FIELDS.get(key.attribute, key.attribute)
    kind = type(getattr(EngineSettings(), field))
    return field, kind(read_value(key, value.strip(), textual=True))


async def _kept(config: Config) -> Kept:
    store = leader_store(config, await one_shard(config))
    try:
        await store.open()
        return await kept_in_store(store)
    finally:
        await store.close()


def _simulated(hour: Hour, changes: Changes, catalogue: Catalogue) -> Answer:
    from rich.console import Console

    begun = ""
    with ProgressDisplay(Console(stderr=True, highlight=False)) as progress:

        def told(name: str, done: int) -> None:
            nonlocal begun
            if name != begun:
                if begun:
                    progress.end("done")
                progress.begin(name, len(hour.tasks))
                begun = name
            progress.update(done, f"{done} tasks")

        answer = what_if(hour, changes, catalogue, told)
        if begun:
            progress.end("done")
    return answer


def _title(hour: Hour, answer: Answer) -> str:
    fleet = f"{answer.workers} worker{'s' if answer.workers > 1 else ''}"
    if answer.workers_then != answer.workers:
        fleet += f", with changes {answer.workers_then}"
    return f"{(hour.until_ms - hour.from_ms) / MS_PER_S:.0f} s: {answer.tasks} tasks on {fleet}"


def _ratios(answer: Answer, case: str, beside: str) -> dict[str, float | None]:
    """How far a case is from another, as shares."""
    if case not in answer.figures:
        return {}
    found: dict[str, float | None] = {}
    for name in COMPARED:
        mine, other = answer.figures[case].get(name), answer.figures[beside].get(name)
        found[name] = None if mine is None or not other else mine / other - 1.0
    return found


def _verdicts(answer: Answer) -> list[str]:
    """The model's error, and what the changes bring, in words."""
    lines = []
    pairs = ((SIMULATED, HAPPENED, "The model's own error"), (WHAT_IF, SIMULATED, "What the changes make of it"))
    for case, beside, words in pairs:
        shares = _ratios(answer, case, beside)
        told = [
            f"{_label(name)} {share * 100.0:+.1f} %"
            for name, share in shares.items()
            if share is not None and name.startswith("response_s")
        ]
        if told:
            lines.append(f"{words}: {', '.join(told)}.")
    return lines


def _label(name: str) -> str:
    return next(full_label(figure) for figure in FIGURES if figure.name == name)


def _as_json(hour: Hour, span: Span, since_ms: int, changes: Changes, answer: Answer) -> dict[str, object]:
    names = {HAPPENED: "happened", SIMULATED: "simulated", WHAT_IF: "what_if"}
    return {
        "span": {
            "from_ms": hour.from_ms,
            "until_ms": hour.until_ms,
            "asked_s": since_ms / MS_PER_S,
            "available_s": (span.available_ms[1] - span.available_ms[0]) / MS_PER_S,
        },
        "tasks": answer.tasks,
        "left_out": hour.left_out,
        "workers": {"recorded": answer.workers, "what_if": answer.workers_then},
        "changes": {"workers": changes.workers, **changes.settings},
        "cases": {names[case]: nested(figures) for case, figures in answer.figures.items()},
        "model_error": nested(_ratios(answer, SIMULATED, HAPPENED)),
        "effect": nested(_ratios(answer, WHAT_IF, SIMULATED)),
        "notes": answer.notes,
    }
