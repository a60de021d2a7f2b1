"""Overrides of placement: what people may decide for a while, how it is named, and what it makes of a task.

* `pin=W`: the task runs on W only, and waits while W is away;
* `avoid=W`: it never goes to W;
* `priority=+1`: it counts as so much more, or less, urgent.

Law: the overrides of a task follow from its type and id, and what they make of it from these and from the task as it
was submitted. One for a task counts more than one for its type where only one can hold (a pin); avoidances and
priorities add up.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from nexus_sched.errors import InvalidInput
from nexus_sched.model.events import OverrideAdded, OverrideRemoved
from nexus_sched.model.task import PRIORITY_MAX, PRIORITY_MIN, Task
from nexus_sched.model.terms import Bounds

TYPE, TASK = "type", "task"
SCOPES = (TYPE, TASK)
PIN, AVOID, PRIORITY = "pin", "avoid", "priority"
EFFECTS = (PIN, AVOID, PRIORITY)

OverrideKey = tuple[str, str, str, str]  # scope, subject, effect, worker that is avoided


def key_of(event: OverrideAdded | OverrideRemoved) -> OverrideKey:
    """What can be in force once only."""
    return event.scope, event.subject, event.effect, event.target if event.effect == AVOID else ""


def effect_text(effect: str, target: str, levels: int) -> str:
    """`pin=w-1`, `avoid=w-1` or `priority=+1`."""
    return f"{effect}={levels:+d}" if effect == PRIORITY else f"{effect}={target}"


def name_of(override: OverrideAdded) -> str:
    """`type=resize pin=w-1`: how decisions and explanations name it."""
    return f"{override.scope}={override.subject} {effect_text(override.effect, override.target, override.levels)}"


def told_of(override: OverrideAdded) -> str:
    """The same with who decided it, and why."""
    return f"{name_of(override)} (by {override.actor or 'somebody'}: {override.reason})"


def check_known_effect(effect: str) -> None:
    """Raises `InvalidInput` for what is no effect."""
    if effect not in EFFECTS:
        raise InvalidInput(f"{effect[:40]!r} is no effect of an override: one of {', '.join(EFFECTS)}")


def check_effect(effect: str, target: str, levels: int) -> None:
    """Raises `InvalidInput` for an effect that means nothing."""
    check_known_effect(effect)
    if effect == PRIORITY:
        if target or not levels:
            raise InvalidInput("an override of priority says by how many levels, such as +1, and names no worker")
    elif levels or not target:
        raise InvalidInput(f"an override by {effect} names a worker, and no levels")


def overridden(task: Task, overrides: Iterable[OverrideAdded]) -> Task:
    """The task as it counts with these overrides, those of its type before its own."""
    only, never, levels = "", set(), 0
    for each in overrides:
        if each.effect == PIN:
            only = each.target
        elif each.effect == AVOID:
            never.add(each.target)
        else:
            levels += each.levels
    if levels:
        task = replace(task, priority=min(max(task.priority + levels, PRIORITY_MIN), PRIORITY_MAX))
    if only or never:
        terms = task.terms
        needs = replace(terms.needs, bounds=Bounds(only, tuple(sorted(never))))
        task = replace(task, asks=replace(terms, needs=needs))
    return task
