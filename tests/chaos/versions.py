"""A next version of the package, made of this one: a second tree of it, changed as a release changes things.

What it changes, by replacing texts that must stand in their files exactly once and by growing classes that must be
there, so that nothing is missed when a file has moved on:

* its version, the revision of the functions, and a function that no earlier revision has and its workers call;
* a field more, with a value, in every message, journal entry and snapshot that travels between versions;
* what it decides: waiting counts twice as much, so turns do not come out the same in the other version.

Law: nothing of this tree may be imported by the nemesis itself; it is for processes.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import NamedTuple

from nexus_sched.adapters.redis.library import REVISION
from nexus_sched.version import VERSION
from tests.chaos.options import Stuck
from tests.chaos.processes import ROOT

NEXT_VERSION = "99.0.0"
NEXT_REVISION = REVISION + 1
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.c", "*.pyx", "*.pxd", "*.pyi")
ADDED = "added_by_the_next"
MORE = f'    {ADDED}: str = __import__("msgspec").field(default_factory=lambda: "of the next version")\n'
GREET = "redis.register_function{function_name = 'nx_greet', callback = function(keys, a) return a[2] end}\n"


class Change(NamedTuple):
    """In a file: what stands there, and what is to stand there instead."""

    path: str
    before: str
    after: str


REGISTERING = '        return int(await self._functions.call(b"nx_register", worker, offer))\n'
WEIGHT = "settings.wait_weight, 0.0, 0.0, settings.near_tie_share\n"
CHANGES = (
    Change("nexus_sched/version.py", f'VERSION = "{VERSION}"', f'VERSION = "{NEXT_VERSION}"'),
    Change(
        "nexus_sched/adapters/redis/functions/nexus_v1.lua",
        f"local REVISION = {REVISION} ",
        f"local REVISION = {NEXT_REVISION} ",
    ),
    Change(
        "nexus_sched/adapters/redis/functions/nexus_v1.lua",
        "redis.register_function('nx_submit', submit)\n",
        "redis.register_function('nx_submit', submit)\n" + GREET,
    ),
    Change(
        "nexus_sched/adapters/redis/worker.py",
        REGISTERING,
        '        assert await self._functions.call(b"nx_greet", worker) == worker.encode()\n' + REGISTERING,
    ),
    Change("nexus_sched/core/objective.py", WEIGHT, "2.0 * " + WEIGHT),
)
GROWN = (
    ("nexus_sched/model/task.py", "TaskSpec"),
    ("nexus_sched/model/outcome.py", "Completion"),
    ("nexus_sched/model/worker.py", "WorkerOffer"),
    ("nexus_sched/model/worker.py", "WorkerReport"),
    ("nexus_sched/model/decision.py", "SchedulingDecision"),
    ("nexus_sched/model/frame.py", "Frame"),
    ("nexus_sched/model/events.py", "EpochBegan"),
    ("nexus_sched/model/journal.py", "Turn"),
    ("nexus_sched/model/replica.py", "Announcement"),
    ("nexus_sched/runtime/recovery.py", "AnyCheckpoint"),
    ("nexus_sched/core/snapshot.py", "WorkerSnapshot"),
    ("nexus_sched/core/snapshot.py", "AnySnapshot"),
)  # files and the classes in them that get a field more, behind the last one


def grown(text: str, name: str) -> str:
    """A module's text with one field more in a class. Raises `Stuck` if it has no such class with fields."""
    bodies = [node.body for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name]
    ends = [node.end_lineno for body in bodies for node in body if isinstance(node, ast.AnnAssign)]
    if len(bodies) != 1 or not ends or ends[-1] is None:
        raise Stuck(f"the next version cannot be made: there is no class {name} with fields")
    lines = text.splitlines(keepends=True)
    return "".join((*lines[: ends[-1]], MORE, *lines[ends[-1] :]))


def make_next(place: Path) -> Path:
    """Write the next version's tree to `place`. Raises `Stuck` if a text to be replaced is not where it was."""
    shutil.copytree(ROOT / "nexus_sched", place / "nexus_sched", ignore=LEFT_OUT)
    shutil.copytree(ROOT / "tests" / "chaos", place / "tests" / "chaos", ignore=LEFT_OUT)
    (place / "tests" / "__init__.py").touch()
    for change in CHANGES:
        path = place / change.path
        text = path.read_text()
        if text.count(change.before) != 1:
            raise Stuck(f"the next version cannot be made: {change.path} holds {change.before!r} not exactly once")
        path.write_text(text.replace(change.before, change.after))
    for module, name in GROWN:
        path = place / module
        path.write_text(grown(path.read_text(), name))
    return place
