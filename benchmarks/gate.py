"""Holds a benchmark run against its budgets: `python -m benchmarks.gate RESULT.json`.

Law: a budget is kept only by a measurement. A benchmark that did not run fails the gate (unless `--partial` is
given), and so does a p99 taken over rounds of several calls, because averages hide what p99 is for.
Exit code 0 if all budgets are kept, 1 if not, 2 if the files cannot be used.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUDGETS = Path(__file__).parent / "budgets.toml"
STATS = ("min", "median", "mean", "p99")
SPAN_KEYS = {"name", "stat", "most_us", "reason"}
RATIO_KEYS = {"of", "to", "stat", "reason"}
US_PER_S = 1_000_000


class Unusable(Exception):
    """A file that the gate cannot judge by."""


@dataclass(frozen=True)
class Line:
    """One judged budget. `measured` is None if there is nothing to judge."""

    subject: str
    measured: float | None
    limit: float
    is_most: bool
    unit: str
    note: str

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "MISSING"
        kept = self.measured <= self.limit if self.is_most else self.measured >= self.limit
        return "ok" if kept else "PASSED"


def statistic(benchmark: dict[str, Any], stat: str) -> float:
    """Seconds of a benchmark. p99 is the value that 99 of 100 single calls do not exceed."""
    stats = benchmark["stats"]
    if stat != "p99":
        return float(stats[stat])
    if stats["iterations"] != 1:
        raise Unusable(f"{benchmark['name']}: p99 needs one call a round, it ran {stats['iterations']}")
    data = sorted(stats["data"])
    return float(data[math.ceil(0.99 * len(data)) - 1])


def judge(result: dict[str, Any], budgets: dict[str, Any]) -> list[Line]:
    """One line per budget, in the order of the file."""
    measured = {benchmark["name"]: benchmark for benchmark in result["benchmarks"]}
    lines = []
    for span in budgets.get("spans", []):
        found = measured.get(span["name"])
        value = None if found is None else statistic(found, span["stat"]) * US_PER_S
        lines.append(Line(f"{span['name']} {span['stat']}", value, span["most_us"], True, " us", span["reason"]))
    for ratio in budgets.get("ratios", []):
        over, under = measured.get(ratio["of"]), measured.get(ratio["to"])
        value = None
        if over is not None and under is not None:
            value = statistic(over, ratio["stat"]) / statistic(under, ratio["stat"])
        is_most = "most" in ratio
        limit = ratio["most"] if is_most else ratio["least"]
        lines.append(
            Line(f"{ratio['of']} / {ratio['to']} {ratio['stat']}", value, limit, is_most, "x", ratio["reason"])
        )
    return lines


def read_budgets(path: Path) -> dict[str, Any]:
    """The budgets, each entry complete and with a reason."""
    budgets = tomllib.loads(path.read_text(encoding="utf-8"))
    if unknown := budgets.keys() - {"spans", "ratios"}:
        raise Unusable(f"{path}: unknown tables {sorted(unknown)}")
    for span in budgets.get("spans", []):
        _require(path, span, SPAN_KEYS)
    for ratio in budgets.get("ratios", []):
        _require(path, ratio, RATIO_KEYS | ({"most"} if "most" in ratio else {"least"}))
    return budgets


def _require(path: Path, entry: dict[str, Any], keys: set[str]) -> None:
    if entry.keys() != keys:
        raise Unusable(f"{path}: {entry} must have exactly {sorted(keys)}")
    if entry["stat"] not in STATS:
        raise Unusable(f"{path}: {entry['stat']!r} is not one of {', '.join(STATS)}")
    if not entry["reason"].strip():
        raise Unusable(f"{path}: {entry} gives no reason")


def table(lines: list[Line]) -> str:
    """The lines as text, one row each; a passed budget shows its reason."""
    width = max((len(line.subject) for line in lines), default=0)
    rows = []
    for line in lines:
        figure = "-" if line.measured is None else f"{line.measured:.3g}{line.unit}"
        bound = f"{'<=' if line.is_most else '>='} {line.limit:g}{line.unit}"
        why = "" if line.verdict == "ok" else f"  ({line.note})"
        rows.append(f"{line.verdict:<8}{line.subject:<{width}}  {figure:>10}  {bound:<11}{why}".rstrip())
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; the exit code says whether all budgets are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description="Hold a run against its budgets.")
    parser.add_argument("result", type=Path, help="the file written by pytest --benchmark-json")
    parser.add_argument("--budgets", type=Path, default=BUDGETS)
    parser.add_argument("--partial", action="store_true", help="pass over benchmarks that did not run")
    options = parser.parse_args(arguments)
    try:
        lines = judge(json.loads(options.result.read_text(encoding="utf-8")), read_budgets(options.budgets))
    except (OSError, ValueError, KeyError, Unusable) as error:
        print(f"cannot judge: {error!r}", file=sys.stderr)
        return 2
    if options.partial:
        lines = [line for line in lines if line.verdict != "MISSING"]
    print(table(lines))
    broken = [line for line in lines if line.verdict != "ok"]
    if broken:
        print(f"{len(broken)} of {len(lines)} budgets are not kept", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
