"""What many seeds came to."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct, field

from tests.shell.run import Verdict

COLUMNS = ("seeds", "faults", "tasks", "executions", "reruns", "turns", "store_steps", "steps")


class Summary(Struct):
    """Counts over all runs, and by kind; the commands that repeat what failed."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    concluded: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    virtual_s: float = 0.0
    drained_s_max: float = 0.0

    def add(self, verdict: Verdict) -> None:
        """Count one run."""
        counted = self.kinds.setdefault(verdict.kind, Counter())
        counted["seeds"] += 1
        counted["faults"] += sum(verdict.faults.values())
        for name in COLUMNS[2:]:
            counted[name] += getattr(verdict, name)
        self.concluded.update(verdict.concluded)
        self.struck.update(verdict.faults)
        self.virtual_s = round(self.virtual_s + verdict.ended_s, 3)
        self.drained_s_max = max(self.drained_s_max, verdict.drained_s)
        if verdict.broken:
            self.failed.append(verdict.command)

    def text(self) -> str:
        """A table, and what failed below it."""
        total: Counter[str] = Counter()
        lines = [f"{'kind':<15}" + "".join(f"{name:>12}" for name in COLUMNS)]
        for kind, counted in self.kinds.items():
            lines.append(_row(kind, counted))
            total += counted
        lines.append(_row("all", total))
        lines.append(f"faults: {_listed(self.struck)}")
        lines.append(f"ends that clients heard of: {_listed(self.concluded)}")
        lines.append(f"{self.virtual_s:,.0f} s of virtual time; drained within {self.drained_s_max:g} s")
        lines.append(f"{len(self.failed)} of {total['seeds']} seeds broke a law")
        return "\n".join([*lines, *self.failed])


def _row(kind: str, counted: Counter[str]) -> str:
    return f"{kind:<15}" + "".join(f"{counted[name]:>12,}" for name in COLUMNS)


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counted.most_common())
