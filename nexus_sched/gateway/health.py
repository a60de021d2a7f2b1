"""What is wrong with the gateway, asked of its parts. Whether the process lives is not asked here: it answers."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_sched.gateway.part import Part


class Health:
    """Started once all parts have, ready while none of them has a problem."""

    def __init__(self) -> None:
        self.started = False
        self._parts: Sequence[Part] = ()

    def watch(self, parts: Sequence[Part]) -> None:
        """These are the parts to ask."""
        self._parts = parts

    def problems(self) -> dict[str, str]:
        """The parts that cannot serve now, and why; empty if all can."""
        return {part.name: problem for part in self._parts if (problem := part.problem())}
