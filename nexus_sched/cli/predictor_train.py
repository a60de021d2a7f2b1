"""`nexus-sched predictor train`: a model out of finished runs, once or again and again until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nexus_sched.accuracy.tasks import TraceTasks, read_tasks
from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.cli.stores import leader_store, shards_of
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.errors import InvalidInput, NexusError
from nexus_sched.plugins import model_file
from nexus_sched.plugins.journal_runs import runs_from_store
from nexus_sched.plugins.runs import TrainingRun
from nexus_sched.plugins.training import train as boost
from nexus_sched.units import MS_PER_S, parse_duration_ms

if TYPE_CHECKING:
    from rich.console import Console

    from nexus_sched.config.schema import Config

GATHER_EVERY_S = 60.0  # a journal holds the last minutes only
RUNS_MAX = 200_000

Source = Callable[[], list[TrainingRun]]


def train(
    *,
    out: Path,
    from_trace: Path | None = None,
    from_journal: Annotated[bool, Parameter(show_default=False)] = False,
    every: Annotated[str | None, Parameter(show_default=False)] = None,
    payload_column: str = "payload_size",
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Train gradient boosting on finished runs, and write the model to a file.

    A second copy with its digest in the name lies beside it and never changes; `predictor load` uses that one.

    Parameters
    ----------
    out
        File to write. It is replaced whole, or not at all.
    from_trace
        Learn from a file in the trace format.
    from_journal
        Learn from what the pool's journal still holds, and what `boosting` has collected.
    every
        Go on and train again after this long, such as 24h, until SIGTERM or Ctrl-C. With --from-journal runs are
        gathered every minute meanwhile.
    payload_column
        Column of the trace that holds the size of the payload.
    """
    if (from_trace is None) != from_journal:
        raise InvalidInput("name one source: --from-trace FILE or --from-journal")
    period_s = None if every is None else parse_duration_ms(every) / MS_PER_S
    if period_s is not None and period_s <= 0.0:
        raise InvalidInput("--every must be longer than nothing")
    with ProgressDisplay(progress_console()) as progress:
        if from_trace is not None:
            path = from_trace
            trainer = Trainer(
                lambda: runs_of(read_tasks(path, "submit", payload_column)), path.name, out, progress, merges=False
            )
        else:
            config = flags.read()
            source = f"journal of pool {config.pool.name}"
            trainer = Trainer(lambda: _journal(config), source, out, progress, merges=True)
        answer = trainer.once() if period_s is None else _again_and_again(trainer, period_s)
    if flags.json:
        print_json(answer)
    return exit_codes.OK


class Trainer:
    """Gathers runs from one source, and trains on them. `merges`: the source forgets, so what it had is kept."""

    def __init__(self, source: Source, name: str, out: Path, progress: ProgressDisplay, *, merges: bool) -> None:
        self._source = source
        self._merges = merges
        self._name = name
        self._out = out
        self._progress = progress
        self._phase = ""
        self._runs: list[TrainingRun] = []

    def gather(self) -> int:
        """Take over what the source has; the newest runs stay. Gives how many there are."""
        found = self._source()
        self._runs = found if not self._merges else list(dict.fromkeys([*self._runs, *found]))
        del self._runs[:-RUNS_MAX]
        return len(self._runs)

    def once(self) -> dict[str, object]:
        """Gather, train, write. What came of it, for people on standard error and for `--json`."""
        self._progress.begin("gathering runs", 1)
        self._progress.end(f"{self.gather()} runs")
        self._phase = ""
        blob = boost(self._runs, trained_at=_now(), source=self._name, told=self._told)
        if self._phase:
            self._progress.end("done")
        kept = model_file.write(self._out, blob)
        file = model_file.unpack(blob, str(self._out))
        header = file.header
        note(
            f"{self._out}: {header.trees} trees on {header.rows} runs; {header.held_out_within_25:.1%} within 25 % on "
            f"the newest {header.held_out_rows} before (without trees {header.recent_within_25:.1%})\n"
            f"Load it into the shadow with: nexus-sched predictor load {self._out}"
        )
        return {"file": str(self._out), "kept": str(kept), **described(file)}

    def _told(self, phase: str, done: int, total: int) -> None:
        if phase != self._phase:
            if self._phase:
                self._progress.end("done")
            self._phase = phase
            self._progress.begin(phase, total)
        self._progress.update(done, f"{done} of {total}")


def described(file: model_file.ModelFile) -> dict[str, object]:
    """A model for `--json`, without its long lists."""
    header = file.header
    return {
        "predictor": file.called,
        "digest": file.digest,
        "trained_at": header.trained_at,
        "source": header.source,
        "rows": header.rows,
        "trees": header.trees,
        "target": header.target,
        "held_out_rows": header.held_out_rows,
        "held_out_within_25": header.held_out_within_25,
        "recent_within_25": header.recent_within_25,
        "columns": header.schema.columns,
        "types": len(header.schema.types),
        "classes": len(header.schema.classes),
        "workers": len(header.schema.workers),
    }


def runs_of(trace: TraceTasks, stop: int | None = None) -> list[TrainingRun]:
    """The tasks of a trace as training material, the first `stop` of them."""
    found = zip(trace.tasks, trace.workers, trace.classes, trace.run_ms, trace.learned_at_ms, strict=True)
    untimed = all(moment_s is None for moment_s in trace.moments_s)
    runs = []
    for place, (task, worker, worker_class, run_ms, ended_at_ms) in enumerate(found):
        if place == stop:
            break
        # Without times the rows follow each other, and each result is known before the next one is predicted.
        times = (place, place) if untimed else (task.arrived_at_ms, max(task.arrived_at_ms, ended_at_ms))
        runs.append(TrainingRun(task.type, float(task.payload_bytes), worker or "", worker_class, run_ms, *times))
    return runs


def _journal(config: Config) -> list[TrainingRun]:
    async def read() -> list[TrainingRun]:
        found: list[TrainingRun] = []
        for shard in await shards_of(config):
            store = leader_store(config, shard)
            try:
                await store.open()
                found += await runs_from_store(store)
            finally:
                await store.close()
        return found

    return asyncio.run(read())


def _again_and_again(trainer: Trainer, period_s: float) -> dict[str, object]:
    """Train every `period_s` until a signal comes. A round that fails is told, and the next one may succeed."""
    stopping = threading.Event()
    former = {name: signal.signal(name, lambda *_: stopping.set()) for name in (signal.SIGTERM, signal.SIGINT)}
    trained, last = 0, None
    try:
        while not stopping.is_set():
            try:
                last = trainer.once()
                trained += 1
            except NexusError as error:
                note(f"nothing was trained this time: {error}")
            left_s = period_s
            while left_s > 0.0 and not stopping.wait(min(left_s, GATHER_EVERY_S)):
                left_s -= GATHER_EVERY_S
                if left_s > 0.0:
                    _gather(trainer)
    finally:
        for name, handler in former.items():
            signal.signal(name, handler)
    note(f"Stopped after {trained} trainings.")
    return {"trained": trained, "last": last}


def _gather(trainer: Trainer) -> None:
    try:
        trainer.gather()
    except NexusError as error:
        note(f"no runs could be gathered: {error}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def progress_console() -> Console:
    """Where progress is shown: standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
