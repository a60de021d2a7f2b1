"""The overrides of placement in force, by whom they concern."""

from __future__ import annotations

from nexus_sched.core.records import TaskRecord
from nexus_sched.model.events import OverrideAdded
from nexus_sched.model.overrides import TASK, TYPE, OverrideKey, key_of, name_of, overridden
from nexus_sched.model.task import Task

NEVER_MS = 2**63 - 1


class OverrideTable:
    """Overrides by key, in the order in which they began. Empty, it costs one look at `until_ms` a turn."""

    def __init__(self) -> None:
        self.in_force: dict[OverrideKey, OverrideAdded] = {}
        self._by_subject: dict[tuple[str, str], list[OverrideAdded]] = {}
        self.until_ms = NEVER_MS  # when the first of them ends

    def __len__(self) -> int:
        return len(self.in_force)

    def get(self, key: OverrideKey) -> OverrideAdded | None:
        """The one of this key, `None` if there is none."""
        return self.in_force.get(key)

    def put(self, override: OverrideAdded) -> None:
        """Let one begin in the place of the one with its key, if there is any."""
        self.in_force.pop(key_of(override), None)
        self.in_force[key_of(override)] = override
        self._arrange()

    def drop(self, key: OverrideKey) -> bool:
        """End one; whether there was one."""
        dropped = self.in_force.pop(key, None) is not None
        self._arrange()
        return dropped

    def expired(self, now_ms: int) -> list[tuple[str, str]]:
        """Drop those whose time is over; scopes and subjects of them, each once, in the order of their beginning."""
        over = [each for each in self.in_force.values() if each.until_ms <= now_ms]
        for each in over:
            del self.in_force[key_of(each)]
        self._arrange()
        return list(dict.fromkeys((each.scope, each.subject) for each in over))

    def _arrange(self) -> None:
        self._by_subject = {}
        for each in self.in_force.values():
            self._by_subject.setdefault((each.scope, each.subject), []).append(each)
        self.until_ms = min((each.until_ms for each in self.in_force.values()), default=NEVER_MS)

    def of(self, task: Task) -> list[OverrideAdded]:
        """What concerns a task: what is for its type, then what is for itself."""
        found = self._by_subject
        return [*found.get((TYPE, task.type), ()), *found.get((TASK, task.id), ())]

    def names_of(self, task: Task) -> tuple[str, ...]:
        """The same by name, for decisions."""
        return tuple(name_of(each) for each in self.of(task))

    def applied(self, own: Task) -> Task:
        """What a task counts as, given how it was submitted."""
        found = self.of(own)
        return overridden(own, found) if found else own

    def apply(self, record: TaskRecord) -> None:
        """Let a record in no order yet count as it should now."""
        own = record.past.own or record.task
        found = self.of(own)
        if found:
            record.remembered().own = own
            record.task = overridden(own, found)
        elif record.history is not None and record.history.own is not None:
            record.task, record.history.own = own, None

    def snapshot(self) -> list[OverrideAdded]:
        """Everything, in order."""
        return list(self.in_force.values())

    def restore(self, state: list[OverrideAdded]) -> None:
        """The opposite of `snapshot`."""
        self.in_force = {key_of(each): each for each in state}
        self._arrange()
