"""Seeds on the command line. Exit code 1 if a law is broken; each failure prints the one line that repeats it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.shell.faults import KINDS
from tests.shell.run import Verdict, kind_of, run
from tests.shell.summary import Summary

CHUNK = 10  # runs handed to a process at a time
BROKEN_SHOWN_MAX = 5  # laws of one run


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.shell", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="where to begin")
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument("--kind", choices=list(KINDS), help="of all runs; else every seed has its own")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    parser.add_argument("--verbose", action="store_true", help="with --seed: the whole story, step by step")
    return parser.parse_args(arguments)


def runs(first: int, count: int, kind: str | None) -> list[tuple[int, str]]:
    """Seeds and kinds."""
    return [(seed, kind or kind_of(seed)) for seed in range(first, first + count)]


def judged(chosen: list[tuple[int, str]], jobs: int) -> Iterator[Verdict]:
    """The verdicts, as they come."""
    if jobs == 1:
        yield from (run(seed, kind) for seed, kind in chosen)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, *zip(*chosen, strict=True), chunksize=CHUNK)


def main(arguments: list[str]) -> int:
    """Run what is asked; gives the exit code."""
    asked = parse(arguments)
    if asked.seed is not None:
        verdict = run(asked.seed, asked.kind or kind_of(asked.seed), print if asked.verbose else None)
        print(msgspec.json.format(msgspec.json.encode(verdict)).decode())
        return 1 if verdict.broken else 0
    summary = Summary()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=asked.json or not console.is_terminal) as progress:
        bar = progress.add_task("seeds", total=asked.seeds)
        for verdict in judged(runs(asked.first, asked.seeds, asked.kind), asked.jobs):
            summary.add(verdict)
            progress.advance(bar)
            if verdict.broken:
                tell(verdict)
    print(msgspec.json.encode(summary).decode() if asked.json else summary.text())
    return 1 if summary.failed else 0


def tell(verdict: Verdict) -> None:
    """One failure: the line that repeats it, and what it broke."""
    print(verdict.command, file=sys.stderr)
    for law in verdict.broken[:BROKEN_SHOWN_MAX]:
        print(f"    {law}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
