"""The guard around the engine: one input that it cannot handle must not stop all others.

An exception from `Engine.handle` leaves the engine in an unknown state, so the leader throws it away and
recovers from the journal (nothing of the failed turn was committed). The next leadership is *careful*: it
reads one entry at a time, so a turn holds one event. If the same thing happens again, the event in hand is
to blame; it is put under quarantine and takes its turn as a `TaskRefused`, which dead-letters it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nexus_sched.core.engine import Engine
from nexus_sched.errors import NexusError
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent, EpochBegan, TaskReclaimed, TaskRefused, TaskSubmitted
from nexus_sched.model.outcome import Reason

CAREFUL_TURNS = 2_048  # more than the events that one failed turn and those in flight can have held
QUARANTINE_MAX = 1_000

_encode = msgspec.msgpack.Encoder().encode


class EngineFault(NexusError):
    """The engine raised. Its state is void; recover before going on."""

    code = "ENGINE_FAULT"


class Guard:
    """Outlives the engines that it guards."""

    def __init__(self) -> None:
        self._careful_turns = 0
        self._quarantine: set[bytes] = set()
        self.faults = 0

    @property
    def careful(self) -> bool:
        """Whether the next leadership must read one entry at a time."""
        return self._careful_turns > 0

    def screen(self, events: list[AnyEvent]) -> list[AnyEvent]:
        """`events` with those under quarantine replaced by their refusal."""
        if not self._quarantine:
            return events
        return [_refusal(event) if _encode(event) in self._quarantine else event for event in events]

    def handle(self, engine: Engine, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        """`engine.handle`; raises `EngineFault` if that raises anything."""
        try:
            effects = engine.handle(events, at_ns)
        except Exception as error:
            self.faults += 1
            if self.careful:
                if not events or type(events[0]) is EpochBegan or len(self._quarantine) >= QUARANTINE_MAX:
                    raise  # no input is to blame, or the configuration: nothing that recovery can help
                self._quarantine.add(_encode(events[0]))
            self._careful_turns = CAREFUL_TURNS
            raise EngineFault(f"{type(error).__name__}: {error}") from error
        if self._careful_turns:
            self._careful_turns -= 1
        return effects


def _refusal(event: AnyEvent) -> TaskRefused:
    detail = f"the engine failed on this input: {type(event).__name__}"
    if isinstance(event, TaskSubmitted):
        stream = f"q:{event.task.priority}"
        return TaskRefused(stream, event.entry, event.task.id, Reason.ENGINE_ERROR, detail)
    if isinstance(event, TaskReclaimed):
        return TaskRefused("q:r", event.entry, event.task_id, Reason.ENGINE_ERROR, detail)
    return TaskRefused("", "", "", Reason.ENGINE_ERROR, detail)
