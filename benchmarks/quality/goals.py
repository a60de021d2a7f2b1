"""The goals of placement, and the simulations they are judged by, as `benchmarks/quality.toml` holds them.

Law: a goal that is missed stays in the file with what is known to be reached and why; it is shown as missed, and the
gate then guards what is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from nexus_sched.sim.options import SimulationOptions

GOALS = Path(__file__).parents[1] / "quality.toml"
FULL, SHORT = "full", "short"
DECISION_COST = "cost"  # stands for a run: what one decision costs, measured without a simulation


class Unusable(Exception):
    """A file of goals that nothing can be judged by."""


class Run(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One comparison: as for `nexus-sched simulate`; `short` says what is smaller in the short form."""

    name: str
    policies: list[str]
    synthetic: str | None = None
    matrix: str | None = None  # relative to the repository; without it the run's goals are not judged
    workers: int = 100
    workers_per_class: int = 10
    tasks: int
    load: float = 0.85
    seeds: int = 5
    owners: int = 1
    short: dict[str, Any] = {}

    def options(self, root: Path) -> SimulationOptions:
        """What to simulate. Raises `InvalidInput`."""
        return SimulationOptions(
            synthetic=self.synthetic,
            matrix=root / self.matrix if self.matrix is not None else None,
            workers=self.workers,
            workers_per_class=self.workers_per_class,
            tasks=self.tasks,
            load=self.load,
            seeds=self.seeds,
            owners=self.owners,
        )


class Goal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bound on a measure of a policy in a run, or on its ratio to the same seed's measure elsewhere."""

    goal: str  # in words
    run: str
    policy: str = "predictive"
    measure: str
    to_policy: str = ""  # with any of these three the ratio is judged; what is not named is the same
    to_run: str = ""
    to_measure: str = ""
    most: float | None = None
    least: float | None = None
    unit: str = ""
    known: dict[str, float] = {}  # by form: what is reached where the goal is missed
    why: str = ""  # it is missed

    @property
    def is_ratio(self) -> bool:
        """Whether it is judged beside something."""
        return bool(self.to_policy or self.to_run or self.to_measure)

    @property
    def reference(self) -> tuple[str, str, str]:
        """Run, policy and measure that it is divided by."""
        return self.to_run or self.run, self.to_policy or self.policy, self.to_measure or self.measure


class Quality(Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    runs: list[Run]
    goals: list[Goal]

    def only(self, names: str) -> Quality:
        """Its goals of some runs, separated by commas; all if none is named. Raises `Unusable`."""
        wanted = [name.strip() for name in names.split(",") if name.strip()]
        known = {run.name for run in self.runs} | {DECISION_COST}
        if unknown := [name for name in wanted if name not in known]:
            raise Unusable(f"no run is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return Quality(self.runs, [goal for goal in self.goals if not wanted or goal.run in wanted])

    def in_form(self, form: str) -> Quality:
        """With the sizes of the full or the short form. Raises `Unusable`."""
        if form == FULL:
            return self
        try:
            runs = [msgspec.convert({**structs.asdict(run), **run.short, "short": {}}, Run) for run in self.runs]
        except msgspec.ValidationError as error:
            raise Unusable(f"a short form is wrong: {error}") from error
        return Quality(runs, self.goals)


def read(path: Path = GOALS) -> Quality:
    """The goals of a file, every one complete. Raises `Unusable`."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=Quality)
    except (OSError, msgspec.MsgspecError) as error:
        raise Unusable(f"{path}: {error}") from error
    runs = {run.name: run for run in found.runs}
    for goal in found.goals:
        if (goal.most is None) == (goal.least is None):
            raise Unusable(f"{path}: {goal.goal!r} needs either `most` or `least`")
        if bool(goal.known) != bool(goal.why.strip()):
            raise Unusable(f"{path}: {goal.goal!r} needs `known` and `why` together, or neither")
        if not goal.known.keys() <= {FULL, SHORT}:
            raise Unusable(f"{path}: {goal.goal!r} knows of forms {sorted(goal.known)}, there are {FULL} and {SHORT}")
        for run, policy in ((goal.run, goal.policy), goal.reference[:2]):
            if run != DECISION_COST and (run not in runs or policy not in runs[run].policies):
                raise Unusable(f"{path}: {goal.goal!r} looks at {policy} in run {run!r}, which is not run")
    return found
