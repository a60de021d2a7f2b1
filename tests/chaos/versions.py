"""A next version of the package, made of this one: a second tree of it, changed as a release changes things.

What it changes, each by replacing a text that must stand in its file exactly once, so that nothing is missed when the
file has moved on:

* its version, the revision of the functions, and a function that no earlier revision has and its workers call;
* a field more, with a value, in every message, journal entry and snapshot that travels between versions;
* what it decides: waiting counts twice as much, so turns do not come out the same in the other version.

Law: nothing of this tree may be imported by the nemesis itself; it is for processes.
"""

from __future__ import annotations

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


def _field_behind(path: str, last_field: str) -> Change:
    """One field more in a class, behind its last one."""
    return Change(path, last_field, last_field + MORE)


REGISTERING = '        return int(await self._functions.call(b"nx_register", worker, offer))\n'
WEIGHT = "settings.wait_weight, 0.0, 0.0, settings.near_tie_share\n"
LAST_OF_DECISION = (
    "    overrides: tuple[str, ...] = ()  # names of those that bound it, as `model.overrides.name_of` writes them\n"
)
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
    _field_behind("nexus_sched/model/task.py", "written by the store\n"),
    _field_behind("nexus_sched/model/outcome.py", "0 if not measured\n"),
    _field_behind("nexus_sched/model/worker.py", "le=SILENCE_MS_MAX)] | None = None\n"),
    _field_behind(
        "nexus_sched/model/worker.py",
        "    resources: Annotated[dict[Label, Amount], Meta(max_length=RESOURCES_MAX)] | None = None"
        "  # they have changed\n",
    ),
    _field_behind("nexus_sched/model/decision.py", LAST_OF_DECISION),
    _field_behind(
        "nexus_sched/model/frame.py",
        "    drain_tasks_s: float = 0.0  # tasks a second that are predicted to leave the queue; 0: nothing is known\n",
    ),
    _field_behind("nexus_sched/model/events.py", "empty: from before it was written down\n"),
    _field_behind("nexus_sched/model/journal.py", "    digest: int | None = None\n"),
    _field_behind("nexus_sched/model/replica.py", "and the turn that its engine has reached\n"),
    _field_behind("nexus_sched/runtime/recovery.py", "# of the package that took it\n"),
    _field_behind("nexus_sched/core/snapshot.py", "    silence_ms: int = 0\n"),
    _field_behind("nexus_sched/core/snapshot.py", "    suspects: list[tuple[str, list[str]]] = []\n"),
)


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
    return place
