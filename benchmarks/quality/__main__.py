"""`python -m benchmarks.quality`: exit code 0 if no goal got worse, 10 if one did, 2 if the file cannot be used."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter

from rich.console import Console

from benchmarks.quality.goals import FULL, GOALS, SHORT, Unusable, read
from benchmarks.quality.jobs import run_all
from benchmarks.quality.judge import BREAKING, MET, judge
from benchmarks.quality.table import reasons, render
from nexus_sched.cli import exit_codes
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.errors import NexusError

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Simulate, judge, print; the exit code says whether a goal got worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="Hold placement to its goals.")
    parser.add_argument("--short", action="store_true", help="fewer seeds and smaller fleets, for every change")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    parser.add_argument("--only", default="", help="goals of these runs only, separated by commas")
    parser.add_argument("--processes", type=int, default=None, help="at once; one for each processor by default")
    parser.add_argument("--goals", type=Path, default=GOALS, help="the file of goals")
    options = parser.parse_args(arguments)
    form = SHORT if options.short else FULL
    began_s = perf_counter()
    try:
        quality = read(options.goals).in_form(form).only(options.only)
        with ProgressDisplay(Console(stderr=True, highlight=False)) as progress:
            results = run_all(quality, ROOT, progress, options.processes)
    except (Unusable, NexusError) as error:
        print(f"cannot judge: {error}", file=sys.stderr)
        return exit_codes.USAGE
    lines = judge(quality.goals, results.measured, results.left_out, form)
    broken = [line for line in lines if line.verdict in BREAKING]
    if options.json:
        body = {"form": form, "spent_s": perf_counter() - began_s, "goals": [line.as_json() for line in lines]}
        print(json.dumps(body, sort_keys=True))
    else:
        Console(highlight=False).print(render(lines, form))
        for reason in reasons(lines):
            print(reason)
    met = sum(line.verdict == MET for line in lines)
    print(f"{met} of {len(lines)} goals met, {len(broken)} broken, {perf_counter() - began_s:.0f} s", file=sys.stderr)
    for name in results.left_out:
        print(f"not judged: {name}, because its file is not there", file=sys.stderr)
    return exit_codes.GATE_FAILED if broken else exit_codes.OK


if __name__ == "__main__":
    sys.exit(main())
