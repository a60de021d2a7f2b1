"""The nemesis on the command line. Exit code 1 if anything is lost, accepted twice, stuck or inconsistent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

import msgspec

from nexus_sched.testing.servers import KINDS
from tests.chaos.options import FSYNC, Options, Skipped
from tests.chaos.run import run
from tests.chaos.scenarios import LOSING, catalogue, durability_of
from tests.chaos.verdict import Verdict

ALL = "all"
COLUMNS = (
    *(
        "faults",
        "acknowledged",
        "lost",
        "accepted_twice",
        "re_executed",
        "started_twice",
        "run_as_two",
        "stuck",
        "fsck",
    ),
    "journal_gaps",
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    names = list(catalogue())
    parser.add_argument("--scenario", required=True, choices=[*names, ALL], metavar="NAME", help=", ".join(names))
    parser.add_argument("--faults", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", choices=KINDS, default=KINDS[0])
    parser.add_argument("--durability", choices=list(FSYNC), help="else that of the scenario")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=int, default=100, help="tasks a second")
    parser.add_argument("--evidence", default="", metavar="FOLDER", help="keep logs and journals of bad runs there")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")
    return parser.parse_args(arguments)


async def interruptible(options: Options) -> Verdict:
    """A run that SIGTERM ends as Ctrl-C does: in order, with nothing left behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(options)


def main(arguments: list[str]) -> int:
    """Run what is asked; gives the exit code."""
    asked = parse(arguments)
    names = [name for name in catalogue() if name not in LOSING] if asked.scenario == ALL else [asked.scenario]
    good = True
    if not asked.json:
        print(f"{'scenario':<20}" + "".join(f"{name:>15}" for name in COLUMNS) + "   digest  recovery p50/max s")
    for name in names:
        options = Options(
            scenario=name,
            faults=asked.faults,
            seed=asked.seed,
            server=asked.server,
            durability=asked.durability or durability_of(name),
            workers=asked.workers,
            rate=asked.rate,
            evidence=asked.evidence,
        )
        try:
            verdict = asyncio.run(interruptible(options))
        except Skipped as reason:
            print(f"{name:<20} skipped: {reason}", file=sys.stderr)
            continue
        good = good and verdict.good
        tell(verdict, asked.json)
    return 0 if good else 1


def tell(verdict: Verdict, as_json: bool) -> None:
    """Print a verdict, in full or as a row with its findings below."""
    if as_json:
        print(msgspec.json.encode(verdict).decode(), flush=True)
        return
    values = "".join(f"{getattr(verdict, name):>15}" for name in COLUMNS)
    spans = f"{verdict.recovery_s.p50} / {verdict.recovery_s.max}"
    print(f"{verdict.scenario:<20}{values}   {'equal' if verdict.digest_equal else 'DIFFERS'}   {spans}", flush=True)
    for finding in verdict.findings:
        print(f"    {finding}", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
